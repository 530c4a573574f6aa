"""What `mtl federate` needs beside the package itself."""

from __future__ import annotations

import importlib.util

from mtl.errors import MissingExtraError

__all__ = ["check_extra"]


def check_extra() -> None:
    """See that Flower and Opacus are there.

    Raises:
        MissingExtraError: If not.
    """
    for name in ("flwr", "opacus"):
        if importlib.util.find_spec(name) is None:
            raise MissingExtraError(
                f"Expected the package {name} to be installed for `mtl federate`, but it is not; do `pip install 'mtl[federated]'`"
            )
