"""`mtl compare`: paper A's Table V, tables of several methods, two models on the same images."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from conftest import called
from scipy import stats

from mtl.comparison.compare import Splits, compare_predictions, compare_scores
from mtl.comparison.files import compare_files
from mtl.comparison.settings import CompareSettings
from mtl.comparison.tables import Predictions, Scores, read_scores
from mtl.errors import ConfigError

CLASSICAL = (89.17, 90.28, 87.31, 90.12, 89.35, 88.72, 87.39, 92.43, 89.32, 88.85)
MULTISTAGE = (93.45, 95.23, 92.82, 94.73, 92.38, 93.85, 95.03, 93.73, 94.39, 94.52)


TABLE_V = Path(__file__).parents[3] / "docs" / "table_v.csv"


def test_table_v_of_the_docs_is_recomputed_and_its_printed_t_is_refuted(tmp_path: Path) -> None:
    assert read_scores(TABLE_V).values.tolist() == np.array([CLASSICAL, MULTISTAGE]).T.tolist()
    said = compare_files([TABLE_V], CompareSettings(claim="0.85310,18,0.0001"), tmp_path / "out" / "v", "")
    text = said.to_text()
    assert text.startswith(
        "multistage beats classical by 4.7 points, 95 % CI [2.5, 7.0], corrected p = 0.001"
    )
    assert "0.8531 and df 18 give p = 0.405, which does not agree with p = 0.0001" in text
    markdown = (tmp_path / "out" / "v.md").read_text()
    for number in (
        "8.5310",
        "9.697e-08",
        "8.9261",
        "9.133e-06",
        "4.7712",
        "0.001014",
        "0.001953",
        "[3.52, 5.91]",
    ):
        assert number in markdown, number
    page = (tmp_path / "out" / "v.html").read_text()
    assert page.count("<svg") == 2
    assert not re.search(r"(src|href)=[\"'](?!data:|#)", page.split("</style>")[1])
    found = json.loads((tmp_path / "out" / "v.json").read_text())
    assert found["compared"][0]["pairs"][0]["main"]["statistic"] == pytest.approx(4.7712, abs=5e-5)


def test_per_cent_and_fractions_say_the_same() -> None:
    percent = Scores(("a", "b"), np.array([CLASSICAL, MULTISTAGE]).T, ("",) * 10, 1.0)
    fraction = Scores(("a", "b"), percent.values / 100, ("",) * 10, 100.0)
    one, other = (compare_scores(table, Splits(0.2)) for table in (percent, fraction))
    assert one.verdicts == other.verdicts
    assert one.pairs[0].bayes.first == pytest.approx(other.pairs[0].bayes.first)
    assert all(check.agrees for check in one.checks)


def test_swapped_columns_give_the_same_verdict() -> None:
    table = np.array([CLASSICAL, MULTISTAGE]).T
    one = compare_scores(Scores(("a", "b"), table, ("",) * 10, 1.0), Splits(0.2))
    other = compare_scores(Scores(("b", "a"), table[:, ::-1], ("",) * 10, 1.0), Splits(0.2))
    assert one.verdicts == other.verdicts
    assert one.pairs[0].main.statistic == -other.pairs[0].main.statistic


def test_three_methods_are_ranked_and_adjusted(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    values = np.clip(0.8 + 0.02 * random.standard_normal((8, 3)) + [0, 0.001, 0.08], 0, 1)
    path = tmp_path / "three.csv"
    path.write_text("x,y,z\n" + "".join(",".join(f"{v:.6f}" for v in row) + "\n" for row in values))
    content = compare_files([path], CompareSettings(folds=4), tmp_path / "r", "").content
    part = content.compared[0]
    assert part.friedman is not None
    assert part.nemenyi is not None
    assert part.friedman.chi2.statistic == pytest.approx(
        stats.friedmanchisquare(*values.T).statistic, abs=1e-6
    )
    assert part.nemenyi.names[0] == "z"
    assert len(part.pairs) == 3
    assert all(p >= pair.main.p for p, pair in zip(part.adjusted, part.pairs, strict=True) if p is not None)
    assert "critical difference" in (tmp_path / "r.html").read_text()


def predictions(name: str, right: list[bool], groups: int = 10) -> Predictions:
    rows = {
        f"i{n}": ("ab"[n % 2], "ab"[n % 2] if hit else "ba"[n % 2], f"g{n % groups}",
                  {"a": 0.9 if hit == (n % 2 == 0) else 0.2, "b": 0.1 if hit == (n % 2 == 0) else 0.8})
        for n, hit in enumerate(right)
    }  # fmt: skip
    return Predictions(name, rows)


def test_two_models_on_the_same_images(tmp_path: Path) -> None:
    good, bad = (
        predictions("good", [n % 20 != 0 for n in range(60)]),
        predictions("bad", [n % 3 != 0 for n in range(60)]),
    )
    found = compare_predictions(good, bad)
    assert (found.first_accuracy, found.second_accuracy) == (57 / 60, 40 / 60)
    names = [test.name for test in found.tests]
    assert names[:3] == ["accuracy, bootstrap over groups", "McNemar exact", "McNemar mid-p"]
    assert found.tests[1].p == pytest.approx(stats.binomtest(2, 21).pvalue)
    assert any("AUROC of b" in name for name in names)
    assert found.verdict.startswith("good beats bad by 28.3 points")
    with pytest.raises(ConfigError, match="same images"):
        compare_predictions(good, predictions("x", [True] * 59))


@pytest.mark.parametrize(
    ("text", "more"),
    [
        ("a,b\n0.1,x\n0.2,0.3\n", []),
        ("a\n0.1\n0.2\n", []),
        ("a,b\n0.1,0.3\n", []),
        ("a,b\n0.1,40\n0.3,50\n", []),
        ("a,b\n0.1,0.2\n0.3,0.5\n", ["--test-fraction", "2"]),
        ("a,b\n0.1,0.2\n0.3,0.5\n", ["--folds", "1"]),
        ("a,b\n0.1,0.2\n0.3,0.5\n", ["--folds", "3", "--test-fraction", "0.2"]),
        ("a,b\n0.1,0.2\n0.3,0.5\n", ["--claim", "x"]),
        ("name,label,predicted\ni,a,b\n", []),
    ],
)
def test_bad_input_is_one_line_and_exit_2(tmp_path: Path, text: str, more: list[str]) -> None:
    (tmp_path / "t.csv").write_text(text)
    done = called("compare", "t.csv", *more, cwd=tmp_path)
    assert done.returncode == 2, done.stderr
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("mtl: Expected")
    assert not (tmp_path / "comparison.html").exists()
