"""Comparisons of scores from anywhere: tables in, what a report says out."""
