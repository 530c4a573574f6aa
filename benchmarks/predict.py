"""What the trust of `mtl predict` is worth: `python benchmarks/predict.py RUN --foreign NAME=FOLDER ...`.

`--foreign NAME=FOLDER` measures how well the distance of stage 2 (on the images as they are) and
of stage 3 tells images of another source from the stage's own test part. Conformal sets are calibrated and tested on 200 random halves
of the groups of each stage's test part.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score

from mtl.run.load import learned_stages
from mtl.run.originals import original
from mtl.runs import StageFolder
from mtl.segment.inputs import images_below
from stages.calibrate import Calibration, at_temperature, fit_certainty
from stages.data.images import decode_rgb
from stages.errors import StagesError
from stages.learners.model import Model, load_model
from stages.metrics import calibration_error

HALVES = 200


def halves(stage: StageFolder) -> None:
    told, record = stage.predictions(), stage.learned_record()
    if record.trust is None:
        return
    truth, groups = told.truth(), np.array(told.groups)
    raw = at_temperature(told.probabilities, 1 / record.trust.certainty.temperature)
    names = np.unique(groups)
    random = np.random.default_rng(0)
    held, sizes, before, after = [], [], [], []
    for _ in range(HALVES):
        chosen = np.isin(groups, random.permutation(names)[: len(names) // 2])
        how = Calibration(fit_certainty(raw[chosen], truth[chosen], groups[chosen].tolist()), {})
        said, own = how.calibrated(raw[~chosen]), truth[~chosen]
        sets = how.sets(said)
        held.append(
            [sets[own == k, k].mean() if (own == k).any() else np.nan for k in range(len(told.classes))]
        )
        sizes.append(sets.sum(axis=1).mean())
        before.append(calibration_error(own, raw[~chosen])[0])
        after.append(calibration_error(own, said)[0])
    mean = np.nanmean(held, axis=0)
    print(
        f"stage {record.number}, {len(truth)} test images of {len(names)} groups, {HALVES} halves: calibration error {np.mean(before):.3f} -> "
        f"{np.mean(after):.3f} (lower in {np.mean(np.array(after) < before):.0%}); mean set size {np.mean(sizes):.2f}; coverage "
        + ", ".join(f"{name} {value:.3f}" for name, value in zip(told.classes, mean, strict=True))
    )
    order = np.argsort(-told.probabilities.max(axis=1))
    right = (told.probabilities.argmax(axis=1) == truth)[order]
    steps = [(part, right[: max(int(part * len(right)), 1)].mean()) for part in (0.25, 0.5, 0.75, 1.0)]
    print("  answered, accuracy: " + ", ".join(f"{part:.0%} {value:.3f}" for part, value in steps))
    print(f"  on the test part once: {record.trust.model_dump(exclude={'certainty'})}")


def pictures(folder: Path, most: int) -> Iterator[np.ndarray]:
    paths = images_below(folder)
    for path in paths[:: max(len(paths) // most, 1)][:most]:
        try:
            yield decode_rgb(path)
        except StagesError as error:
            print(f"  {error}")


def foreign(stage: StageFolder, others: dict[str, Path], most: int) -> None:
    model, record = load_model(stage.path), stage.learned_record()
    if model.calibration is None:
        return
    names = stage.predictions().names
    own = (original(name, record.data.sources) for name in names[:: max(len(names) // most, 1)][:most])
    known = distances(model, (image for image in own if image is not None))
    print(
        f"stage {record.number} ({record.data.dataset}): {np.mean(known > 1):.1%} of {len(known)} own test images are called unlike"
    )
    for name, folder in others.items():
        far = distances(model, pictures(folder, most))
        area = roc_auc_score([0] * len(known) + [1] * len(far), [*known, *far])
        print(
            f"  {name}: AUROC {area:.3f}, {np.mean(far > 1):.1%} of {len(far)} called unlike, least distance {far.min():.2f}"
        )


def distances(model: Model, images: Iterator[np.ndarray]) -> np.ndarray:
    return np.array([one.distance for one in model.answers(images)], np.float64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("--foreign", action="append", default=[], metavar="NAME=FOLDER")
    parser.add_argument("--most", type=int, default=150, help="images of a source")
    asked = parser.parse_args()
    for stage in learned_stages(asked.run).values():
        halves(stage)
        others = {name: Path(folder) for name, _, folder in (text.partition("=") for text in asked.foreign)}
        if others:
            foreign(stage, others, asked.most)


if __name__ == "__main__":
    main()
