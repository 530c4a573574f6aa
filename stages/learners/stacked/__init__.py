"""Frozen features of many depths, a head in closed form, and colour beside it."""
