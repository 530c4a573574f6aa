"""McNemar: do two models differ on the same images?

It judges two trained models, not two ways of training: it knows nothing of other splits and seeds.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import stats

from mtl.statistics._checks import pair
from mtl.statistics._errors import expected
from mtl.statistics._result import TestResult, binomial_p

__all__ = ["mcnemar"]


def mcnemar(
    first_correct: npt.ArrayLike, second_correct: npt.ArrayLike, *, mid_p: bool = False
) -> TestResult:
    """Test whether two models are right equally often on the same images.

    Of the images on which exactly one is right, each is the first's with probability one half under the null: an exact
    binomial test. mid-p counts half of what is just as extreme and is less conservative. An image must occur once: pool
    the folds of a cross-validation, never repeats, in which an image is tested several times.

    Source: McNemar (1947); mid-p: Fagerland, Lydersen & Laake (2013), BMC Med Res Methodol 13:91; interval of the
    difference: Bonett & Price (2012), adjusted Wald.

    Args:
        first_correct: Whether the first is right, (N,) bool or 0/1.
        second_correct: Whether the second is right on the same images, (N,).
        mid_p: Return the mid-p instead of the exact p.

    Returns:
        Statistic: the number of images that only the first gets right; df: that only one gets right; difference and
        interval in accuracy (0 to 1). p = 1 where both are right on the same images.

    Examples:
        Eight images that the first alone gets right, one that the second does: 2 (1 + 9) / 2**9.

        >>> test = mcnemar([1] * 8 + [0] + [1] * 20, [0] * 8 + [1] + [1] * 20)
        >>> test.statistic, test.df, round(test.p, 4)
        (8.0, 9.0, 0.0391)

    Raises:
        StatisticsError: If lengths differ or a value is not 0 or 1.
    """
    one, other = pair(first_correct, second_correct)
    for argument, values in (("first_correct", one), ("second_correct", other)):
        if not np.isin(values, (0, 1)).all():
            raise expected(
                argument, "right (1) or wrong (0)", "other numbers", "compare predictions with labels first"
            )
    ours, theirs, count = int((one > other).sum()), int((other > one).sum()), len(one)
    gain, loss = (ours + 1) / (count + 2), (theirs + 1) / (count + 2)
    reach = stats.norm.ppf(0.975) * np.sqrt((gain + loss - (gain - loss) ** 2) / (count + 2))
    return TestResult(
        f"McNemar {'mid-p' if mid_p else 'exact'}",
        float(ours),
        float(ours + theirs),
        binomial_p(ours, ours + theirs, mid=mid_p),
        (ours - theirs) / count,
        max(-1.0, float(gain - loss - reach)),
        min(1.0, float(gain - loss + reach)),
        count,
        "every image counts once and images are independent (not so for several images of a patient)",
        "McNemar (1947); Fagerland et al. (2013); Bonett & Price (2012)",
        "Both are right on the same images." if ours + theirs == 0 else "",
        "mid-p" if mid_p else "binomial",
    )
