"""Labels that are probably wrong, by confident learning (Northcutt et al. 2021) on probabilities from outside: arrays alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from mtl.extras import missing_extra

__all__ = ["Suspects", "find_suspects"]


@dataclass(frozen=True)
class Suspects:
    """What confident learning says of N labels.

    Attributes:
        rows: Images that are suspected, the surest first.
        suggested: Most probable class of every image, (N,).
    """

    rows: npt.NDArray[np.int64]
    suggested: npt.NDArray[np.int64]


def find_suspects(labels: npt.NDArray[np.int64], probabilities: npt.NDArray[np.float64]) -> Suspects:
    """Return the images whose label is probably wrong, as cleanlab finds them.

    How many of each class are wrong is estimated from the confident joint; so many with the least margin are taken.

    Args:
        labels: Class indices, (N,); every class is there.
        probabilities: Of models that did not learn from the image, (N, K).

    Raises:
        MissingExtraError: If cleanlab is not installed.
    """
    try:
        from cleanlab.filter import find_label_issues
    except ImportError as error:
        raise missing_extra("clean", "cleanlab") from error
    rows = find_label_issues(
        labels,
        probabilities,
        filter_by="prune_by_noise_rate",
        return_indices_ranked_by="normalized_margin",
        n_jobs=1,
    )
    return Suspects(np.asarray(rows, np.int64), probabilities.argmax(axis=1))
