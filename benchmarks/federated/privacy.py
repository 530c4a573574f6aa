"""What privacy costs least squares at five hospitals: DeepAPL's patients, frozen features, three seeds, two ways to deal the patients.

    python benchmarks/federated/privacy.py --config pbc-deepapl --public pbc:DATA/pbc --dimensions 16 --cache FOLDER

The split by patients is that of the configuration; every seed deals the training patients to other hospitals and draws other noise. Choose dimensions on
inner folds of the training patients (`--choose 8,16,24`), before the test part is looked at. "No noise" is the same model at epsilon 1000. One attack tells training from test images by their loss (Yeom et al. 2018), and so
other patients, too; the other goes by likelihood ratios of shadow models (LiRA, Carlini et al. 2022, offline), which closed-form heads make cheap.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score
from sklearn.model_selection import GroupKFold

from mtl.federate.settings import FederatedExperiment
from mtl.loading import load_settings
from segmentation.files import make_folder
from stages.assemble import assemble, make_split
from stages.data.catalogue import parse_source
from stages.data.images import content_key
from stages.data.sample import Sample
from stages.data.sources import read_sources
from stages.data_settings import DataSettings
from stages.learners.federated.least_squares import SHARE, balanced, head_weights, noisy_sums, solve
from stages.learners.federated.partition import client_rows
from stages.learners.federated.settings import FederateSettings
from stages.learners.network.backbones import imagenet_backbone, rebuild_backbone
from stages.learners.network.heads import Basis, find_basis
from stages.learners.network.loading import load_state, match_state
from stages.learners.network.network import Network
from stages.metrics import paired_difference
from stages.preprocess import Preprocess
from stages.settings import HeadSettings, StageSettings

Floats = npt.NDArray[np.float64]
Rows = dict[str, npt.NDArray[np.int64]]


def features_of(
    samples: list[Sample], key: str, stage: StageSettings, backbone: str, cache: Path
) -> torch.Tensor:
    """Return pooled features (N, F) of a backbone with ImageNet weights, computed once."""
    path = cache / f"{key}.npy"
    if not path.is_file():
        record = imagenet_backbone(backbone, "auto", cache / "backbone.safetensors", 0)
        module = rebuild_backbone(record, "avg", stage.preprocess.image_size)
        match_state(module, load_state(cache / "backbone.safetensors"), backbone)
        network = Network(module, record, HeadSettings(), ("one", "other")).eval()
        images = Preprocess(stage.preprocess).store(samples, content_key(samples))
        found = []
        with torch.inference_mode():
            for begin in range(0, len(images), 16):
                batch = torch.from_numpy(np.array(images[begin : begin + 16]))
                found.append(network.features(batch.permute(0, 3, 1, 2).float() / 255))
        np.save(path, torch.cat(found).numpy())
    return torch.from_numpy(np.load(path))


def train(
    units: Floats,
    labels: npt.NDArray[np.int64],
    parts: list[npt.NDArray[np.int64]],
    classes: int,
    epsilon: float,
    seed: int,
) -> tuple[Floats, Floats]:
    """Return the dense layer that hospitals solve for together; see `ask_for_sums`."""
    settings = FederateSettings(dp="least-squares", epsilon=epsilon, dimensions=units.shape[1])
    sums = [
        noisy_sums(units[rows], labels[rows], classes, settings, seed, (seed, number))
        for number, rows in enumerate(parts)
    ]
    count = np.array([len(rows) for rows in parts])
    squares, products = (
        sum(share * getattr(one, name) for share, one in zip(count / count.sum(), sums, strict=True))
        for name in ("squares", "products")
    )
    noise = sums[0].sigma * np.sqrt(len(parts)) / count.sum()
    weights = balanced(solve(squares, products, noise / np.sqrt(SHARE)), products, noise / np.sqrt(1 - SHARE))
    return head_weights(weights, units.shape[1], seed)


def votes_of(units: Floats, layer: tuple[Floats, Floats]) -> Floats:
    scores = units @ layer[0].T + layer[1]
    raised = np.exp(scores - scores.max(axis=1, keepdims=True))
    found: Floats = raised / raised.sum(axis=1, keepdims=True)
    return found


def confidence(votes: Floats, labels: npt.NDArray[np.int64]) -> Floats:
    """Return the logit of the probability of what is right, (N,)."""
    right = votes[np.arange(len(labels)), labels].clip(1e-9, 1 - 1e-9)
    found: Floats = np.log(right / (1 - right))
    return found


def lira(
    units: Floats, labels: npt.NDArray[np.int64], parts: list[npt.NDArray[np.int64]], classes: int, epsilon: float, seed: int, shadows: int
) -> float:  # fmt: skip
    """Return the AUROC of offline LiRA on a model of half of each hospital's images, told from the other half: of the same patients.

    Shadow models learn from other halves; an image is judged by those that have not seen it.
    """
    random = np.random.default_rng([seed, 5])
    everybody = np.sort(np.concatenate(parts))
    told, member = [], []
    for number in range(shadows + 1):
        halves = [np.sort(random.permutation(rows)[: max(2, len(rows) // 2)]) for rows in parts]
        layer = train(units, labels, halves, classes, epsilon, seed if number == 0 else 1000 + number)
        told.append(confidence(votes_of(units[everybody], layer), labels[everybody]))
        member.append(np.isin(everybody, np.concatenate(halves)))
    out = np.where(np.array(member[1:]), np.nan, np.array(told[1:]))
    known = (~np.array(member[1:])).sum(axis=0) > 1
    score = (told[0] - np.nanmean(out, axis=0)) / (np.nanstd(out, axis=0) + 1e-3)
    return float(roc_auc_score(member[0][known], score[known]))


def choose(
    features: torch.Tensor, public: torch.Tensor, labels: npt.NDArray[np.int64], groups: list[str], classes: int, dimensions: list[int], epsilon: float
) -> None:  # fmt: skip
    """Print macro F1 on folds of the training patients by number of dimensions: what decides it before the test part is looked at."""
    for width in dimensions:
        basis = Basis(features.shape[1], width)
        basis.load_state_dict(find_basis(public.double(), width))
        units = basis(features).double().numpy()
        scores: dict[float, list[float]] = {epsilon: [], 1000.0: []}
        for fold, (known, left) in enumerate(
            GroupKFold(4, shuffle=True, random_state=0).split(units, labels, groups)
        ):
            patients = np.array(groups)[known]
            for seed in range(3):
                dealt = np.random.default_rng([fold, seed]).permutation(np.unique(patients))
                hospitals = [known[np.isin(patients, own)] for own in np.array_split(dealt, 5)]
                for spent, own in scores.items():
                    said = votes_of(
                        units[left], train(units, labels, hospitals, classes, spent, seed)
                    ).argmax(axis=1)
                    own.append(float(f1_score(labels[left], said, average="macro")))
        print(
            f"{width} dimensions, four folds of the training patients, three seeds: macro F1 {np.mean(scores[epsilon]):.3f} at epsilon {epsilon:g}, "
            f"{np.mean(scores[1000.0]):.3f} without noise",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", default="pbc-deepapl")
    parser.add_argument("--public", required=True)
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--dimensions", type=int, default=16)
    parser.add_argument(
        "--choose",
        help="widths to try on folds of the training patients, such as 8,16,24; nothing else is done",
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--resamples", type=int, default=1000)
    parser.add_argument("--shadows", type=int, default=32)
    given = parser.parse_args()
    make_folder(given.cache)
    experiment = load_settings(
        FederatedExperiment, given.config, {"against": "none", "multi_cell.learner": "network"}
    )
    stage, source = experiment.multi_cell, parse_source(given.public, "--public")
    data = assemble(stage.data, stage.split.near_duplicates)
    public, _ = read_sources(DataSettings(dataset=source.dataset, root=source.folder))
    own = features_of(list(data.samples), "own", stage, experiment.backbone, given.cache)
    others = features_of(public, "public", stage, experiment.backbone, given.cache)
    split = make_split(data.samples, stage.split, experiment.seed, data.unit, None, "")
    labels, classes = data.labels(), len(data.classes)
    if given.choose:
        part = split.part_of()
        rows = [row for row, sample in enumerate(data.samples) if part.get(sample.name) == "train"]
        patients = [str(data.samples[row].group) for row in rows]
        choose(
            own[rows], others, labels[rows], patients, classes, list(map(int, given.choose.split(","))), 2.0
        )
        return
    basis = Basis(own.shape[1], given.dimensions)
    basis.load_state_dict(find_basis(others.double(), given.dimensions))
    units = basis(own).double().numpy()
    print(
        f"{len(labels)} images, {classes} classes, {given.dimensions} of {own.shape[1]} dimensions by {len(public)} public images"
    )
    for how in ("by-group", "dirichlet:0.3"):
        for seed in range(given.seeds):
            parts = split.part_of()
            where = np.array([parts.get(sample.name, "") for sample in data.samples])
            rows: Rows = {part: np.flatnonzero(where == part) for part in ("train", "validation", "test")}
            hospitals = [dealt["train"] for _, dealt in client_rows(data.samples, rows, labels, 5, how, seed)]
            test, learned = rows["test"], np.concatenate(hospitals)
            groups = [str(data.samples[row].group) for row in test]
            drawn = {"resamples": given.resamples, "seed": seed}
            plain = votes_of(units, train(units, labels, hospitals, classes, 1000.0, seed))
            for epsilon in (1000.0, 8.0, 2.0, 1.0):
                layer = train(units, labels, hospitals, classes, epsilon, seed)
                votes = votes_of(units, layer)
                said = votes[test].argmax(axis=1)
                accuracy, f1 = (
                    accuracy_score(labels[test], said),
                    f1_score(labels[test], said, average="macro"),
                )
                lead = paired_difference(labels[test], votes[test], plain[test], groups, "macro_f1", **drawn)
                member = np.repeat([1, 0], [len(learned), len(test)])
                both = np.concatenate([learned, test])
                loss = roc_auc_score(member, confidence(votes[both], labels[both]))
                ratio = lira(units, labels, hospitals, classes, epsilon, seed, given.shadows)
                print(
                    f"{how} seed {seed} epsilon {epsilon:g}: accuracy {accuracy:.3f}, macro F1 {f1:.3f}, "
                    f"minus no noise {lead.value:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}], "
                    f"attacks {loss:.3f} (loss) {ratio:.3f} (LiRA)",
                    flush=True,
                )


if __name__ == "__main__":
    main()
