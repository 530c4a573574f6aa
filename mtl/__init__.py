"""Multistage transfer learning and segmentation for acute lymphoblastic leukaemia.

From Python::

    import mtl

    model = mtl.load("runs/default")
    said = model.predict("smear.jpg")  # a Prediction: label and probabilities
    said.label, said.probabilities, said.unsure, said.unlike

    smears = mtl.Predictor("runs/default")
    field = smears.predict("smear.jpg")  # a FieldSaid: its class, its cells, its blasts, as `mtl predict` writes them

`load` gives a `Model`: segmentation, resizing, normalisation, classes and the network in one, the very code that training used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mtl.config import Experiment, load_config
    from mtl.errors import MtlError
    from mtl.predict.predictor import Predictor
    from mtl.run.execute import execute
    from mtl.run.load import load
    from stages.learners.model import Learner, Model, Prediction

__version__ = "0.1.0"
__all__ = [
    "Experiment",
    "Learner",
    "Model",
    "MtlError",
    "Prediction",
    "Predictor",
    "__version__",
    "execute",
    "load",
    "load_config",
]

_PLACES = {
    "Experiment": "mtl.config", "load_config": "mtl.config", "MtlError": "mtl.errors", "execute": "mtl.run.execute",
    "load": "mtl.run.load", "Learner": "stages.learners.model", "Model": "stages.learners.model", "Prediction": "stages.learners.model",
    "Predictor": "mtl.predict.predictor",
}  # fmt: skip


def __getattr__(name: str) -> Any:
    # What is heavy loads when it is asked for: `mtl --help` shall answer at once.
    if name not in _PLACES:
        raise AttributeError(f"module 'mtl' has no attribute {name!r}; it has {', '.join(__all__)}")
    import importlib

    return getattr(importlib.import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
