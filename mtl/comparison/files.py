"""`mtl compare`: files in, report out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mtl.comparison.compare import Splits, compare_predictions, compare_scores
from mtl.comparison.report import ComparisonContent, comparison_html, comparison_markdown
from mtl.comparison.settings import CompareSettings, read_claim
from mtl.comparison.tables import is_predictions, names_of, read_predictions, read_scores
from mtl.errors import ConfigError
from mtl.statistics import SelfCheck, TestResult, self_check
from segmentation.files import finite, make_folder, write_json, write_text

__all__ = ["Written", "compare_files", "write_comparison"]


@dataclass(frozen=True)
class Written:
    """A comparison and where its report lies.

    Attributes:
        content: What it says.
        html: The report; `.md` and `.json` lie beside it.
    """

    content: ComparisonContent
    html: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        found: dict[str, Any] = finite(self.content)
        return found | {"report": str(self.html)}

    def to_text(self) -> str:
        """Return the verdicts, and where the report is."""
        wrong = [
            check.sentence for check in (*self.content.claims, *self.content.checks) if check.agrees is False
        ]
        return "\n".join(
            [*self.content.verdicts, *self.content.notes, *wrong, f"Report {self.html} (also .md and .json)"]
        )


def compare_files(paths: Sequence[Path], settings: CompareSettings, out: Path, command: str) -> Written:
    """Compare a table of scores, or two files of predictions, and write the report.

    Args:
        paths: One table of scores, or two `predictions.csv`.
        settings: How the splits were made, and what is checked.
        out: Name of the report, without extension.
        command: As typed.

    Raises:
        ConfigError: If a file or flag is not what was expected.
        StatisticsError: If the numbers permit no test.
    """
    claims = (_claim(settings.claim),) if settings.claim else ()
    if len(paths) == 2:
        one, other = (
            replace(read_predictions(path), model=name)
            for path, name in zip(paths, names_of(paths), strict=True)
        )
        images = compare_predictions(one, other)
        content = ComparisonContent(
            f"{one.model} against {other.model}",
            "predictions",
            (images.verdict,),
            images=(images,),
            claims=claims,
            command=command,
        )
        return write_comparison(content, out)
    if len(paths) != 1:
        raise ConfigError(
            f"Expected one table of scores or two files of predictions, but got {len(paths)} files; do give one or two"
        )
    if is_predictions(paths[0]):
        raise ConfigError(
            f"Expected a second file of predictions beside {paths[0]}, but got one alone; do give both"
        )
    scores = read_scores(paths[0])
    test_fraction, folds, notes = settings.test_fraction, settings.folds, []
    if test_fraction is None and folds is None:
        test_fraction = 0.2
        notes.append(
            "The tested share of every split is taken to be 20 %; --test-fraction or --folds says otherwise."
        )
    compared = compare_scores(scores, Splits(test_fraction, folds=folds), settings.rope, paths[0].name)
    content = ComparisonContent(
        " against ".join(reversed(scores.names)) if len(scores.names) == 2 else f"{len(scores.names)} methods", "scores", compared.verdicts,
        tuple(notes), compared=(compared,), runs=_rows(scores.names, scores.rows, scores.values), claims=claims, command=command,
    )  # fmt: skip
    return write_comparison(content, out)


def write_comparison(content: ComparisonContent, out: Path) -> Written:
    """Write the report as HTML, Markdown and JSON.

    Args:
        content: What it says.
        out: Name without extension; its folder is made if missing.

    Raises:
        WriteError: If it cannot be written.
    """
    make_folder(out.parent)
    html = out.with_name(out.name + ".html")
    write_text(html, comparison_html(content))
    write_text(out.with_name(out.name + ".md"), comparison_markdown(content))
    write_json(out.with_name(out.name + ".json"), content)
    return Written(content, html)


def _rows(names: Sequence[str], rows: Sequence[str], values: Any) -> tuple[tuple[str, ...], ...]:
    return (
        ("split", *names),
        *((row, *(f"{value:g}" for value in line)) for row, line in zip(rows, values, strict=True)),
    )


def _claim(text: str) -> SelfCheck:
    decimals = len(text.rpartition(",")[2].strip().partition(".")[2])
    return self_check(TestResult("printed t", *read_claim(text)), decimals=decimals)
