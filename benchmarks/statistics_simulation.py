"""How often do the tests reject a true null? Two equally good learners, trained and tested on random 80/20 splits.

    python benchmarks/statistics_simulation.py [--repeats 2000] [--cases 260] [--seed 0]

Each of the simulated studies draws its own data set: two classes, two features that separate them equally well and are
independent given the class. Learner A is a nearest-mean classifier on the first feature, learner B on the second. Both
train and are tested on the same J random splits; their accuracies go to the naive paired t and to the corrected resampled
t. No learner is better, so each test should reject in 5 of 100 studies. One core, no files.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import numpy.typing as npt

from mtl.statistics import corrected_resampled_t, paired_t

Floats = npt.NDArray[np.float64]
DISTANCE = 1.5
TEST_FRACTION = 0.2
LEVEL = 0.05


def study(cases: int, splits: int, random: np.random.Generator) -> Floats:
    """Return the accuracies (2, J) of the two learners on J splits of one new data set."""
    labels = (random.permutation(cases) < cases // 2).astype(float)
    features = random.normal(size=(2, cases)) + DISTANCE * (labels - 0.5)
    tested = round(TEST_FRACTION * cases)
    test = np.zeros((splits, cases))
    np.put_along_axis(test, np.argsort(random.random((splits, cases)), axis=1)[:, :tested], 1.0, axis=1)
    train = 1 - test
    upper = (train * labels) @ features.T / (train @ labels)[:, None]
    lower = (train * (1 - labels)) @ features.T / (train @ (1 - labels))[:, None]
    middle, sign = ((upper + lower) / 2).T, np.sign(upper - lower).T
    said = (features[:, None] - middle[..., None]) * sign[..., None] > 0
    accuracy: Floats = ((said == labels.astype(bool)) * test).sum(axis=2) / tested
    return accuracy


def rejections(cases: int, splits: int, repeats: int, seed: int) -> tuple[float, float, float]:
    """Return the share of studies that the corrected and the naive test reject, and the mean accuracy."""
    random = np.random.default_rng([seed, splits])
    corrected, naive, accuracy = 0, 0, 0.0
    for _ in range(repeats):
        first, second = study(cases, splits, random)
        corrected += corrected_resampled_t(first, second, test_fraction=TEST_FRACTION).p < LEVEL
        naive += paired_t(first, second).p < LEVEL
        accuracy += float(first.mean() + second.mean()) / 2
    return corrected / repeats, naive / repeats, accuracy / repeats


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=2000, help="simulated studies for each J")
    parser.add_argument("--cases", type=int, default=260, help="images of a study")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    began = time.perf_counter()
    print(
        f"True null, n = {arguments.cases}, 80/20 splits, {arguments.repeats} studies; rejected at 5 % "
        "(+- 1.96 standard errors of the simulation)\n"
    )
    print(f"{'J':>4}  {'corrected resampled t':>22}  {'naive paired t':>18}  {'mean accuracy':>13}")
    for splits in (10, 30):
        corrected, naive, accuracy = rejections(arguments.cases, splits, arguments.repeats, arguments.seed)
        shown = [
            f"{100 * share:.1f} % +- {196 * np.sqrt(share * (1 - share) / arguments.repeats):.1f}"
            for share in (corrected, naive)
        ]
        print(f"{splits:>4}  {shown[0]:>22}  {shown[1]:>18}  {accuracy:>13.3f}")
    print(f"\n{time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
