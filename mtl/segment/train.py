"""What `mtl segment train` does: split, train a network a fold, score it beside the baseline, keep the best, report."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from mtl.loading import dump_settings
from mtl.progress import Reporter
from mtl.runs import RunFolder, environment
from mtl.segment.data import Masked, cell_sizes, load_pair, make_split, read_sources, scaled
from mtl.segment.evaluate import METHODS, NETWORK, Row, evaluate, summarise
from mtl.segment.places import advised
from mtl.segment.plan import TrainPlan
from segmentation.crops import CropSettings, Pair
from segmentation.engine import pick_device
from segmentation.files import read_json, write_json, write_table, write_text
from segmentation.networks import SegmentationNetwork
from segmentation.predict import PredictSettings, Segmenter
from segmentation.scores import dice
from segmentation.training import TrainSettings, train_network
from segmentation.weights import ModelCard, load_network, read_card, save_network
from stages.data.catalogue import parse_source
from stages.data.sample import Sample
from stages.data.smears import render_masked
from stages.splits.split import Split, check_split, save_split

__all__ = ["TrainedRun", "train_run"]

_TRAINING = "training"  # folder of what a training keeps until its fold is scored
_REPORTS = 15  # of a training: points of its curves, and checkpoints
_VALIDATED = 24  # images
_RENDERED = 400  # fields
_MAGNIFICATIONS = (4.0, 6.5)  # px per um: white cells measure about `CELL_SIZE`, as in the images beside them


@dataclass(frozen=True)
class TrainedRun:
    """What a training left behind.

    Attributes:
        folder: The run folder.
        parts: Scores by tested part, see `mtl.segment.evaluate.summarise`.
        kept: Fold whose weights were kept, from 1.
    """

    folder: Path
    parts: Mapping[str, Any]
    kept: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return {"folder": str(self.folder), "kept": self.kept, "parts": self.parts}

    def to_text(self) -> str:
        """Return a few lines for a person."""
        lines = []
        for part, found in self.parts.items():
            lines.append(f"{part} ({found['images']} images): {found['verdict']}")
            lines.append(f"  {found['gain']}")
            for method in METHODS:
                mean = found["methods"][method]["mean"]
                lines.append(
                    f"  {method:<12} nucleus Dice {mean['nucleus_dice']:.4f}, cell Dice {mean['cell_dice']:.4f}"
                )
        weights, report = self.folder / "weights.safetensors", self.folder / "report.html"
        return "\n".join(
            [*lines, f"Weights {weights}  (mtl segment IMAGE --weights {weights})", f"Report {report}"]
        )


def train_run(plan: TrainPlan, runs: Path) -> TrainedRun:
    """Train, score and report; a second call goes on where the first stopped.

    Args:
        plan: What to train.
        runs: Folder of run folders.

    Raises:
        MtlError: If flags, the hardware or the run folder are not usable.
        StagesError: If data cannot be read or split.
        SegmentationError: If the network cannot be built.
    """
    device = str(pick_device(plan.hardware))
    plan.network(0)
    data = [parse_source(text, "--data") for text in plan.data]
    test = [parse_source(text, "--test") for text in plan.test]
    name = plan.name or f"segment-{'+'.join(source.dataset for source in data)}-{plan.arch}"
    run = RunFolder(runs / name, stages=runs / name)
    with run.lock(), advised(run.path, "--runs"), Reporter() as reporter:
        masked = read_sources(data, test, plan.limit, reporter.step)
        run.claim("segment train", **_identity(plan, masked))
        write_text(run.path / "config.yaml", dump_settings(plan))
        rehearsal = _Rehearsal(plan, reporter)
        rows: list[Row] = []
        history: list[dict[str, Any]] = []
        for fold in range(plan.folds):
            done = _fold(run.path, plan, masked, fold, device, reporter, rehearsal)
            rows += done["rows"]
            history += done["history"]
        return _finish(run.path, plan, masked, rows, history)


def _identity(plan: TrainPlan, masked: Masked) -> dict[str, Any]:
    start = read_card(plan.weights).sha256 if plan.weights else None
    # Where it is computed is no part of what is computed; how precisely is.
    settings = plan.model_dump(
        mode="json", exclude={"name": True, "hardware": {"accelerator", "devices", "strategy", "logger"}}
    )
    return {**settings, "start_sha256": start, "fingerprint": masked.fingerprint}


def _fold(
    path: Path,
    plan: TrainPlan,
    masked: Masked,
    fold: int,
    device: str,
    reporter: Reporter,
    rehearsal: _Rehearsal,
) -> dict[str, Any]:
    folder = path / f"fold-{fold + 1}"
    folder.mkdir(exist_ok=True)
    record = folder / "fold.json"
    if record.is_file():
        told = read_json(record)
        return {"rows": [Row(**row) for row in told["rows"]], "history": told["history"]}
    split = make_split(masked.train, plan.folds, fold, plan.seed, masked.unit)
    check_split(split, masked.train)
    save_split(split, path / "splits" / f"fold-{fold + 1}.json")
    weights = folder / "weights.safetensors"
    if not (weights.is_file() and (folder / "history.json").is_file()):
        _train(folder, plan, masked, split, fold, reporter, rehearsal)
    tested = {"held out": [one for one in masked.train if one.name in set(split.test)]}
    for one in masked.test:
        tested.setdefault(one.label, []).append(one)
    title = f"fold {fold + 1} of {plan.folds}: test" if plan.folds > 1 else "test"
    segmenter = Segmenter(load_network(weights, device))
    rows = evaluate(
        segmenter, tested, fold + 1, path, lambda done, total, text: reporter.step(title, done, total, text)
    )
    history = read_json(folder / "history.json")
    write_json(record, {"rows": [asdict(row) for row in rows], "history": history})
    shutil.rmtree(folder / _TRAINING, ignore_errors=True)
    return {"rows": rows, "history": history}


def _train(
    folder: Path,
    plan: TrainPlan,
    masked: Masked,
    split: Split,
    fold: int,
    reporter: Reporter,
    rehearsal: _Rehearsal,
) -> None:
    members = {sample.name: sample for sample in masked.train}
    own = [members[name] for name in split.train]
    sizes = cell_sizes(own)
    pairs = [scaled(*load_pair(sample), sizes[sample.label]) for sample in own]
    steps = plan.epochs * math.ceil(len(own) / plan.batch_size) if plan.epochs else plan.updates
    settings = TrainSettings(
        steps=steps, batch_size=plan.batch_size, learning_rate=plan.rate, seed=plan.seed + fold,
        border=plan.border, rehearsal=plan.rehearsed,
        every=max(math.ceil(steps / _REPORTS), 1),
        crops=CropSettings(size=plan.crop_size, scale=(0.67, 1.5)),
    )  # fmt: skip
    title = f"fold {fold + 1} of {plan.folds}: train" if plan.folds > 1 else "train"
    score = _Validation([members[name] for name in split.validation], sizes)

    network = plan.network(plan.seed + fold)
    trained = train_network(
        network,
        pairs,
        settings,
        rehearsal=rehearsal.pairs(steps),
        hardware=plan.hardware,
        folder=folder / _TRAINING,
        progress=lambda done, total, text: reporter.step(title, done, total, text),
        validate=score,
    )
    history = [
        {
            "fold": fold + 1,
            "step": min((row + 1) * settings.every, steps),
            "loss": loss,
            "validation_dice": value,
        }
        for row, (loss, value) in enumerate(zip(trained.losses, trained.validation, strict=True))
    ]
    card = ModelCard(
        name=f"{plan.arch}-fold-{fold + 1}", recipe=network.recipe, data=f"{len(own)} images of {', '.join(sizes)}", licence="that of the data",
        training={**settings.model_dump(), "precision": plan.hardware.precision, "cell_diameter_px": sizes},
    )  # fmt: skip
    save_network(network, folder / "weights.safetensors", card)
    write_json(folder / "history.json", history)


class _Rehearsal:
    # Rendered smears, made when a fold first needs them; the first of many are the same as few.
    def __init__(self, plan: TrainPlan, reporter: Reporter) -> None:
        self._plan, self._reporter = plan, reporter
        self._pairs: list[Pair] = []

    def pairs(self, steps: int) -> Sequence[Pair]:
        count = min(math.ceil(steps * self._plan.batch_size * self._plan.rehearsed), _RENDERED)
        if len(self._pairs) < count:
            images, labels = render_masked(
                count,
                self._plan.seed,
                pixels_per_um=_MAGNIFICATIONS,
                told=lambda done, total: self._reporter.step("render smears", done, total),
            )
            self._pairs = list(zip(images, labels, strict=True))
        return self._pairs[:count]


class _Validation:
    # Mean Dice of nucleus and cell on a few images at the size that the network is trained on.
    def __init__(self, samples: Sequence[Sample], sizes: Mapping[str, float]) -> None:
        step = max(len(samples) // _VALIDATED, 1)
        self.pairs = [
            scaled(*load_pair(one), sizes.get(one.label, 60.0)) for one in samples[::step][:_VALIDATED]
        ]

    def __call__(self, network: SegmentationNetwork) -> float:
        segmenter = Segmenter(network, PredictSettings(scale=1.0))
        values: list[float] = []
        for image, truth in self.pairs:
            found = segmenter.labels(image)
            values += [dice(found >= level, truth >= level) for level in (1, 2)]
        return sum(values) / len(values) if values else math.nan


def _finish(
    path: Path, plan: TrainPlan, masked: Masked, rows: Sequence[Row], history: Sequence[dict[str, Any]]
) -> TrainedRun:
    from mtl.segment.report import write_segment_report

    last = {row["fold"]: row["validation_dice"] for row in history}
    kept = max(last, key=lambda fold: -1.0 if last[fold] is None else last[fold])
    parts = summarise(rows)
    source = path / f"fold-{kept}" / "weights.safetensors"
    fold_card = json.loads(source.with_suffix(".json").read_text("utf-8"))
    network = load_network(source)
    scores = {part: found["methods"][NETWORK]["mean"] for part, found in parts.items()}
    card = ModelCard(
        name=path.name, recipe=network.recipe, data=fold_card["data"], licence=fold_card["licence"], training=fold_card["training"], scores=scores,
        notes=f"Fold {kept} of {plan.folds}, the best on validation images. Scores are means over folds. Not for diagnosis.",
    )  # fmt: skip
    save_network(network, path / "weights.safetensors", card)
    _write_csv(path / "history.csv", history)
    _write_csv(path / "images.csv", [row.flat() for row in rows])
    write_json(path / "scores.json", {"kept_fold": kept, "parts": parts})
    write_segment_report(
        path, plan.model_dump(exclude={"name", "hardware"}), masked, rows, history, parts, environment()
    )
    return TrainedRun(path, parts, kept)


def _write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    write_table(path, list(rows[0]), (row.values() for row in rows))
