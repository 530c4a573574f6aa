"""The report of a federation: one HTML file, without network."""

from __future__ import annotations

import math

from mtl.federate.content import TRAINED, FederateContent, text
from mtl.report.page import render_page

__all__ = ["federate_html"]


def federate_html(content: FederateContent) -> str:
    """Return the page: styles and figures inside, nothing loaded from elsewhere."""
    from markupsafe import Markup

    from mtl.federate.figures import privacy_figure, rounds_figure

    record = content.record
    iterative = len(record.history) > 1 or "train_loss" in record.history[0]
    curve = Markup(rounds_figure(record.history, record.best_round)) if iterative else None  # noqa: S704 - our own SVG
    picture = Markup(privacy_figure(content.comparison)) if content.comparison else None  # noqa: S704
    return render_page(
        "mtl.federate",
        {"reach": text, "number": _number, "p": _p},
        content=content,
        record=record,
        evaluation=content.learned.evaluation,
        lead=content.sentences()[0],
        curve=curve,
        picture=picture,
        private=record.settings.dp != "none",
        trained=TRAINED[record.settings.dp_train],
    )


def _number(value: float | None, digits: int = 3) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def _p(value: float | None) -> str:
    return "–" if value is None or not math.isfinite(value) else f"{value:.3g}"
