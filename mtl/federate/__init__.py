"""Hospitals train one chain together; see `docs/federated.md`."""
