"""What a stage learns from: decoded images, labels and parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from stages.preprocess import Preprocess

__all__ = ["Task"]


@dataclass(frozen=True)
class Task:
    """What a stage learns from.

    Attributes:
        images: Store (N, S, S, 3) uint8.
        labels: Class index of every image, (N,).
        rows: Which images belong to `train`, `validation` and `test`.
        classes: Their names, by index.
        preprocess: What the images went through; the model that learns from them carries it on.
        groups: Number of the patient, slide, field or cluster of every image, (N,): what folds inside the training part respect.
    """

    images: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int64]
    rows: dict[str, npt.NDArray[np.int64]]
    classes: tuple[str, ...]
    preprocess: Preprocess
    groups: npt.NDArray[np.int64]
