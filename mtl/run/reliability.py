"""How far a stage may be trusted: sentences and figures of a run's report."""

from __future__ import annotations

import numpy as np

from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from mtl.run.content import StageContent
from mtl.runs import Predictions
from stages.calibrate import LEVEL, at_temperature

__all__ = ["figures", "sentences"]

_BINS = 10


def sentences(stage: StageContent) -> tuple[str, ...]:
    """Return what calibration found and is worth on the test part; nothing where the stage was not calibrated."""
    trust = stage.record.trust
    if trust is None:
        return ()
    how = trust.certainty
    way = "too sure of itself" if how.temperature > 1 else "less sure than it may be"
    few = [name for name, one in zip(stage.record.classes, how.accepted, strict=True) if one.unit == "images"]
    none = [name for name, one in zip(stage.record.classes, how.accepted, strict=True) if one.unit == "none"]
    told = [
        f"Temperature {how.temperature:.2f}, found on {how.images} validation images of {how.groups} groups: it was {way}. "
        f"Calibration error on the test part: {trust.ece_before:.3f} before, {trust.ece_after:.3f} after.",
        f"Sets of classes that shall hold the right one in {LEVEL:.0%} of the images of every class hold {trust.set_size:.2f} classes on average.",
        f"{trust.answered:.0%} of the test images are answered (probability {how.unsure_below:.2f} or more)"
        + ("" if trust.answered_accuracy is None else f", {trust.answered_accuracy:.1%} of them rightly")
        + ("." if trust.unlike is None else f"; {trust.unlike:.0%} are called unlike the training data."),
    ]
    if few:
        told.append(
            f"Of {', '.join(few)} fewer than nine groups were there to calibrate on: images were counted, so for new patients less is promised."
        )
    if none:
        told.append(
            f"Of {', '.join(none)} fewer than nine images were there to calibrate on: every set holds it."
        )
    return tuple(told)


def figures(stage: StageContent) -> tuple[str, ...]:
    """Return a reliability diagram and accuracy against the part that is answered; nothing without calibration or test part."""
    trust, told = stage.record.trust, stage.predictions
    if trust is None or told is None:
        return ()
    return _reliability(told, trust.certainty.temperature), _answered(told, trust.certainty.unsure_below)


def _reliability(told: Predictions, temperature: float) -> str:
    figure, (axis,) = new_figure(1, 3.6, 3.2)
    before = at_temperature(told.probabilities, 1 / temperature)
    truth, said = told.truth(), []
    for name, rows, colour in (
        ("before", before, PALETTE[1]),
        ("calibrated", told.probabilities, PALETTE[0]),
    ):
        confidence, right = rows.max(axis=1), rows.argmax(axis=1) == truth
        place = np.clip(np.ceil(confidence * _BINS).astype(int) - 1, 0, _BINS - 1)
        full = [one for one in range(_BINS) if (place == one).any()]
        x, y = ([values[place == one].mean() for one in full] for values in (confidence, right))
        sizes = [12 + 120 * (place == one).mean() for one in full]
        axis.plot(x, y, color=colour, linewidth=1, label=name)
        axis.scatter(x, y, s=sizes, color=colour)
        said.append(f"{name}: " + ", ".join(f"{a:.2f} said {b:.2f} right" for a, b in zip(x, y, strict=True)))
    axis.plot([0, 1], [0, 1], color="#bbbbbb", linewidth=0.8)
    axis.set(
        xlabel="probability of what was said", ylabel="part that is right", xlim=(0, 1.03), ylim=(0, 1.03)
    )
    axis.set_title("Reliability (dots: part of the images)", loc="left", fontsize=9)
    legend_above(axis, 2)
    return svg(figure, f"Reliability diagram; {'; '.join(said)}")


def _answered(told: Predictions, unsure_below: float) -> str:
    confidence = told.probabilities.max(axis=1)
    right = told.probabilities.argmax(axis=1) == told.truth()
    order = np.argsort(-confidence, kind="stable")
    count = np.arange(1, len(order) + 1)
    part, accuracy = count / len(order), np.cumsum(right[order]) / count
    figure, (axis,) = new_figure(1, 3.6, 3.2)
    axis.plot(part, accuracy, color=PALETTE[0], drawstyle="steps-post")
    kept = float((confidence >= unsure_below).mean())
    axis.axvline(kept, color=INK, linewidth=1, linestyle=":")
    axis.set(
        xlabel="part answered, surest first (dotted: chosen)", ylabel="accuracy of those", xlim=(0, 1.03)
    )
    axis.set_ylim(min(0.95, float(accuracy.min()) - 0.03), 1.005)
    axis.set_title("Accuracy against coverage", loc="left", fontsize=9)
    half = float(accuracy[max(len(order) // 2 - 1, 0)])
    return svg(
        figure, f"Accuracy of the surest half {half:.3f}, of all {accuracy[-1]:.3f}; {kept:.0%} are answered"
    )
