"""Pipelines on the disk as skops writes them: numbers and names of known types, and never code that a file brings along."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from segmentation.files import write_bytes
from stages.errors import ModelError

__all__ = ["PIPELINES_FILE", "load_pipelines", "save_pipelines"]

PIPELINES_FILE = "pipelines.skops"

_TRUSTED = frozenset(
    {
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.metrics._dist_metrics.EuclideanDistance64",
        "sklearn.neighbors._kd_tree.KDTree",
        "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
        "sklearn.tree._tree.Tree",
    }
)
"""What our pipelines hold besides what skops trusts by itself: scikit-learn's estimators, arrays and plain values."""


def save_pipelines(folder: Path, pipelines: Sequence[Any]) -> None:
    """Write fitted pipelines.

    Raises:
        WriteError: If they cannot be written.
    """
    from skops.io import dumps

    write_bytes(folder / PIPELINES_FILE, dumps(list(pipelines)))


def load_pipelines(folder: Path) -> list[Any]:
    """Read what `save_pipelines` wrote.

    Raises:
        ModelError: If it is not there, is damaged, or holds types that no pipeline of ours does: then nothing of it is made.
    """
    from skops.io import get_untrusted_types, loads

    path = folder / PIPELINES_FILE
    if not path.is_file():
        raise ModelError(
            f"Expected {folder} to hold a model, but its {PIPELINES_FILE} is not there; do train it again"
        )
    data = path.read_bytes()
    try:
        unknown = sorted({*get_untrusted_types(data=data)} - _TRUSTED)
        if not unknown:
            found: list[Any] = loads(data, trusted=sorted(_TRUSTED))
            return found
    except (
        BadZipFile,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        ImportError,
        io.UnsupportedOperation,
    ) as error:
        raise ModelError(
            f"Expected {path} to hold pipelines of this version of scikit-learn, but it cannot be read "
            f"({type(error).__name__}); do train it again"
        ) from error
    more = f" and {len(unknown) - 3} more" if len(unknown) > 3 else ""
    raise ModelError(
        f"Expected {path} to hold scikit-learn's estimators alone, but it holds {', '.join(unknown[:3])}{more}, which could run "
        "code; do not use this file, or train it again"
    )
