"""Paired runs of chains on identical splits and seeds."""
