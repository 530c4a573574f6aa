"""Who of DeepAPL's patients has APL, told from their cells: `python benchmarks/patients_deepapl.py DEEPAPL --out FOLDER`.

Patient-grouped, stratified folds, dealt anew in every repeat: each patient is tested once a repeat. Everything is learned inside the training
fold; a validation part of its patients picks epochs. Features are of a backbone at rest, computed once. Beside bags that learn: the vote of
cells that were labelled with their patient's diagnosis, colour alone, and the authors' baseline, the share of promyelocytes, by the
technicians' labels and by a cell classifier of our own (ridge on the same features, cell types of the training patients).
"""

from __future__ import annotations

import argparse
import hashlib
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from mtl.statistics import corrected_repeated_kfold_t, delong_auroc, delong_test, holm_defined
from segmentation.cache import cached_array
from segmentation.files import write_json, write_table
from stages.assemble import assemble, make_task
from stages.bag_settings import BagSettings
from stages.data.sample import Sample
from stages.data_settings import DataSettings
from stages.learners.bags.fitting import Bags, answer_bags, fit_bags
from stages.learners.bags.model import PictureFeatures
from stages.learners.classical.colour import colour_histogram, colour_statistics
from stages.learners.classical.features.deep import DeepFeatures
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.stacked.closed_form import LeastSquares
from stages.preprocess import Preprocess
from stages.preprocess.bags import spread, squares_of
from stages.settings import PreprocessSettings
from stages.splits.methods import kfold

FOLDS, STRENGTH = 5, 0.3
BASELINES = (
    "share of promyelocytes, technicians",
    "share of promyelocytes, our cell classifier",
    "colour alone",
)
Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


def cell_types(samples: tuple[Sample, ...], most: int) -> list[list[str]]:
    """Return the technicians' cell type of every picture that stands in a bag: the folder that it lies in."""
    return [
        [sample.members[place].path.parent.name for place in spread(len(sample.members), most)]
        for sample in samples
    ]


class Fold:
    """What is learned inside one fold, and said of its test patients.

    Args:
        bags: Features of the pictures of all patients.
        labels: 1 for APL, (N,).
        types: Cell type of every picture, patient by patient.
        colours: Mean colour histogram and statistics of the pictures of every patient, (N, C).
        rows: Patients by part.
        seed: Of everything.
    """

    def __init__(
        self, bags: Bags, labels: Labels, types: list[list[str]], colours: Floats, rows: dict[str, Labels], seed: int
    ) -> None:  # fmt: skip
        self.bags, self.labels, self.types, self.colours, self.seed = bags, labels, types, colours, seed
        self.rows, self.test = rows, rows["test"]
        self.known = np.concatenate([rows["train"], rows["validation"]])
        self.owner = np.repeat(np.arange(len(bags)), bags.counts)

    def scores(self) -> dict[str, Floats]:
        """Return the score of every test patient, higher for APL, by method."""
        found = {name: self.bag(name) for name in ("attention", "mean", "noisy-or")}
        found["majority vote of cells"] = self.vote()
        forest = RandomForestClassifier(300, random_state=self.seed)
        forest.fit(self.colours[self.known], self.labels[self.known])
        found["colour alone"] = forest.predict_proba(self.colours[self.test])[:, 1]
        found[BASELINES[0]] = np.array(
            [np.mean([kind == "Promyelocyte" for kind in self.types[row]]) for row in self.test]
        )
        found[BASELINES[1]] = self.classified()
        return found

    def bag(self, aggregate: str) -> Floats:
        """Return the probability of APL by bags that learn."""
        settings = BagSettings.model_validate({"aggregate": aggregate})
        fitted = fit_bags(self.bags, self.labels, self.rows, 2, settings, self.seed)
        said: Floats = answer_bags(fitted.network, self.bags, self.test).logs[:, 1].exp().double().numpy()
        return said

    def vote(self) -> Floats:
        """Return the share of cells that are called APL by a classifier that learned cells with their patient's label."""
        head = self._head(self.labels[self.owner], 2)
        said = head(self.bags.features).argmax(axis=1)
        return np.array([said[self.owner == row].mean() for row in self.test])

    def classified(self) -> Floats:
        """Return the share of cells that our cell classifier calls promyelocytes."""
        kinds = sorted({kind for own in self.types for kind in own})
        truth = np.array([kinds.index(kind) for own in self.types for kind in own], np.int64)
        said = self._head(truth, len(kinds))(self.bags.features).argmax(axis=1) == kinds.index("Promyelocyte")
        return np.array([said[self.owner == row].mean() for row in self.test])

    def _head(self, truth: Labels, classes: int) -> LeastSquares:
        own = np.isin(self.owner, self.known)
        return LeastSquares.path(self.bags.features[own], truth[own], classes)[STRENGTH]


def features_of(images: npt.NDArray[np.uint8], asked: argparse.Namespace) -> Bags:
    """Return the features of all pictures by the backbone that is asked for, kept in the cache."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "backbone.safetensors"
        record = imagenet_backbone(asked.backbone, asked.weights, file, 0)
        features = PictureFeatures(DeepFeatures(record, file, "avg", asked.size))
        key = hashlib.sha256(np.ascontiguousarray(images).data).hexdigest() + features.deep.key
        seen = cached_array("patients", key, lambda: features(images, told).features)
    return Bags(seen, np.array([len(squares_of(strip)) for strip in images], np.int64))


def told(done: int) -> None:
    """Print how many patients' cells were looked at."""
    if done % 10 == 0:
        print(f"features of {done} patients", flush=True)


