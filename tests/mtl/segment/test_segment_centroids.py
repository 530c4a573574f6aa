"""`mtl segment score --centroids`: counts done by hand, rendered ALL-IDB1 trees, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from conftest import called
from test_segment_images import refused
from test_segment_score import write


@pytest.fixture
def fields(tmp_path: Path) -> Path:
    """Three fields: two blasts found and a cell too many; one blast missed; a healthy one with a cell."""
    places = {"a": [(30, 30), (90, 60), (30, 75)], "b": [(30, 30)], "c": [(60, 50)]}
    centroids = {"a": "30 30\n92 61\n", "b": "32 30\n100 80\n", "c": ""}
    (tmp_path / "tree" / "xyc").mkdir(parents=True)
    for name, cells in places.items():
        write(tmp_path / "labels" / f"{name}.png", cells)
        (tmp_path / "tree" / "xyc" / f"{name}.xyc").write_text(centroids[name])
    return tmp_path


def test_counts_and_scores_are_those_done_by_hand(fields: Path) -> None:
    done = called("segment", "score", "tree", "labels", "--centroids", "--json", cwd=fields)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["fields"]["a"] | {"f1": 0.8} == {
        "blasts": 2, "found": 3, "matched": 2, "recall": 1.0, "precision": pytest.approx(2 / 3), "f1": 0.8,
    }  # fmt: skip
    assert told["fields"]["c"] == {
        "blasts": 0, "found": 1, "matched": 0, "recall": None, "precision": 0.0, "f1": 0.0,
    }  # fmt: skip
    for key, value in (("recall", 3 / 4), ("precision", 3 / 5), ("f1", 6 / 9)):
        assert told[key]["value"] == pytest.approx(value)
        assert told[key]["low"] <= value <= told[key]["high"]
    text = called("segment", "score", "tree", "labels", "--centroids", cwd=fields).stdout
    assert "3 fields: 4 blasts, 5 cells found, 3 matched" in text
    assert "blasts alone" in text
    assert "at least" in text
    assert "Rendered" not in text


def test_the_distance_is_settable(fields: Path) -> None:
    (fields / "tree" / "xyc" / "b.xyc").write_text("30 50\n")  # 4 px outside the mask, 20 from its centre

    def matched(distance: str) -> int:
        told = called(
            "segment",
            "score",
            "tree/xyc",
            "labels",
            "--centroids",
            "--distance",
            distance,
            "--json",
            cwd=fields,
        )
        return int(json.loads(told.stdout)["fields"]["b"]["matched"])

    assert (matched("19"), matched("21")) == (0, 1)


def test_rendered_fields_are_called_rendered(rendered: Path, tmp_path: Path) -> None:
    tree = rendered / "ALL-IDB1"
    (tmp_path / "im").mkdir()
    for name in ("Im002_1", "Im003_1"):
        (tmp_path / "im" / f"{name}.jpg").write_bytes((tree / "im" / f"{name}.jpg").read_bytes())
    called("segment", "im", "--method", "white-cells", "--out", "o", cwd=tmp_path)
    done = called("segment", "score", tree, "o/labels", "--centroids", cwd=tmp_path)
    assert "Rendered smears, not patient data." in done.stdout, done.stderr
    assert "30 without a mask, such as Im001_0" in done.stdout
    told = json.loads(
        called("segment", "score", tree, "o/labels", "--centroids", "--json", cwd=tmp_path).stdout
    )
    assert told["recall"]["value"] > 0.8
    assert told["rendered"] is True


def test_bad_input_is_one_line(fields: Path) -> None:
    def line(*arguments: str) -> str:
        return refused(called("segment", "score", *arguments, "--centroids", cwd=fields))

    (fields / "none").mkdir()
    assert "has none" in line("none", "labels")
    assert "nowhere" in line("nowhere", "labels")
    assert "`distance`" in line("tree", "labels", "--distance", "-1")
    xyc = fields / "tree" / "xyc" / "b.xyc"
    for text, said in (
        ("30 30\n120 5\n", "120 5"),
        ("30 x\n", "in line 1"),
        ("30 30\n5 100\n", "120x100 px"),
    ):
        xyc.write_text(text)
        told = line("tree", "labels")
        assert said in told
        assert "b.xyc" in told
        assert len(told) < 300
    xyc.write_bytes(b"\xff\xfe\x00")
    assert "no text" in line("tree", "labels")
    xyc.unlink()
    assert "b.xyc for every mask" in line("tree", "labels")


def test_two_files_are_a_pair(fields: Path) -> None:
    done = called("segment", "score", "tree/xyc/a.xyc", "labels/a.png", "--centroids", "--json", cwd=fields)
    assert json.loads(done.stdout)["recall"]["value"] == 1.0
    assert np.isfinite(json.loads(done.stdout)["f1"]["value"])
