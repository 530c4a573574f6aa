"""Render the content of a report as one HTML page."""

from __future__ import annotations

import base64
import math
from typing import Any

from mtl.records import OverColour, SourceRecord
from mtl.report.page import render_page
from mtl.run.compared import comparison_sentence, points
from mtl.run.content import RunContent, StageContent, commonest_mistake, find_mistakes, learner_name
from mtl.run.empty import empty_comparison
from mtl.run.gallery import Shown, sanity_text
from stages.metrics import Evaluation, Interval
from stages.settings import PreprocessSettings
from stages.stacked_settings import STACKED

__all__ = ["headline", "render_html"]

_MISTAKES = 12
_ENOUGH = 20
_SCORES = (
    ("accuracy", "accuracy"),
    ("balanced_accuracy", "balanced accuracy"),
    ("macro_f1", "macro F1"),
    ("weighted_f1", "weighted F1"),
    ("macro_auroc", "macro AUROC"),
    ("macro_auprc", "macro AUPRC"),
    ("ece", "calibration error"),
)


def render_html(content: RunContent) -> str:
    """Return the page: styles, figures and thumbnails inside, nothing loaded from elsewhere."""
    from markupsafe import Markup

    from mtl.run import figures, reliability

    views = []
    for stage in content.stages:
        shown = {
            "stage": stage,
            "name": _name(content, stage),
            "curves": [Markup(one) for one in figures.curves(stage)],  # noqa: S704 - our own SVG
            "roc": Markup(figures.roc(stage.predictions, stage.evaluation))  # noqa: S704
            if stage.predictions and stage.evaluation
            else None,
            "confusion": Markup(figures.confusion(stage.evaluation)) if stage.evaluation else None,  # noqa: S704
            "mistakes": [
                (one, figures.picture(one.name, stage.record.data.sources))
                for one in stage.mistakes[:_MISTAKES]
            ],
            "reliability": [Markup(one) for one in reliability.figures(stage)],  # noqa: S704 - our own SVG
            "trust": reliability.sentences(stage),
            "explained": _explained(stage),
            "sanity": sanity_text(stage.gallery.sanity) if stage.gallery else "",
            "most_frequent": commonest_mistake(stage.mistakes),
            "policy": _policy(stage),
            "against_colour": _against_colour(stage.record.over_colour),
            "caution": _caution(stage.evaluation),
            "sources": [_source(source) for source in stage.record.data.sources],
            "tests": [
                {
                    "record": test,
                    "source": _source(test.source),
                    "confusion": Markup(figures.confusion(test.evaluation)),  # noqa: S704 - our own SVG
                    "against_colour": _against_colour(test.over_colour),
                    "caution": _caution(test.evaluation),
                    "mistakes": [
                        (one, figures.picture(one.name, (test.source,)))
                        for one in find_mistakes(told)[:_MISTAKES]
                    ],
                    "most_frequent": commonest_mistake(find_mistakes(told)),
                }
                for test, told in zip(stage.record.tests, stage.external, strict=True)
            ],
        }
        views.append(shown)
    return render_page(
        "mtl.run",
        {"score": _score, "reach": lambda interval: _interval(interval).partition(" ")[2]},
        content=content,
        views=views,
        headline=headline(content),
        empty=_empty(content),
        comparison=comparison_sentence(content.record.comparison),
        compared=[one for told in content.record.external if (one := comparison_sentence(told))],
        scores=_SCORES,
        rendered=any(stage.rendered for stage in content.stages),
        ends={chain: stages[-1] for chain, stages in content.chains.items() if stages},
    )


def headline(content: RunContent) -> str:
    """Return the result in one or two plain sentences."""
    chain, stages = next(iter(content.chains.items()))
    stage = stages[-1] if stages else None
    if stage is None or stage.evaluation is None:
        return f"The chain {chain} was run; nothing was tested."
    evaluation = stage.evaluation
    kind = "rendered smears, not patient data" if stage.rendered else stage.record.data.dataset
    groups = "" if evaluation.groups == evaluation.n else f" of {evaluation.groups} groups"
    text = (
        f"On {evaluation.n} held-out images{groups} ({kind}) the chain {chain} reaches macro F1 "
        f"{_interval(evaluation.headline['macro_f1'])} and accuracy {_interval(evaluation.headline['accuracy'])}."
    )
    told = _against_colour(stage.record.over_colour)
    text = f"{text} {told}" if told else text
    for test in stage.record.tests:
        text += (
            f" On {test.evaluation.n} images from elsewhere ({test.source.name}) it reaches macro F1 "
            f"{_interval(test.evaluation.headline['macro_f1'])}."
        )
    return text


def _explained(stage: StageContent) -> list[tuple[Shown, str]]:
    if stage.gallery is None or stage.folder is None:
        return []
    places = [(shown, stage.folder / shown.picture) for shown in stage.gallery.shown]
    return [(shown, base64.b64encode(path.read_bytes()).decode()) for shown, path in places if path.is_file()]


def _against_colour(told: OverColour | None) -> str | None:
    if told is None:
        return None
    baseline, lead = told.baseline, told.macro_f1
    text = f"over colour alone ({baseline}) it gains {points(lead)} of macro F1"
    if lead.low > 0:
        return f"{text[0].upper()}{text[1:]}."
    if lead.value > 0:
        return f"{text[0].upper()}{text[1:]}: not shown to beat colour."
    return f"It does not beat colour alone ({baseline}): {points(lead)} of macro F1; the score says nothing about morphology."


