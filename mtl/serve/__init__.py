"""A page and a JSON API on finished runs: smears in, answers out, corrections back."""
