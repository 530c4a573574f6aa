"""Optional packages: what each extra brings, and the one sentence that is said where it is missing."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping

from mtl.errors import MissingExtraError

__all__ = ["EXTRAS", "check_extra", "missing_extra"]

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "clean": ("cleanlab",),
    "dashboard": ("optuna_dashboard",),
    "federated": ("flwr", "opacus"),
    "ray": ("ray",),
    "serve": ("fastapi", "python_multipart", "uvicorn"),
}
"""Names that are imported, by extra."""


def check_extra(extra: str) -> None:
    """See that what an extra brings is there, before any work is done that would be lost without it.

    Args:
        extra: One of `EXTRAS`.

    Raises:
        MissingExtraError: If a package is not installed.
    """
    for name in EXTRAS[extra]:
        if importlib.util.find_spec(name) is None:
            raise missing_extra(extra, name)


def missing_extra(extra: str, name: str) -> MissingExtraError:
    """Return the sentence of a package that is not installed.

    Examples:
        >>> print(missing_extra("dashboard", "optuna_dashboard"))
        Expected optuna-dashboard to be installed, but it is not; do `pip install 'mtl[dashboard]'`
    """
    return MissingExtraError(
        f"Expected {name.replace('_', '-')} to be installed, but it is not; do `pip install 'mtl[{extra}]'`"
    )