def _empty(content: RunContent) -> str | None:
    told = content.record.comparison
    return empty_comparison(told.first, told.second) if told and told.same_start else None


def _caution(evaluation: Evaluation | None) -> str | None:
    found = evaluation.groups if evaluation else _ENOUGH
    if found >= _ENOUGH:
        return None
    return (
        f"Only {found} groups were tested: intervals over so few are too narrow (with 8, some 89 % instead of 95 % hold the truth). "
        "Test more patients, slides or fields before drawing conclusions."
    )


def _name(content: RunContent, stage: StageContent) -> str:
    chains = [
        chain
        for chain, stages in content.chains.items()
        if any(one.record.key == stage.record.key for one in stages)
    ]
    return f"Stage {stage.number}: {stage.title}" + (
        f", chain {' and '.join(chains)}" if len(content.chains) > 1 else ""
    )


def _policy(stage: StageContent) -> str:
    settings = stage.record.settings
    size = f"{settings.preprocess.image_size} px{_prepared(settings.preprocess)}{_predicted(stage)}"
    if settings.bagging is not None:
        return f"{_bags(stage)}; {size}"
    if settings.learner != "network":
        told = _stacked(stage) if settings.learner == STACKED else _classical(stage)
        return f"{told}; {size}"
    train, head = settings.train, settings.head
    hidden = " + ".join(map(str, head.hidden))
    layers = (
        f"dense {hidden} with dropout {head.dropout:g}, then one dense layer" if hidden else "one dense layer"
    )
    loss = "binary cross entropy" if head.activation == "sigmoid" else "cross entropy"
    first = f"the head alone for {_epochs(train.head_epochs)}, then " if train.head_epochs else ""
    policy = {"full": "all layers", "frozen": "the head alone", "film": "the head and the normalisation layers", "gradual": "layers unfrozen one by one",
              "layer_decay": "all layers, slower towards the input"}[train.policy]  # fmt: skip
    return (
        f"{head.pool} pooling, {layers}, {head.activation} with {loss}; {first}{policy}; {train.optimizer} at "
        f"{train.learning_rate:g}, {train.schedule}, batch {train.batch_size}, {_epochs(train.epochs)}, "
        f"{size}; {stage.record.parameters:,} parameters"
    )


def _bags(stage: StageContent) -> str:
    settings = stage.record.settings
    asked, name = settings.bags, learner_name(settings, stage.record.weights.backbone)
    what = "of the largest cells" if settings.unit == "cells" else "images evenly spread"
    return (
        f"{name}: {asked.most} {what} at most; {asked.width} learned features each, dropout {asked.dropout:g}, adamw at "
        f"{asked.learning_rate:g}, {_epochs(asked.epochs)}, the best by the validation part; {stage.record.parameters:,} parameters"
    )


def _stacked(stage: StageContent) -> str:
    asked, backbone = stage.record.settings.stacked, stage.record.weights.backbone
    first, last = asked.depths
    return (
        f"layers between {first:g} and {last:g} of the depth of {backbone} at rest ({' and '.join(asked.views)}) under least squares, "
        f"a forest on the colour histogram; both weighed in {asked.folds} grouped blocks inside the training part"
    )


def _classical(stage: StageContent) -> str:
    settings = stage.record.settings
    asked, name = settings.classical, learner_name(settings, stage.record.weights.backbone)
    reduced = "" if asked.reduction == "none" else f", {asked.reduction} to {asked.components} at most"
    weighed = ", class weights" if asked.balance == "weights" else ""
    backbone = "" if settings.needs_backbone else "; no backbone is used"
    return (
        f"{name}{weighed}; standardised{reduced}; {asked.candidates} settings at most tried by macro F1 in {asked.folds} grouped "
        f"folds inside the training part{backbone}"
    )


def _epochs(count: int) -> str:
    return f"{count} epoch" if count == 1 else f"{count} epochs"


def _predicted(stage: StageContent) -> str:
    return f"; predicted on {stage.record.device} in {stage.record.precision}" if stage.record.device else ""


def _prepared(settings: PreprocessSettings) -> str:
    colour, segment, sharpen = settings.normalise, settings.segment, settings.sharpen
    said = []
    if colour.method != "none":
        said.append(f"colour normalised by {colour.method} towards the training part")
    if segment.method != "none":
        used = {"black": "the background blacked out", "crop": "the image cut to its white cells",
                "blue": "their blue channel kept on black"}[segment.use]  # fmt: skip
        own = " with weights of its own" if segment.weights else ""
        said.append(f"white cells found first by {segment.method.replace('_', ' ')}{own}, {used}")
    if sharpen.method != "none":
        said.append("blurred images sharpened to the training part's sharpness")
    return "".join(f"; {part}" for part in said)


def _source(source: SourceRecord) -> dict[str, Any]:
    from stages.data.catalogue import find_dataset

    dataset = find_dataset(source.dataset)
    return {
        "record": source,
        "title": dataset.title,
        "licence": "rendered by mtl" if source.rendered else dataset.licence,
        "citation": "" if source.rendered else dataset.citation,
        "group_rule": dataset.group_rule,
    }


def _score(value: float) -> str:
    return "–" if not math.isfinite(value) else f"{value:.3f}"


def _interval(interval: Interval) -> str:
    if not math.isfinite(interval.low):
        return _score(interval.value)
    return f"{_score(interval.value)} [{_score(interval.low)}, {_score(interval.high)}]"
