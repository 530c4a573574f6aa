"""Several finished runs as one model: chosen on the validation part, scored on the test part beside each of them."""
