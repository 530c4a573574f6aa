"""Lightning's own loggers by name: what they write lies beside the history, which is kept in any case."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from pytorch_lightning.loggers import Logger

from segmentation.errors import ModelError

__all__ = ["make_loggers"]


def make_loggers(names: Sequence[str], folder: Path) -> list[Logger]:
    """Return loggers.

    Args:
        names: `csv`, `tensorboard` or `mlflow`; see `segmentation.settings.Hardware`.
        folder: Of the training; each writes below its `logs`, MLflow to `MLFLOW_TRACKING_URI` where that is set.

    Raises:
        ModelError: If a logger's package is not installed.
    """
    found = []
    for name in names:
        try:
            found.append(_MAKERS[name](folder / "logs", folder.name))
        except ImportError as error:
            raise ModelError(
                f"Expected {name} to be installed for `--logger {name}`, but it is not; do `pip install 'mtl[logger]'`"
            ) from error
    return found


def _csv(logs: Path, name: str) -> Logger:
    from pytorch_lightning.loggers import CSVLogger

    return CSVLogger(logs, "csv", "")


def _tensorboard(logs: Path, name: str) -> Logger:
    from pytorch_lightning.loggers import TensorBoardLogger

    return TensorBoardLogger(logs, "tensorboard", "")


def _mlflow(logs: Path, name: str) -> Logger:
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    import mlflow  # noqa: F401 - Lightning asks for it later, when a sentence can no longer be said
    from pytorch_lightning.loggers import MLFlowLogger

    logs.mkdir(parents=True, exist_ok=True)
    # Its folders of files are no longer written by MLflow 3.
    uri = os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{(logs / 'mlflow.db').resolve()}"
    return MLFlowLogger(experiment_name="mtl", run_name=name, tracking_uri=uri)


_MAKERS: Mapping[str, Callable[[Path, str], Logger]] = {
    "csv": _csv,
    "tensorboard": _tensorboard,
    "mlflow": _mlflow,
}
