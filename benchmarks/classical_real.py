"""Classifiers on features, on real smears: macro F1 on three splits, beside colour alone, and the seconds of each.

    MTL_REALDATA=... python benchmarks/classical_real.py OUT_FOLDER [taleqani] [deepapl]

Taleqani is split by blocks of file numbers (three blocks), DeepAPL by patients (three seeds). All tuning is by grouped folds inside the
training part. Prints a line a run, and a table at the end; finished runs are reused.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np

from mtl.config import load_config
from mtl.records import LearnedRecord
from mtl.run.execute import execute

HAND_MADE = "colour,glcm,glrlm,lbp,ldp,dost"
SYSTEMS = (
    ("svm", "colour"),
    ("svm", "deep"),
    ("forest", "deep"),
    ("svm", "glcm"),
    ("forest", "lbp"),
    ("boosting", HAND_MADE),
    ("vote", f"deep,{HAND_MADE}"),
)
SPLITS = {
    "taleqani": ("pbc-taleqani", [(0, offset) for offset in (0.0, 0.33, 0.66)]),
    "deepapl": ("pbc-deepapl", [(seed, 0.0) for seed in (0, 1, 2)]),
}


def run(folder: Path, dataset: str, place: int, learner: str, features: str) -> LearnedRecord:
    config, splits = SPLITS[dataset]
    seed, offset = splits[place]
    sets = [
        f"multi_cell.split.offset={offset}", f"multi_cell.learner={learner}", f"multi_cell.classical.features=[{features}]",
        "multi_cell.preprocess.image_size=96", "multi_cell.classical.folds=3", "multi_cell.classical.candidates=4",
        f"multi_cell.classical.balance={'weights' if dataset == 'deepapl' else 'none'}",
        f"evaluation.baselines={str((learner, features) == SYSTEMS[0]).lower()}", "evaluation.resamples=200",
    ]  # fmt: skip
    name = f"{dataset}-{place}-{learner}-{features.replace(',', '-')}"[:100]
    given = {"stages": "1,3", "against": "none", "seed": seed, "name": name}
    (record,) = (
        one
        for one in execute(load_config(config, given, sets), folder, "").stages["1,3"]
        if isinstance(one, LearnedRecord)
    )
    return record


def main() -> None:
    folder, chosen = Path(sys.argv[1]), sys.argv[2:] or list(SPLITS)
    scores: dict[tuple[str, str], list[float]] = defaultdict(list)
    seconds: dict[tuple[str, str], list[float]] = defaultdict(list)
    for dataset in chosen:
        for place in range(3):
            for learner, features in SYSTEMS:
                started = time.perf_counter()
                record = run(folder, dataset, place, learner, features)
                assert record.evaluation is not None  # noqa: S101 - every split tests
                rows = {f"{learner} on {features}": record.evaluation}
                for name, evaluation in (rows | record.baselines).items():
                    value = evaluation.headline["macro_f1"].value
                    scores[dataset, name].append(value)
                    seconds[dataset, name].append(record.seconds)
                    print(
                        f"{dataset} split {place} {name}: macro F1 {value:.3f}, accuracy "
                        f"{evaluation.headline['accuracy'].value:.3f}, fitted in {record.seconds:.0f} s, all "
                        f"{time.perf_counter() - started:.0f} s",
                        flush=True,
                    )
        print(f"\n| {dataset} | macro F1, mean | SD | seconds |\n|---|---|---|---|")
        for (where, name), values in scores.items():
            if where == dataset:
                taken = np.mean(seconds[where, name])
                print(f"| {name} | {np.mean(values):.3f} | {np.std(values, ddof=1):.3f} | {taken:.0f} |")
        print(flush=True)


if __name__ == "__main__":
    main()
