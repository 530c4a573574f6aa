"""The report of an ensemble: page, Markdown, JSON and tables, from the same content."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.ensemble.changes import Change
from mtl.ensemble.content import EnsembleContent
from mtl.ensemble.tables import ensemble_tables, method_table
from mtl.report.page import render_page
from mtl.report.tables import markdown, plain
from segmentation.files import finite, write_json, write_table, write_text
from stages.metrics import Interval

__all__ = ["EnsembleWritten", "ensemble_html", "headline", "verdict", "write_report"]

_SHOWN = 12


@dataclass(frozen=True)
class EnsembleWritten:
    """An ensemble and where it lies.

    Attributes:
        content: What is said of it.
        folder: Holds the model, `report.html`, `report.md`, `report.json`, `predictions.csv`, `validation.csv` and `changed.csv`.
    """

    content: EnsembleContent
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        found: dict[str, Any] = finite(self.content.to_json())
        return found | {"folder": str(self.folder), "report": str(self.folder / "report.html")}

    def to_text(self) -> str:
        """Return the result in sentences, the scores side by side, and where the files are."""
        parts = [f"{headline(self.content)} {verdict(self.content)}", plain(method_table(self.content))]
        parts += [f"{self.content.main.name}: {self.content.main.how}", self.content.selection.sentence]
        parts.append(f"Model {self.folder}\nReport {self.folder / 'report.html'} (also .md and .json)")
        return "\n\n".join(parts)


def headline(content: EnsembleContent) -> str:
    """Return the result in one plain sentence."""
    main, data = content.main, content.members[0].data
    kind = "rendered smears, not patient data" if data.rendered else data.dataset
    scores = main.evaluation
    text = (
        f"{len(content.members)} networks together ({main.name}) on {scores.n} held-out images of {scores.groups} groups ({kind}): accuracy "
        f"{_told(scores.headline['accuracy'])}, macro F1 {_told(scores.headline['macro_f1'])}."
    )
    threshold = main.chosen.threshold if main.chosen else 0.0
    if threshold:
        text += f" Below {threshold:g} no answer is given: {main.coverage:.1%} are answered, {main.answered:.4f} of them right."
    return text


def verdict(content: EnsembleContent) -> str:
    """Return in a sentence whether the ensemble beats the single network that one would have taken without it."""
    best = next(one for one in content.against if one.other == content.best.name)
    lead = best.macro_f1
    told = f"{100 * lead.value:+.2f} points of macro F1 [{100 * lead.low:+.2f}, {100 * lead.high:+.2f}]"
    text = f"Over {best.other}, the single network that is best on the validation part, it gains {told}"
    if lead.low > 0:
        return f"{text}."
    if lead.value > 0:
        return f"{text}: not shown to be better."
    return f"{text}: it is {'worse' if lead.high < 0 else 'not better'}."


def ensemble_html(content: EnsembleContent) -> str:
    """Return the page: styles, figures and thumbnails inside, nothing loaded from elsewhere."""
    from markupsafe import Markup

    from mtl.ensemble.figures import accuracy_coverage
    from mtl.run.figures import confusion, roc

    main = content.main
    threshold = main.chosen.threshold if main.chosen else 0.0
    return render_page(
        "mtl.ensemble",
        content=content,
        headline=headline(content),
        verdict=verdict(content),
        tables=ensemble_tables(content),
        rendered=content.members[0].data.rendered,
        roc=Markup(roc(main.test, main.evaluation)),  # noqa: S704 - our own SVG
        confusion=Markup(confusion(main.evaluation)),  # noqa: S704
        curve=Markup(accuracy_coverage(content.curves, threshold)),  # noqa: S704
        galleries=_galleries(content),
    )


def write_report(content: EnsembleContent, folder: Path) -> None:
    """Write page, Markdown, JSON, and the table of what changed.

    Raises:
        WriteError: If they cannot be written.
    """
    header = ("member", "name", "label", "member_said", "ensemble_said", "answered", "class", "change")
    rows = [
        (
            one.member,
            one.name,
            one.label,
            one.before,
            one.after,
            "yes" if one.answered else "no",
            one.of,
            one.turn,
        )
        for one in content.changes
    ]
    write_table(folder / "changed.csv", header, rows)
    write_json(folder / "report.json", content.to_json())
    lines = [f"# {content.settings.name}", "", headline(content), "", verdict(content), ""]
    lines += [f"- {one.name}: {one.how}" for one in content.methods if one.how] + [""]
    for table in ensemble_tables(content):
        lines += markdown(table, "##")
    lines += [f"- {note}" for note in content.notes]
    write_text(folder / "report.md", "\n".join([*lines, "", f"    {content.command}", ""]))
    write_text(folder / "report.html", ensemble_html(content))


def _galleries(content: EnsembleContent) -> list[tuple[str, list[tuple[Change, str | None]]]]:
    from mtl.run.figures import picture

    sources = content.members[0].data.sources
    found = []
    for member in content.members:
        own = [one for one in content.changes if one.member == member.name and one.answered]
        for right, title in ((True, "corrected"), (False, "spoilt")):
            # Of an image's two rows the one of the class that is true.
            rows = [one for one in own if one.of == one.label and one.gained == right]
            if rows:
                pictures = [(one, picture(one.name, sources)) for one in rows[:_SHOWN]]
                shown = f", the first {_SHOWN}" if len(rows) > _SHOWN else ""
                found.append((f"{member.name}: {len(rows)} {title}{shown}", pictures))
    return found


def _told(interval: Interval) -> str:
    return f"{interval.value:.4f} [{interval.low:.3f}, {interval.high:.3f}]"
