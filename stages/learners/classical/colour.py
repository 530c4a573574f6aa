"""What colour alone achieves: the baseline that a model must beat before its score says anything about morphology."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

__all__ = ["colour_baselines", "colour_histogram", "colour_statistics"]

Images = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
_BINS = 8


def colour_statistics(images: Images) -> npt.NDArray[np.float32]:
    """Return mean, standard deviation, and 10th and 90th percentile of each RGB channel.

    Args:
        images: (N, H, W, 3) uint8.

    Returns:
        (N, 12) float32, in grey levels.
    """
    # From how often each of the 256 levels occurs: the same numbers, without sorting or widening the pixels.
    levels = np.arange(256.0)
    rows = []
    for image in images:
        whole = np.ascontiguousarray(image)
        channels = (cv2.calcHist([whole], [channel], None, [256], [0, 256]) for channel in range(3))
        counts = np.stack([channel.ravel() for channel in channels]).astype(np.float64)
        total = whole.shape[0] * whole.shape[1]
        mean = counts @ levels / total
        deviation = np.sqrt((counts * (levels - mean[:, None]) ** 2).sum(axis=1) / total)
        below = counts.cumsum(axis=1)
        rows.append(np.concatenate([mean, deviation, *(_percentile(below, part) for part in (0.1, 0.9))]))
    return np.asarray(rows, dtype=np.float32).reshape(len(images), 12)


def _percentile(below: Floats, part: float) -> Floats:
    """Return where a part of the pixels lies below, (C,), of cumulated counts (C, 256); between two pixels linearly."""
    place = part * (below[0, -1] - 1)
    first = np.array([np.searchsorted(own, np.floor(place), side="right") for own in below])
    second = np.array([np.searchsorted(own, np.ceil(place), side="right") for own in below])
    between: Floats = first + (second - first) * (place - np.floor(place))
    return between


def colour_histogram(images: Images) -> npt.NDArray[np.float32]:
    """Return the joint histogram of hue, saturation and value, eight bins each, summing to 1.

    Args:
        images: (N, H, W, 3) uint8 RGB.

    Returns:
        (N, 512) float32.
    """
    rows = []
    for image in images:
        hsv = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0, 1, 2], None, [_BINS] * 3, [0, 180, 0, 256, 0, 256])
        rows.append(counts.ravel() / counts.sum())
    return np.asarray(rows, dtype=np.float32).reshape(len(images), _BINS**3)


def colour_baselines(
    train_images: Images,
    train_labels: npt.NDArray[np.int64],
    test_images: Images,
    classes: int,
    seed: int = 0,
) -> dict[str, Floats]:
    """Return the test probabilities of two models that see colour and no shape.

    Args:
        train_images: (N, H, W, 3) uint8.
        train_labels: (N,) class index.
        test_images: (M, H, W, 3) uint8.
        classes: K.
        seed: Of the forest.

    Returns:
        Probabilities (M, K) by the name of the baseline.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    models = {
        "1-NN on colour statistics": (
            make_pipeline(StandardScaler(), KNeighborsClassifier(1)),
            colour_statistics,
        ),
        "random forest on colour histogram": (
            RandomForestClassifier(300, n_jobs=-1, random_state=seed),
            colour_histogram,
        ),
    }
    votes = {}
    for name, (model, describe) in models.items():
        model.fit(describe(train_images), train_labels)
        scores = np.zeros((len(test_images), classes))
        scores[:, model.classes_.astype(int)] = model.predict_proba(describe(test_images))
        votes[name] = scores
    return votes
