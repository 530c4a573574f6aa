"""The sister systems side by side on real smears: networks, their ensembles, and classifiers on features, beside colour alone.

    MTL_REALDATA=... python benchmarks/sisters_real.py OUT_FOLDER [taleqani] [deepapl]

Taleqani is split by blocks of file numbers (three blocks), DeepAPL by patients (three seeds); every system has the same splits and image size.
All tuning is by grouped folds inside the training part, all weights of ensembles are chosen on the validation part. Prints a line a system
and split, then a table: mean and extremes of macro F1, the lead over colour with its corrected 95 % interval (Nadeau & Bengio 2003, two
degrees of freedom), p after Holm over all systems of the data set, and seconds to fit. Finished runs are reused.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mtl.config import load_config
from mtl.ensemble.command import make_ensemble
from mtl.ensemble.settings import EnsembleSettings
from mtl.records import LearnedRecord
from mtl.run.execute import execute
from mtl.statistics import corrected_resampled_t, holm_defined

NETWORKS = ("tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2")
HAND_MADE = "colour,glcm,glrlm,lbp,ldp,dost"
CLASSIFIERS = (
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
TESTED = {"taleqani": 0.25, "deepapl": 0.2}
SIZES = {"taleqani": 96, "deepapl": 64}


def run(folder: Path, dataset: str, place: int, name: str, sets: list[str]) -> LearnedRecord:
    config, splits = SPLITS[dataset]
    seed, offset = splits[place]
    given = {"stages": "1,3", "against": "none", "seed": seed, "name": f"{dataset}-{place}-{name}"}
    fixed = [
        f"multi_cell.split.offset={offset}",
        f"multi_cell.preprocess.image_size={SIZES[dataset]}",
        "evaluation.resamples=200",
    ]
    stages = execute(load_config(config, given, fixed + sets), folder, "").stages["1,3"]
    (record,) = (one for one in stages if isinstance(one, LearnedRecord))
    return record


def systems(folder: Path, dataset: str, place: int) -> Iterator[tuple[str, float, float]]:
    """Yield name, macro F1 on the test part and seconds of every system."""
    spent = 0.0
    for backbone in NETWORKS:
        sets = [f"backbone={backbone}", "multi_cell.learner=network", "multi_cell.train.epochs=4"]
        record = run(folder, dataset, place, backbone, sets)
        spent += record.seconds
        yield backbone, macro_f1(record), record.seconds
        if backbone == NETWORKS[0]:
            for name, evaluation in record.baselines.items():
                yield name, evaluation.headline["macro_f1"].value, float("nan")
    members = [folder / f"{dataset}-{place}-{backbone}" for backbone in NETWORKS]
    settings = EnsembleSettings(name=f"{dataset}-{place}-ensemble", copies=False, resamples=200)
    for method in make_ensemble(members, settings, folder, "").content.methods:
        if not method.single:
            score = method.evaluation.headline["macro_f1"].value
            yield f"three networks, {method.name}", score, spent
    for learner, features in CLASSIFIERS:
        sets = [
            f"multi_cell.learner={learner}", f"multi_cell.classical.features=[{features}]",
            "multi_cell.classical.folds=3", "multi_cell.classical.candidates=4",
            f"multi_cell.classical.balance={'weights' if dataset == 'deepapl' else 'none'}",
            "evaluation.baselines=false",
        ]  # fmt: skip
        record = run(folder, dataset, place, f"{learner}-{features.replace(',', '-')}"[:60], sets)
        yield f"{learner} on {features}", macro_f1(record), record.seconds
    record = run(
        folder, dataset, place, "stacked", ["multi_cell.learner=stacked", "evaluation.baselines=false"]
    )
    yield "stacked (ours)", macro_f1(record), record.seconds


def macro_f1(record: LearnedRecord) -> float:
    assert record.evaluation is not None  # noqa: S101 - every split tests
    return record.evaluation.headline["macro_f1"].value


def table(dataset: str, scores: dict[str, list[float]], seconds: dict[str, list[float]]) -> str:
    colour = max(
        (name for name, taken in seconds.items() if np.isnan(taken).all()),  # baselines come with a network
        key=lambda one: np.mean(scores[one]),
    )
    others = [name for name in scores if name != colour]
    tests = [
        corrected_resampled_t(scores[name], scores[colour], test_fraction=TESTED[dataset]) for name in others
    ]
    adjusted = holm_defined([test.p for test in tests])
    lines = [
        f"| {dataset} | macro F1: mean | least, most | lead over {colour}, points | p (Holm) | seconds |",
        "|---|---|---|---|---|---|",
    ]
    for name, values in sorted(scores.items(), key=lambda one: -float(np.mean(one[1]))):
        lead = p = ""
        if name != colour:
            test = tests[others.index(name)]
            lead = f"{100 * test.difference:+.1f} [{100 * test.low:.1f}, {100 * test.high:.1f}]"
            p = f"{adjusted[others.index(name)]:.3f}"
        taken = f"{np.mean(seconds[name]):.0f}"
        lines.append(
            f"| {name} | {np.mean(values):.3f} | {min(values):.3f}, {max(values):.3f} | {lead} | {p} | {taken} |"
        )
    return "\n".join(lines)


def main() -> None:
    folder, chosen = Path(sys.argv[1]), sys.argv[2:] or list(SPLITS)
    for dataset in chosen:
        scores: dict[str, list[float]] = defaultdict(list)
        seconds: dict[str, list[float]] = defaultdict(list)
        for place in range(3):
            for name, value, taken in systems(folder, dataset, place):
                scores[name].append(value)
                seconds[name].append(taken)
                print(
                    f"{dataset} split {place} {name}: macro F1 {value:.3f}, fitted in {taken:.0f} s",
                    flush=True,
                )
        print(f"\n{table(dataset, scores, seconds)}\n", flush=True)


if __name__ == "__main__":
    main()
