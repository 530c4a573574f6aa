"""The report of a comparison: names that would break a table or a page, numbers that are not defined, files that are whole."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from mtl.comparison import figures
from mtl.comparison.compare import Splits, compare_predictions, compare_scores
from mtl.comparison.files import compare_files, write_comparison
from mtl.comparison.report import (
    ComparisonContent,
    PaperRow,
    comparison_html,
    comparison_markdown,
    paper_table,
)
from mtl.comparison.settings import CompareSettings, read_claim
from mtl.comparison.tables import Predictions, Scores
from mtl.errors import ConfigError
from mtl.statistics import compare_pairs, nemenyi
from segmentation.files import finite

HOSTILE = [r"a$\foo$", "<script>alert(1)</script>", "a|b", "line\nbreak", 'quo"te', "a&b", "*bold*", "x" * 60]


def scores(first: str = "a", second: str = "b", rows: int = 8) -> Scores:
    random = np.random.default_rng(3)
    values = np.clip(0.8 + 0.03 * random.standard_normal((rows, 2)) + [0, 0.05], 0, 1)
    return Scores((first, second), values, tuple(f"split {n}" for n in range(rows)), 100.0)


def content(first: str = "a", second: str = "b") -> ComparisonContent:
    table = scores(first, second)
    compared = compare_scores(table, Splits(0.2), title=f"{first} and {second}")
    rows = (
        ("split", first, second),
        *((row, *(f"{v:g}" for v in line)) for row, line in zip(table.rows, table.values, strict=True)),
    )
    return ComparisonContent(
        name=f"{second} against {first}",
        metric="accuracy",
        verdicts=compared.verdicts,
        notes=(f"a note on {first}",),
        compared=(compared,),
        runs=rows,
        convergence={"training loss": {first: np.array([[1.0, 0.5], [0.9, math.nan]])}},
        published=(PaperRow("Table III", first, 0.9),),
        ours={"Table III": {second: 0.91}},
        command=f"mtl compare {first}",
        environment={"date": "today", "mtl": "0.1"},
    )


def tables_of(markdown: str) -> list[list[list[str]]]:
    """Markdown tables as rows of cells; a bar behind a backslash does not part cells."""
    found: list[list[list[str]]] = [[]]
    for line in markdown.splitlines():
        if line.startswith("|"):
            found[-1].append([cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]])
        elif found[-1]:
            found.append([])
    return [table for table in found if table]


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_a_markdown_table(name: str) -> None:
    tables = tables_of(comparison_markdown(content(name)))
    assert len(tables) == 5  # means, tests, effects, runs, the paper
    for table in tables:
        assert {len(row) for row in table} == {len(table[0])}
        assert set("".join(table[1])) == {"-"}
        assert not any("<script" in cell for row in table for cell in row)
    shown = tables[0][2][0].replace("\\|", "|").replace("&lt;", "<")
    assert shown == " ".join(name.split())


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_breaks_the_page(name: str) -> None:
    page = comparison_html(content(name))
    body = page.split("</style>", 1)[1]
    assert "<script" not in body
    for figure in re.findall(r"<svg.*?</svg>", body, re.DOTALL):
        ElementTree.fromstring(figure)  # well formed
    assert body.count("<svg") == body.count("</svg>") == 3


@pytest.mark.parametrize("name", HOSTILE)
def test_json_holds_the_name_as_it_is(name: str) -> None:
    found = json.loads(json.dumps(finite(content(name)), allow_nan=False))
    assert found["compared"][0]["scores"]["names"] == [name, "b"]
    assert found["convergence"]["training loss"][name][1] == [0.9, None]  # NaN is null


def test_every_printed_p_is_checked() -> None:
    made = content()
    lines = comparison_markdown(made).split("## Self-check")[1].strip().splitlines()
    assert len(lines) == len(made.checks) == len(made.compared[0].pairs[0].tests)
    assert not any("does not agree" in line for line in lines)


def test_the_means_are_those_of_numpy() -> None:
    made = content()
    values = made.compared[0].scores.values
    means = tables_of(comparison_markdown(made))[0]
    assert means[0] == ["method", "mean", "SD", "n"]
    for place, row in enumerate(means[2:]):
        assert float(row[1]) == pytest.approx(values[:, place].mean(), abs=6e-5)
        assert float(row[2]) == pytest.approx(values[:, place].std(ddof=1), abs=6e-5)
        assert row[3] == "8"


def test_points_and_intervals_are_in_points() -> None:
    made = content()
    pair = made.compared[0].pairs[0]
    row = tables_of(comparison_markdown(made))[1][2]
    assert float(row[4]) == pytest.approx(100 * pair.main.difference, abs=6e-5)
    low, high = (float(end) for end in row[5].strip("[]").split(","))
    assert low == pytest.approx(100 * pair.main.low, abs=6e-3)
    assert high == pytest.approx(100 * pair.main.high, abs=6e-3)


def test_what_a_paper_has_and_we_have_not_is_a_dash() -> None:
    made = ComparisonContent(
        "n",
        "m",
        (),
        published=(PaperRow("T1", "A", 0.5), PaperRow("T2", "B", 0.25)),
        ours={"T1": {"1,3": 0.75}},
    )
    header, rows = paper_table(made)
    assert header == ("table", "paper A", "theirs", "ours, 1,3")
    assert rows == [("T1", "A", "0.5000", "0.7500"), ("T2", "B", "0.2500", "–")]


def test_equal_methods_have_a_report_without_numbers_that_are_not() -> None:
    table = Scores(("a", "b"), np.full((4, 2), 0.5), ("",) * 4, 100.0)
    compared = compare_scores(table, Splits(0.2))
    made = ComparisonContent("n", "m", compared.verdicts, compared=(compared,))
    assert "No difference shown" in compared.verdicts[0]
    for text in (comparison_markdown(made), comparison_html(made), json.dumps(finite(made), allow_nan=False)):
        assert "nan" not in re.sub(r"<svg.*?</svg>", "", text, flags=re.DOTALL).lower().replace("manan", "")


def test_three_files_or_one_of_predictions_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.csv"
    path.write_text("name,label,predicted\ni,a,a\nj,b,b\n")
    for paths, said in (([path] * 3, "3 files"), ([path], "a second file")):
        with pytest.raises(ConfigError, match=said):
            compare_files(paths, CompareSettings(), tmp_path / "r", "")
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.csv"]


@pytest.mark.parametrize("claim", ["1,2", "a,b,c", "", "1;2;3", "1,2,3,4"])
def test_a_claim_is_three_numbers(claim: str) -> None:
    with pytest.raises(ConfigError, match="t,df,p"):
        read_claim(claim)


def test_three_files_lie_side_by_side_and_a_name_may_hold_dots(tmp_path: Path) -> None:
    written = write_comparison(content(), tmp_path / "new" / "v1.2")
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["v1.2.html", "v1.2.json", "v1.2.md"]
    assert written.html.name == "v1.2.html"
    assert written.to_json()["report"] == str(written.html)
    assert written.to_text().endswith("(also .md and .json)")


def test_predictions_of_two_files_are_named_by_what_differs(tmp_path: Path) -> None:
    for name, hits in (("one", 9), ("two", 4)):
        (tmp_path / name).mkdir()
        lines = [f"i{n},{'ab'[n % 2]},{'ab'[n % 2] if n < hits else 'ba'[n % 2]}" for n in range(10)]
        (tmp_path / name / "predictions.csv").write_text("name,label,predicted\n" + "\n".join(lines) + "\n")
    paths = [tmp_path / name / "predictions.csv" for name in ("one", "two")]
    made = compare_files(paths, CompareSettings(), tmp_path / "r", "").content
    assert made.name == "one/predictions against two/predictions"
    (images,) = made.images
    assert (images.n, images.first_accuracy, images.second_accuracy) == (10, 0.9, 0.4)
    assert "on 10 images of 10 groups" in comparison_markdown(made)


def test_labels_must_agree_and_two_images_are_the_least() -> None:
    one = Predictions("one", {"i": ("a", "a", "g", {}), "j": ("b", "b", "h", {})})
    other = Predictions("other", {"i": ("a", "a", "g", {}), "j": ("a", "b", "h", {})})
    with pytest.raises(ConfigError, match="'j' has two"):
        compare_predictions(one, other)
    single = Predictions("one", {"i": ("a", "a", "g", {})})
    with pytest.raises(ConfigError, match="two images or more"):
        compare_predictions(single, single)


# --- figures ---------------------------------------------------------------------------------------------------------


def shown(figure: str) -> list[str]:
    root = ElementTree.fromstring(figure)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def test_the_dot_plot_shortens_long_names_alone() -> None:
    names = ["short", "m" * 22, "n" * 23]
    labels = shown(figures.paired(np.full((3, 3), 0.5), names, 100.0))
    assert "short" in labels
    assert "m" * 22 in labels
    assert "n" * 21 + "…" in labels


@pytest.mark.parametrize(
    ("one", "other"),
    [([0.8, 0.9, 0.7], [0.7, 0.85, 0.6]), ([0.5, 0.5], [0.5, 0.5]), ([1.0, 1.0], [0.0, 0.0])],
)
def test_the_posterior_is_drawn_for_any_differences(one: list[float], other: list[float]) -> None:
    pair = compare_pairs(np.array(one), np.array(other), test_fraction=0.2, rope=0.01)
    labels = shown(figures.differences(pair, np.array(one) - np.array(other), 100.0))
    assert any("practically equal: ±1" in label for label in labels)
    assert any("minus" in label for label in labels)


def test_critical_differences_name_every_method_with_its_rank() -> None:
    random = np.random.default_rng(0)
    table = random.normal(size=(12, 5)) + np.arange(5) * 0.4
    result = nemenyi(table, list("vwxyz"))
    labels = " ".join(shown(figures.critical_difference(result)))
    for name, rank in zip(result.names, result.ranks, strict=True):
        assert f"{name} {rank:.2f}" in labels
    assert f"critical difference {result.critical_difference:.2f}" in labels


def test_losses_of_unequal_length_have_a_mean_over_those_that_go_on() -> None:
    losses = np.array([[1.0, 0.5, 0.25], [0.8, 0.4, math.nan]])
    labels = shown(figures.convergence({"1,3": losses, "1,2,3": losses / 2}, "validation loss"))
    assert {"1,3 (2 runs)", "1,2,3 (2 runs)", "validation loss"} <= set(labels)


def test_what_a_test_assumes_ends_with_a_full_stop_before_its_note() -> None:
    values = np.array([[0.5, 0.6], [0.4, 0.7]])
    compared = compare_scores(Scores(("a", "b"), values, ("1", "2"), 100.0), Splits(0.2))
    page = comparison_html(ComparisonContent("x", "accuracy", compared.verdicts, compared=(compared,)))
    assert "differences are normal. Two repeats: one degree of freedom." in page
    assert not re.search(r"[a-z)] (Two repeats|All differences)", page)


def test_every_figure_says_what_it_shows() -> None:
    page = comparison_html(content("<b>", 'quo"te'))
    said = re.findall(r'<svg role="img" aria-label="([^"]+)"', page)
    assert len(said) == page.count("<svg") >= 3
    assert "&lt;b&gt;" in said[0]
