"""The kit of all reports: figures that any name survives, pages that load nothing and escape everything."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jinja2 import UndefinedError

from mtl import report
from mtl.report.figures import PALETTE, legend_above, new_figure, svg
from mtl.report.page import render_page

HOSTILE = [
    r"a$\foo$",
    "$x$",
    "$",
    r"a\$b",
    "$$",
    "cost 5$ or 6$",
    r"\frac{1}{2}",
    "<script>alert(1)</script>",
    'a"b',
    "a&b",
    "Größe",
    "naïve_bayes^2",
]


def texts(figure: str) -> list[str]:
    root = ElementTree.fromstring(figure)
    return ["".join(node.itertext()) for node in root.iter("{http://www.w3.org/2000/svg}text")]


def draw(name: str) -> str:
    """A figure that shows a name in every place that a name can stand in."""
    figure, (axis,) = new_figure(1, 3, 2)
    axis.plot([0, 1], [0, 1], label=name)
    axis.set_title(name)
    axis.set_xlabel(name)
    axis.set_xticks([0, 1], [name, "other"])
    axis.text(0.5, 0.5, name)
    axis.legend()
    return svg(figure)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_stands_in_a_figure_as_it_is(name: str) -> None:
    assert texts(draw(name)).count(name) == 5


@settings(max_examples=15, deadline=None)
@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=8))
def test_any_printable_name_can_be_drawn(name: str) -> None:
    figure, (axis,) = new_figure(1, 2, 1)
    axis.set_title(name)
    assert name in texts(svg(figure))


def test_the_formulae_that_an_axis_writes_itself_stay() -> None:
    figure, (axis,) = new_figure(1, 3, 2)
    axis.set_xscale("log")
    axis.plot([1e-5, 1], [0, 1])
    axis.set_title("$5")
    axis.get_xticklabels()  # writes them once before the figure is drawn
    shown = texts(svg(figure))
    assert "$5" in shown
    assert not any("mathdefault" in text for text in shown)


def test_the_same_figure_is_the_same_text() -> None:
    assert draw("a") == draw("a")
    assert draw("a") != draw("b")
    assert "<dc:date>" not in draw("a")


def test_axes_side_by_side_share_the_style() -> None:
    figure, axes = new_figure(3, 6, 2)
    assert len(axes) == 3
    assert [tuple(figure.get_size_inches())] == [(6.0, 2.0)]
    for axis in axes:
        assert not axis.spines["top"].get_visible()
        assert not axis.spines["right"].get_visible()
    assert len(set(PALETTE)) == len(PALETTE)


@pytest.mark.parametrize("colour", PALETTE)
def test_colours_stand_out_from_white_paper(colour: str) -> None:
    assert contrast(colour, "#ffffff") > 2


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of its own with a template, as a room of `mtl` has one."""
    folder = tmp_path / "a_room_of_tests"
    folder.mkdir()
    (folder / "__init__.py").write_text("")
    (folder / "report.html.j2").write_text(
        '<style>{% include "style.css" %}</style><h1>{{ title }}</h1><p title="{{ title }}">{{ share | per_cent }}</p>'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return "a_room_of_tests"


@pytest.mark.parametrize("name", HOSTILE)
def test_a_page_escapes_what_it_shows(room: str, name: str) -> None:
    page = render_page(room, {"per_cent": lambda share: f"{share:.0%}"}, title=name, share=0.5)
    body = page.split("</style>")[1]
    assert "<script>" not in body
    assert ">50%</p>" in body
    (heading,) = re.findall("<h1>(.*)</h1>", body)
    assert ElementTree.fromstring(f"<h1>{heading}</h1>").text == name


def test_a_page_has_its_style_inside(room: str) -> None:
    page = render_page(room, {"per_cent": str}, title="t", share=1)
    assert len(page) > 500
    assert not re.search(r"url\(|@import|https?://", page.split("</style>")[0])


def test_what_a_template_lacks_is_an_error_and_not_a_gap(room: str) -> None:
    with pytest.raises(UndefinedError, match="title"):
        render_page(room, {"per_cent": str}, share=1)


@pytest.mark.parametrize("name", HOSTILE)
def test_a_figure_says_what_it_shows(name: str) -> None:
    figure, (axis,) = new_figure(1, 3, 2)
    axis.set_title(name, loc="left")
    axis.set_xlabel("epoch")
    root = ElementTree.fromstring(svg(figure))
    assert (root.get("role"), root.get("aria-label")) == ("img", f"Figure: {name}, epoch")
    assert ElementTree.fromstring(svg(figure, f"{name}\n now")).get("aria-label") == f"{name} now"


@pytest.mark.parametrize(("entries", "columns"), [(1, 3), (4, 3), (8, 2)])
def test_a_legend_covers_neither_curves_nor_title(entries: int, columns: int) -> None:
    figure, (axis,) = new_figure(1, 3.6, 2.8)
    for number in range(entries):
        axis.plot([0, 1], [0, number], label=f"entry {number}")
    axis.set_title("a title", loc="left")
    legend_above(axis, columns)
    figure.draw_without_rendering()
    legend, title = axis.get_legend().get_window_extent(), axis._left_title.get_window_extent()
    assert axis.get_window_extent().y1 <= legend.y0 + 1
    assert legend.y1 <= title.y0 + 1
    assert title.y1 <= figure.bbox.y1


def test_a_page_can_be_read_in_light_and_in_dark() -> None:
    style = (Path(report.__file__).parent / "style.css").read_text("utf-8")
    light, dark = re.findall(r"(?s):root \{(.*?)\}", style)
    rest = style.split("* {")[1]
    for scheme in (light, dark):
        colours = dict(re.findall(r"--(\w+): (#\w+);", scheme))
        for ink in ("ink", "soft", "accent", "warm", "good", "bad"):
            for paper in ("paper", "ground", "badge", "hint", "main"):
                assert contrast(colours[ink], colours[paper]) > 4  # WCAG 2 asks 4.5 of small letters
    assert (
        set(re.findall("#[0-9a-f]{3,6}", rest.split("@media print")[0])) == set()
    )  # every colour has two schemes


def contrast(one: str, other: str) -> float:
    """Contrast of two colours as WCAG 2 defines it, from 1 to 21."""
    low, high = sorted(map(luminance, (one, other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    full = colour if len(colour) == 7 else "#" + "".join(2 * digit for digit in colour[1:])
    channels = [int(full[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))
