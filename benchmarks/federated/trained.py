"""What privacy costs what hospitals train together: head, normalisation layers or all weights; DeepAPL's patients, three seeds.

    MTL_REALDATA=... python benchmarks/federated/trained.py SCORES.csv [--only film] [--rates 0.3,1,3 --seeds 1 --part validation]

The split by patients is that of the configuration `pbc-deepapl`; every seed deals the training patients to other hospitals and draws other noise. The same images, epochs
and clients for all: beside each private system stands the same one without privacy. Choose rates on the validation part before the test part is looked at. A line a score is
added to SCORES.csv, and what stands there is not done again.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
import time
from itertools import product
from pathlib import Path

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, roc_auc_score

from mtl.federate.settings import FederatedExperiment
from mtl.loading import load_settings
from stages.assemble import assemble, make_split, make_task
from stages.learners.federated.learner import FederatedLearner
from stages.learners.federated.settings import FederateSettings
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.model import NetworkLearner
from stages.metrics import paired_difference
from stages.preprocess import Preprocess
from stages.settings import StageSettings
from stages.task import Task

KINDS = ("sgd", "central")
TRAINED = ("head", "film", "full")
_NONE = 0.0
"""Stands for no privacy at all in a list of epsilons."""


def trained_by(stage: StageSettings, trained: str, rate: float, given: argparse.Namespace) -> StageSettings:
    """Return a stage whose head, normalisation layers or all weights learn at a rate, whatever the privacy."""
    train = stage.train.model_dump() | {
        "policy": "frozen" if trained == "head" else trained, "head_epochs": 0, "balance": "none", "optimizer": given.optimizer,
        "learning_rate": rate, "batch_size": given.batch, "weight_decay": 0.0, "keep": "last", "epochs": given.rounds * given.local_epochs,
    }  # fmt: skip
    head = stage.head.model_copy(update={"unit_norm": True, "dropout": 0.0})
    return stage.model_copy(update={"train": stage.train.model_validate(train), "head": head})


def federate(
    base: NetworkLearner, task: Task, samples: list, kind: str, trained: str, epsilon: float, given: argparse.Namespace
) -> np.ndarray:  # fmt: skip
    """Return votes of what the hospitals learn, on all images that are split (N, K)."""
    shared: dict[str, object] = {
        "clients": given.clients,
        "rounds": given.rounds,
        "local_epochs": given.local_epochs,
    }
    if epsilon != _NONE:
        shared |= {
            "dp": kind,
            "dp_train": trained,
            "epsilon": epsilon,
            "delta": 1e-2 if kind == "central" else 1e-5,
        }
    with tempfile.TemporaryDirectory() as folder:
        model, _ = FederatedLearner(base, FederateSettings.model_validate(shared), samples).fit(
            task, Path(folder)
        )
    return model.prepared_probabilities(task.images)


def main() -> None:
    """Print a line a system, seed and epsilon."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scores", type=Path)
    parser.add_argument("--only", default=",".join(TRAINED))
    parser.add_argument("--dp", default="sgd", choices=KINDS)
    parser.add_argument("--epsilons", default="0,8,2", help="0 is without privacy")
    parser.add_argument("--rates", default="3")
    parser.add_argument("--optimizer", default="sgd")
    parser.add_argument("--part", default="test")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--batch", type=int, default=128)
    for name, default in (("clients", 5), ("rounds", 4), ("local-epochs", 2)):
        parser.add_argument(f"--{name}", type=int, default=default)
    given = parser.parse_args()
    given.scores.touch()
    known = {tuple(one[:7]) for one in csv.reader(given.scores.open())}
    experiment = load_settings(
        FederatedExperiment, "pbc-deepapl", {"against": "none", "multi_cell.learner": "network"}
    )
    stage = experiment.multi_cell
    data = assemble(stage.data, stage.split.near_duplicates)
    task = make_task(
        data,
        make_split(data.samples, stage.split, experiment.seed, data.unit, None, ""),
        Preprocess(stage.preprocess),
    )
    labels, rows = task.labels, task.rows[given.part]
    groups = [str(data.samples[row].group) for row in rows]
    with tempfile.TemporaryDirectory() as scratch:
        start = Path(scratch) / "start.safetensors"
        weights = imagenet_backbone(experiment.backbone, "auto", start, 0)
        chosen = product(range(given.seeds), given.only.split(","), given.rates.split(","))
        for seed, trained, rate in chosen:
            base = NetworkLearner(trained_by(stage, trained, float(rate), given), weights, start, seed)
            open_votes = None
            for epsilon in map(float, given.epsilons.split(",")):
                key = (given.dp, trained, f"{epsilon:g}", str(seed), given.part, given.optimizer, rate)
                if key in known:
                    continue
                began = time.perf_counter()
                votes = federate(base, task, list(data.samples), given.dp, trained, epsilon, given)
                seconds = time.perf_counter() - began
                open_votes = votes if epsilon == _NONE else open_votes
                said = votes[rows].argmax(axis=1)
                learned = task.rows["train"]
                right = np.concatenate([votes[part, labels[part]] for part in (learned, rows)])
                attack = roc_auc_score(np.repeat([1, 0], [len(learned), len(rows)]), right)
                lead = ["", "", ""]
                if open_votes is not None and epsilon != _NONE:
                    found = paired_difference(
                        labels[rows], votes[rows], open_votes[rows], groups, "macro_f1", resamples=1000, seed=seed
                    )  # fmt: skip
                    lead = [f"{value:.4f}" for value in (found.value, found.low, found.high)]
                line = (
                    *key, f"{accuracy_score(labels[rows], said):.4f}", f"{f1_score(labels[rows], said, average='macro'):.4f}",
                    *lead, f"{attack:.4f}", f"{seconds:.0f}",
                )  # fmt: skip
                with given.scores.open("a", newline="") as out:
                    csv.writer(out).writerow(line)
                print(
                    "{} {} epsilon {} seed {} on {}, {} {}: accuracy {}, macro F1 {}, minus no noise {} [{}, {}], attack {}, {} s".format(
                        *line
                    ),
                    flush=True,
                )


if __name__ == "__main__":
    main()
