"""Hand-made features and scikit-learn baselines."""
