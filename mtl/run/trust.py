"""What calibration is worth on the test part, which it has not seen."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from mtl.records import TrustRecord
from stages.learners.model import Floats, Model
from stages.metrics import calibration_error

__all__ = ["trust_record"]


def trust_record(
    model: Model, votes: Floats, distances: Floats | None, labels: npt.NDArray[np.int64]
) -> TrustRecord | None:
    """Measure a model's calibration on test images; None where the model has none.

    Args:
        model: Calibrated on the validation part.
        votes: Its probabilities of the N test images before calibration, (N, K).
        distances: Of the images to the training data, (N,).
        labels: What they are, (N,).
    """
    how = model.calibration
    if how is None:
        return None
    said = model.calibrated(votes)
    sets, silent = how.sets(said), how.unsure(said)
    right = said.argmax(axis=1) == labels
    rows = np.arange(len(labels))
    held = sets[rows, labels]
    return TrustRecord(
        certainty=how.certainty,
        ece_before=float(calibration_error(labels, votes)[0]),
        ece_after=float(calibration_error(labels, said)[0]),
        coverage={
            name: float(held[labels == k].mean()) if (labels == k).any() else None
            for k, name in enumerate(model.classes)
        },
        set_size=float(sets.sum(axis=1).mean()),
        answered=float(1 - silent.mean()),
        answered_accuracy=None if silent.all() else float(right[~silent].mean()),
        unlike=None if distances is None else float((distances > 1).mean()),
    )
