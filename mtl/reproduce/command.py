"""`mtl reproduce`: find the data, run the papers within the budget, print their tables beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mtl.errors import ConfigError
from mtl.progress import Reporter
from mtl.report.page import render_page
from mtl.report.tables import markdown, plain
from mtl.reproduce.content import PaperContent, describe
from mtl.reproduce.data import RENDERED, datasets_of, find_roots
from mtl.reproduce.published import paper_names, read_paper
from mtl.reproduce.run import PaperRun
from mtl.reproduce.settings import ReproduceSettings
from mtl.runs import RunFolder, environment
from segmentation.files import finite, write_json, write_text
from stages.errors import DataError

__all__ = ["Reproduced", "reproduce"]


@dataclass(frozen=True)
class Reproduced:
    """Papers that were run again, and where the report lies.

    Attributes:
        papers: In order of their letters.
        refused: Why others were not run.
        folder: Holds `report.html`, `report.md`, `report.json` and the runs.
    """

    papers: tuple[PaperContent, ...]
    refused: Mapping[str, str]
    folder: Path

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        papers = [finite(paper.to_json()) for paper in self.papers]
        return {"papers": papers, "refused": dict(self.refused), "report": str(self.folder / "report.html")}

    def to_text(self) -> str:
        """Return tables, sentences, and where the report is."""
        parts = []
        for paper in self.papers:
            kind = " (rendered smears, not patient data)" if paper.rendered else ""
            parts.append(f"== Paper {paper.paper.letter}, {paper.name}{kind} ==\n{paper.sizes.sentence}")
            parts += [plain(table) for table in (paper.leak_table, *paper.tables)]
            parts.append("\n".join(f"- {note}" for note in paper.notes[1:]))
            if paper.impossible:
                parts.append(
                    "Cannot be as it is printed:\n" + "\n".join(f"- {text}" for text in paper.impossible)
                )
            if paper.missing:
                parts.append(
                    "Not run:\n" + "\n".join(f"- {name}: {why}" for name, why in paper.missing.items())
                )
        parts += [f"{name} was not run: {why}" for name, why in self.refused.items()]
        parts.append(f"Report {self.folder / 'report.html'} (also .md and .json)")
        return "\n\n".join(parts)


def reproduce(name: str | None, settings: ReproduceSettings, runs: Path, command: str) -> Reproduced:
    """Run a paper, or all.

    Args:
        name: Of a paper; None for all. Of all, those whose data are not there are run on rendered smears where smears are rendered in
            their layout, and are said not to be run elsewhere.
        settings: Data, budget, weights.
        runs: Folder of run folders.
        command: As typed.

    Raises:
        ConfigError: If the paper is unknown, or its data are not there.
        StagesError: If data or training fail.
        KeyboardInterrupt: If stopped; the same call goes on.
    """
    chosen = [name] if name else sorted(paper_names(), key=lambda one: read_paper(one).letter)
    roots = {one: find_roots(read_paper(one), settings.data) for one in chosen}
    refused: dict[str, str] = {}
    for one in list(chosen):
        lacking = [set_ for stage, set_ in datasets_of(read_paper(one)).items() if roots[one][stage] is None]
        if not lacking:
            continue
        told = f"its data are not below {settings.data}: {', '.join(dict.fromkeys(lacking))}"
        if name:
            raise ConfigError(
                f"Expected `--data` to hold the data of {one}, but {told}; do put them there (`mtl data get {lacking[0]}` says how "
                "to obtain them)"
            )
        if set(lacking) - set(RENDERED):
            refused[one] = told
            chosen.remove(one)
        else:  # all of it or nothing: rendered crops belong to rendered fields
            roots[one] = dict.fromkeys(roots[one])
    folder = RunFolder(
        runs / f"reproduce-{name or 'all'}", stages=runs / f"reproduce-{name or 'all'}" / "papers"
    )
    with folder.lock(), Reporter() as reporter:
        folder.claim("reproduce")
        papers = []
        for one in chosen:
            minutes = settings.budget / len(chosen)
            try:
                run = PaperRun(
                    one, read_paper(one), settings, roots[one], folder.stages / one, minutes, reporter
                )
                papers.append(describe(run, run.run(command)))
            except DataError as error:
                if name:
                    raise
                refused[one] = str(error)
        found = Reproduced(tuple(papers), refused, folder.path)
        _write(found, command)
    return found


def _write(found: Reproduced, command: str) -> None:
    told = environment()
    names = [paper.name for paper in found.papers]
    title = f"Again: {', '.join(names)}" if len(names) == 1 else "The papers again"
    write_json(found.folder / "report.json", found.to_json() | {"command": command, "environment": told})
    write_text(found.folder / "report.md", _markdown(found.papers, found.refused, title, command))
    page = render_page(
        "mtl.reproduce",
        title=title,
        papers=found.papers,
        refused=found.refused,
        command=command,
        environment=told,
    )
    write_text(found.folder / "report.html", page)


def _markdown(papers: Sequence[PaperContent], refused: Mapping[str, str], title: str, command: str) -> str:
    lines = [f"# {title}", ""]
    for paper in papers:
        lines += [f"## Paper {paper.paper.letter}: {paper.name}", "", paper.paper.title + ".", ""]
        lines += [f"- {note}" for note in paper.notes] + [""]
        for table in (paper.leak_table, *paper.tables):
            lines += markdown(table, "###")
        lines += ["### What cannot be as it is printed", "", *(f"- {text}" for text in paper.impossible), ""]
        lines += [f"- {name} was not run: {why}" for name, why in paper.missing.items()] + [""]
    lines += [f"- {name} was not run: {why}" for name, why in refused.items()]
    return "\n".join([*lines, "", f"    {command}", ""])
