"""A model card in Markdown: what was learned from, how it was split, what it reached, and where it ends."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from mtl.records import LearnedRecord, OverColour
from stages.learners.network.model import NetworkModel
from stages.metrics import Evaluation

if TYPE_CHECKING:
    from mtl.export.command import ExportedStage

__all__ = ["model_card"]

_SHOWN = ("accuracy", "macro_f1", "balanced_accuracy", "auroc")


def model_card(record: LearnedRecord, model: NetworkModel, exported: ExportedStage) -> str:
    """Return the card of an exported stage.

    Args:
        record: Of the stage.
        model: That was exported.
        exported: What was written.
    """
    return (
        "\n".join(
            [*_about(record, model, exported), *_data(record), *_scores(record), *_limits(record, exported)]
        )
        + "\n"
    )


def _about(record: LearnedRecord, model: NetworkModel, exported: ExportedStage) -> Iterator[str]:
    settings, sure = model.preprocess.settings, model.calibration
    yield f"# {exported.stage}"
    yield "\nFor research. It is no medical device, and no diagnosis may rest on it.\n"
    yield f"- **Answers** {', '.join(record.classes)}"
    yield f"- **Network** {record.weights.backbone}, {record.parameters:,} parameters, weights from {record.weights.source or 'none'}"
    yield f"- **Licence** of the weights that it began from: {record.weights.licence or 'none given'}; data sets have terms of their own"
    yield f"- **Input** bytes (batch, height, width, 3) RGB of any size; made {settings.image_size} x {settings.image_size} px ({settings.fit}) inside"
    yield f"- **Before it** {', '.join(exported.outside) if exported.outside else 'nothing: bytes as they come from a file'}"
    temperature = (
        f"calibrated by the temperature {sure.certainty.temperature:.2f}" if sure else "not calibrated"
    )
    yield f"- **Probabilities** {temperature}; mean over {4 if model.flips else 1} mirror images"
    yield (
        f"- **Parity** {exported.images} test images: largest difference of a probability {exported.difference:.1e} to the run in 32 bits"
    )
    if exported.int8:
        yield (
            f"- **int8** accuracy {exported.int8.accuracy_int8:.3f} in place of {exported.int8.accuracy:.3f} on the same images; "
            f"{exported.int8.changed} get another class"
        )


def _data(record: LearnedRecord) -> Iterator[str]:
    data = record.data
    yield "\n## Data\n"
    for source in data.sources:
        yield f"- {source.dataset}: {source.images} images{' (**rendered smears, not patient data**)' if source.rendered else ''}, {source.groups} groups"
    yield f"- **Unit of the split** {data.unit}; {data.split}"
    yield "\n| part | groups | images |\n|---|---|---|"
    for part, counts in data.counts.items():
        told = ", ".join(f"{name} {count}" for name, count in counts.items())
        yield f"| {part} | {data.groups[part]} | {told} |"


def _scores(record: LearnedRecord) -> Iterator[str]:
    yield "\n## Scores\n"
    if record.evaluation is None:
        yield "None: the test part is empty."
        return
    yield (
        "With 95 % intervals of a bootstrap over groups.\n\n| on | images | "
        + " | ".join(_SHOWN)
        + " |\n|---|---|"
        + "---|" * len(_SHOWN)
    )
    yield _row("test part", record.evaluation)
    for name, scores in record.baselines.items():
        yield _row(f"colour alone ({name})", scores)
    for test in record.tests:
        yield _row(f"external: {test.source.name}", test.evaluation)


def _row(name: str, scores: Evaluation) -> str:
    def cell(metric: str) -> str:
        told = scores.headline.get(metric)
        return f"{told.value:.3f} [{told.low:.3f}, {told.high:.3f}]" if told else ""

    return f"| {name} | {scores.n} | " + " | ".join(map(cell, _SHOWN)) + " |"


def _limits(record: LearnedRecord, exported: ExportedStage) -> Iterator[str]:
    yield "\n## Findings and limits\n"
    if record.data.rendered:
        yield "- It learned from rendered smears: nothing is known of real ones."
    if record.over_colour is not None:
        yield f"- {_colour(record.over_colour)}"
    if record.trust is not None:
        yield f"- Calibration error of the test part {record.trust.ece_before:.3f} before and {record.trust.ece_after:.3f} after calibration."
        held = ", ".join(
            f"{name} {'none there' if part is None else f'{part:.0%}'}"
            for name, part in record.trust.coverage.items()
        )
        yield f"- The set of classes holds the right one in: {held} (wanted: 90 % of every class)."
    yield from (f"- {note}" for note in record.data.notes)
    yield "- Images that are unlike the training data are not told by the file: compare its features, or ask `mtl predict`."
    yield "- Patients, scanners and stains that are not above have not been tested."


def _colour(told: OverColour) -> str:
    lead = told.macro_f1
    judged = "beats" if lead.low > 0 else "is not shown to beat" if lead.value > 0 else "does not beat"
    return f"It {judged} colour alone ({told.baseline}): macro F1 {lead.value:+.3f} [{lead.low:+.3f}, {lead.high:+.3f}]."
