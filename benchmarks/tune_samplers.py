"""TPE against random search on a rendered task whose optimum is planted, at equal trials.

    python benchmarks/tune_samplers.py [--studies 10] [--trials 40]

A rendered field is put under a lamp of another colour: each channel gets a gain that is drawn anew for every study. A trial
proposes three gains that should undo it, a smoothing and a level; where the mended green lies so far below red and blue is taken
for nucleus, and scored by Dice with the nuclei that the renderer drew. The best gains are known, and a sampler that learns
should find them sooner. The samplers are those of `mtl tune`. Rendered smears, no patient data.
"""

from __future__ import annotations

import argparse
from statistics import median

import cv2
import numpy as np
import numpy.typing as npt
import optuna

from mtl.tune.sampling import SAMPLERS
from segmentation.scores import dice
from stages.data.smears import make_slide, render_field


def field() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Return a rendered field (H, W, 3) from 0 to 1, and where its nuclei are."""
    found = render_field("L2", make_slide(seed=0, index=2), seed=3, height=243, width=324, pixels_per_um=5.0)
    return found.image.astype(np.float32) / 255, found.nucleus


def best_dice(
    sampler: str, seed: int, trials: int, image: npt.NDArray[np.float32], truth: npt.NDArray[np.bool_]
) -> float:
    """Return the best Dice that one study finds."""
    lamp = np.random.default_rng(seed).uniform(0.5, 1.0, 3).astype(np.float32)
    seen = image * lamp

    def objective(trial: optuna.Trial) -> float:
        gains = np.array(
            [trial.suggest_float(f"gain {name}", 1.0, 2.0, log=True) for name in "rgb"], np.float32
        )
        mended = cv2.GaussianBlur(
            np.clip(seen * gains, 0, 1), (0, 0), trial.suggest_float("sigma", 0.3, 4.0, log=True)
        )
        # Nuclei are darker in green than in red and blue, so all three gains matter.
        purple = mended[..., 1] - 0.5 * (mended[..., 0] + mended[..., 2])
        return dice(purple < trial.suggest_float("level", -0.6, 0.2), truth)

    study = optuna.create_study(direction="maximize", sampler=SAMPLERS[sampler](seed))
    study.optimize(objective, n_trials=trials)
    return float(study.best_value)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--studies", type=int, default=10)
    parser.add_argument("--trials", type=int, default=40)
    given = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    image, truth = field()
    print(f"| sampler | median of {given.studies} studies | least | most |\n|---|---|---|---|")
    for sampler in ("tpe", "random"):
        found = [best_dice(sampler, seed, given.trials, image, truth) for seed in range(given.studies)]
        print(f"| {sampler} | {median(found):.4f} | {min(found):.4f} | {max(found):.4f} |")


if __name__ == "__main__":
    main()
