"""Optuna studies over the configuration of a chain, inside the training part alone."""
