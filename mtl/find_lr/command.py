"""Raise the learning rate of a stage until it breaks, and say which one to take."""

from __future__ import annotations

import io
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from mtl.config import STAGE_FIELDS
from mtl.errors import FailedError
from mtl.find_lr.settings import FindRateSettings
from mtl.progress import Reporter, Steps
from mtl.report.figures import INK, PALETTE, legend_above, new_figure, svg
from mtl.report.page import render_page
from mtl.run.chain import prepare
from mtl.run.content import learning_title
from mtl.run.execute import find_start
from mtl.run.rendered import with_rendered_data
from mtl.run.stage import StageMaker, imagenet_stage
from mtl.runs import RunFolder, environment
from segmentation.engine import RateSweep, Sweep
from segmentation.files import make_folder, write_bytes, write_table, write_text
from stages.assemble import make_task
from stages.learners.network.model import NetworkLearner
from stages.preprocess import Preprocess

__all__ = ["FoundRate", "find_rate"]


@dataclass(frozen=True)
class FoundRate:
    """What was found, and where it lies.

    Attributes:
        folder: With `report.html`, `curve.png` and `curve.csv`.
        number: Of the stage.
        setting: That the rate is for, such as `multi_cell.train.learning_rate`.
        used: Its value so far.
        sweep: Losses by rate.
        data: That the stage learns from.
        rendered: Whether there are rendered smears among its images.
    """

    folder: Path
    number: int
    setting: str
    used: float
    sweep: Sweep
    data: str
    rendered: bool

    def sentence(self) -> str:
        """Return the suggestion for a person."""
        return (
            f"Stage {self.number} on {self.data}: take {self.sweep.valley:.1e} (valley); where the loss falls fastest the rate is "
            f"{self.sweep.steepest:.1e}; so far it is {self.used:g}"
        )

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return {
            "stage": self.number,
            "setting": self.setting,
            "suggestion": self.sweep.valley,
            "steepest": self.sweep.steepest,
            "used": self.used,
            "rates": list(self.sweep.rates),
            "losses": list(self.sweep.losses),
            "report": str(self.folder / "report.html"),
        }

    def to_text(self) -> str:
        """Return a few lines for a person."""
        return "\n".join(
            [
                f"{self.sentence()}.",
                f"Again with it: --set {self.setting}={self.sweep.valley:.1e}",
                f"Wrote {self.folder}: report.html, curve.png, curve.csv",
            ]
        )


def find_rate(settings: FindRateSettings, runs: Path, command: str, start: Path | None = None) -> FoundRate:
    """Find the learning rate of a stage; stages before it are trained, or reused, where `mtl run` finds them again.

    Args:
        settings: The experiment, and from which rate to which.
        runs: Folder of run folders.
        command: As typed.
        start: Run or stage folder to begin from.

    Raises:
        MtlError: If the run folder is not usable, or too few steps were possible.
        StagesError: If data, weights or training fail.
    """
    run = RunFolder(runs / settings.name)
    with run.lock(), Reporter() as reporter:
        run.claim("run")
        found = _swept(settings, run, reporter, start)
        _write(found, command)
    return found


def _swept(settings: FindRateSettings, run: RunFolder, reporter: Steps, start: Path | None) -> FoundRate:
    update = {"stages": settings.chain, "against": (), "tests": ()}
    experiment = with_rendered_data(settings.model_copy(update=update), reporter)
    parent = (
        find_start(start, experiment)
        if start
        else imagenet_stage(experiment, run, reporter, experiment.weights)
    )
    data, splits = prepare(experiment, run, reporter, parent.learned())
    maker = StageMaker(experiment, run, reporter)
    *before, number = data
    for one in before:
        parent = maker.make(one, data[one], splits[one], parent)
    learning, plan = settings.learning(), settings.find_lr
    task = make_task(data[number], splits[number], Preprocess(learning.preprocess), reporter.step)
    learner = maker.learner(number, data[number], task.preprocess, parent)
    assert isinstance(learner, NetworkLearner)  # noqa: S101 - the settings have looked
    bar = f"raise the rate  {learning_title(number)}"
    rising = RateSweep(plan.lowest, plan.highest, plan.steps, progress=partial(reporter.step, bar))
    sweep = learner.sweep(task, learning, rising)
    reporter.step(bar, 1, 1)
    if not sweep.enough:
        raise FailedError(
            f"Expected a training that bears some steps, but its loss broke after {len(sweep.rates)}; do lower `find_lr.lowest`"
        )
    name = "head_learning_rate" if plan.head else "learning_rate"
    return FoundRate(
        run.path / "find-lr" / f"{number}-{name}",
        number,
        f"{STAGE_FIELDS[number]}.train.{name}",
        getattr(learning.train, name),
        sweep,
        data[number].name,
        data[number].rendered,
    )


def _write(found: FoundRate, command: str) -> None:
    from markupsafe import Markup

    make_folder(found.folder)
    write_table(
        found.folder / "curve.csv",
        ["rate", "loss"],
        list(zip(found.sweep.rates, found.sweep.losses, strict=True)),
    )
    figure = _figure(found)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    write_bytes(found.folder / "curve.png", buffer.getvalue())
    page = render_page(
        "mtl.find_lr",
        found=found,
        curve=Markup(svg(figure)),  # noqa: S704 - our own SVG
        command=command,
        environment=environment(),
    )
    write_text(found.folder / "report.html", page)


def _figure(found: FoundRate) -> Any:
    figure, (axis,) = new_figure(1, 7, 3.6)
    axis.plot(found.sweep.rates, found.sweep.losses, color=PALETTE[0], linewidth=1.6)
    for name, rate, style, colour in (
        ("valley (the suggestion)", found.sweep.valley, "-", PALETTE[1]),
        ("steepest", found.sweep.steepest, "--", PALETTE[2]),
        ("used so far", found.used, ":", INK),
    ):
        axis.axvline(rate, color=colour, linestyle=style, linewidth=1.2, label=f"{name} {rate:.1e}")
    # What breaks at the end would flatten all that comes before.
    low, first = min(found.sweep.losses), found.sweep.losses[0]
    axis.set(
        xscale="log",
        xlabel="learning rate",
        ylabel="smoothed training loss",
        ylim=(low - 0.05 * first, 1.3 * first),
    )
    legend_above(axis)
    return figure
