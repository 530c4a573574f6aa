"""Several models as one: how their probabilities are combined, how that is chosen, and the model that they make together."""