def measured(asked: argparse.Namespace) -> tuple[Labels, list[str], dict[str, Floats], dict[str, Floats]]:
    """Return labels, names, out-of-fold scores of every repeat (R, N) and AUROC of every fold (R * K,), by method."""
    data = assemble(
        DataSettings(dataset="deepapl-diagnosis", root=asked.deepapl, on_bad_file="leave-out"),
        near_duplicates=True,
        unit="patient",
    )
    labels, names = data.labels(), [sample.name for sample in data.samples]
    preprocess = Preprocess(
        PreprocessSettings(image_size=asked.size),
        bagging=BagSettings(most=asked.most).of("patient"),
    )
    parts = [
        [
            kfold(data.samples, folds=FOLDS, fold=fold, validation=0.2, seed=repeat, unit=data.unit)
            for fold in range(FOLDS)
        ]
        for repeat in range(asked.repeats)
    ]
    images = make_task(data, parts[0][0], preprocess).images
    bags = features_of(images, asked)
    types = cell_types(data.samples, asked.most)
    colours = np.array([
        np.concatenate([colour_histogram(own).mean(axis=0), colour_statistics(own).mean(axis=0)])
        for own in map(squares_of, images)
    ], np.float64)  # fmt: skip
    print(
        f"{len(labels)} patients, {labels.sum()} with {data.classes[1]}, {bags.counts.sum()} cells, features {bags.features.shape[1]}",
        flush=True,
    )
    place = {name: row for row, name in enumerate(names)}
    scores: dict[str, Floats] = {}
    areas: dict[str, list[float]] = {}
    for repeat, folds in enumerate(parts):
        for number, split in enumerate(folds):
            rows = {
                part: np.array([place[name] for name in getattr(split, part)], np.int64)
                for part in ("train", "validation", "test")
            }
            begun = time.perf_counter()
            for name, said in Fold(bags, labels, types, colours, rows, repeat).scores().items():
                scores.setdefault(name, np.full((asked.repeats, len(labels)), np.nan))[
                    repeat, rows["test"]
                ] = said
                areas.setdefault(name, []).append(float(roc_auc_score(labels[rows["test"]], said)))
            print(f"repeat {repeat} fold {number}: {time.perf_counter() - begun:.0f} s", flush=True)
        tell(
            labels,
            {name: own[: repeat + 1] for name, own in scores.items()},
            {name: np.array(own) for name, own in areas.items()},
        )
    return labels, names, scores, {name: np.array(own) for name, own in areas.items()}


def tell(labels: Labels, scores: Mapping[str, Floats], areas: Mapping[str, Floats]) -> None:
    """Print the table: AUROC over patients by the mean score of all repeats, mean over folds, and tests against each baseline."""
    pooled = {name: own.mean(axis=0) for name, own in scores.items()}
    print("\nmethod | AUROC over patients [95 %, DeLong] | mean of folds (SD)")
    for name, own in pooled.items():
        area = delong_auroc(labels == 1, own)
        print(
            f"{name} | {area.value:.3f} [{area.low:.3f}, {area.high:.3f}] | {areas[name].mean():.3f} ({areas[name].std(ddof=1):.3f})"
        )
    learned = [name for name in pooled if name not in BASELINES]
    print("\nfirst minus second | over folds [95 %, corrected] p | DeLong over patients p, Holm")
    pairs = [(name, other) for other in BASELINES for name in learned]
    tests = [corrected_repeated_kfold_t(areas[a], areas[b], folds=FOLDS) for a, b in pairs]
    curves = [delong_test(labels == 1, pooled[a], pooled[b]) for a, b in pairs]
    adjusted = holm_defined([one.p for one in tests]), holm_defined([one.p for one in curves])
    for (a, b), test, curve, p, q in zip(pairs, tests, curves, *adjusted, strict=True):
        print(
            f"{a} - {b} | {test.difference:+.3f} [{test.low:+.3f}, {test.high:+.3f}] p {test.p:.3f}, Holm {p:.3f} | {curve.difference:+.3f} p {curve.p:.3f}, Holm {q:.3f}"
        )


def main() -> None:
    """Measure, print, and write every score."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deepapl", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--weights", default="auto")
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--most", type=int, default=96, help="cells of a patient, at most")
    parser.add_argument("--repeats", type=int, default=1)
    asked = parser.parse_args()
    labels, names, scores, areas = measured(asked)
    asked.out.mkdir(parents=True, exist_ok=True)
    mean = {name: own.mean(axis=0) for name, own in scores.items()}
    write_table(
        asked.out / "patients.csv",
        ["patient", "label", *mean],
        zip(names, labels.tolist(), *(own.tolist() for own in mean.values()), strict=True),
    )
    write_json(asked.out / "folds.json", {name: own.tolist() for name, own in areas.items()})


if __name__ == "__main__":
    main()
