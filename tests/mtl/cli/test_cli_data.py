"""`mtl data`: what is printed, and the exit codes."""

from __future__ import annotations

import json
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from mtl.cli.data import app
from stages.data.catalogue import CATALOGUE
from stages.errors import DataError

RUNNER = CliRunner(env={"COLUMNS": "200"})


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        Image.fromarray(pixels).save(tmp_path / label / "1.png")
    return tmp_path


def test_list_shows_what_is_known() -> None:
    out = RUNNER.invoke(app, ["list"])
    assert out.exit_code == 0
    for dataset in CATALOGUE.values():
        for text in (dataset.name, dataset.source, dataset.split_unit):
            assert text in out.output
    assert "3,329" in out.output
    short = RUNNER.invoke(app, ["list", "--short"])
    assert "17,092" in short.output
    assert len(short.output) < len(out.output)


def test_list_of_one_and_as_json() -> None:
    (record,) = json.loads(RUNNER.invoke(app, ["list", "bloodmnist", "--json"]).output)
    assert record["licence"] == "CC BY 4.0"
    assert [item["variant"] for item in record["downloads"]] == ["28", "64", "128", "224"]
    assert len(json.loads(RUNNER.invoke(app, ["list", "--json"]).output)) == len(CATALOGUE)
    error = RUNNER.invoke(app, ["list", "zzz"]).exception
    assert isinstance(error, DataError)


def test_check_of_a_clean_tree(tree: Path) -> None:
    out = RUNNER.invoke(app, ["check", "folder", str(tree)])
    assert out.exit_code == 0
    assert "problems: 0" in out.output
    assert "no groups in the files" in out.output


def test_a_long_path_is_not_broken(tree: Path) -> None:
    deep = tree / "a folder whose name is long" / ("x" * 90)
    deep.parent.mkdir()
    deep.symlink_to(tree / "a")
    (tree / "a" / "k").mkdir()
    (tree / "a" / "1.png").rename(tree / "a" / "k" / "1.png")
    out = RUNNER.invoke(app, ["check", "folder", str(deep)], env={"COLUMNS": "80"})
    assert out.output.splitlines()[0] == f"folder in {deep}"


def test_check_of_a_bad_tree(tree: Path) -> None:
    (tree / "a" / "[red]2.png").write_bytes(b"\x89PNG")
    out = RUNNER.invoke(app, ["check", "folder", str(tree)])
    assert out.exit_code == 2
    assert "[red]2.png" in out.output
    assert "problems: 1" in out.output
    out = RUNNER.invoke(app, ["check", "folder", str(tree), "--json"])
    assert out.exit_code == 2
    report = json.loads(out.stdout)
    assert report["counts"] == {"a": 2, "b": 1}
    assert report["problems"][0]["path"].endswith("[red]2.png")


def test_check_of_nothing(tmp_path: Path) -> None:
    error = RUNNER.invoke(app, ["check", "pbc", str(tmp_path / "none")]).exception
    assert isinstance(error, DataError)
    assert "to be a folder, but got nothing" in str(error)


def test_get_prints_how_to_obtain_the_others(tmp_path: Path) -> None:
    out = RUNNER.invoke(app, ["get", "taleqani", str(tmp_path)])
    assert out.exit_code == 0
    assert "kaggle.com" in out.output
    assert json.loads(RUNNER.invoke(app, ["get", "pbc", "--json"]).output)["path"] is None


def test_get_fetches_and_says_where(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fake(name: str, folder: Path, variant: str | None) -> Path:
        return folder / f"{name}-{variant}.npz"

    monkeypatch.setattr("stages.data.download.get_dataset", fake)
    out = RUNNER.invoke(app, ["get", "bloodmnist", str(tmp_path), "--variant", "64"])
    assert out.output.strip() == str(tmp_path / "bloodmnist-64.npz")
    out = RUNNER.invoke(app, ["get", "bloodmnist", "--json"])
    assert json.loads(out.output)["path"] == "data/bloodmnist/bloodmnist-None.npz"


def test_render_hands_its_flags_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, object] = {}

    def fake(directory: Path, **options: object) -> types.SimpleNamespace:
        asked.update(options, directory=directory)
        return types.SimpleNamespace(all_idb1=directory / "ALL-IDB1", all_idb2=directory / "ALL-IDB2")

    module = types.ModuleType("stages.data.smears")
    module.render_trees = fake  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "stages.data.smears", module)
    command = [
        "render",
        str(tmp_path),
        "--fields",
        "14",
        "--crops",
        "16",
        "--set",
        "slides=5",
        "--size",
        "640x480",
    ]
    out = RUNNER.invoke(app, [*command, "--seed", "7", "--json"])
    assert out.exit_code == 0
    asked.pop("progress")
    assert asked == {
        "directory": tmp_path, "fields": 14, "crops": 16, "slides": 5, "width": 640, "height": 480, "seed": 7,
    }  # fmt: skip
    assert json.loads(out.output)["all-idb1"] == str(tmp_path / "ALL-IDB1")
    for size in ("64", "0x9", "axb", "64x48x3"):
        out = RUNNER.invoke(app, ["render", str(tmp_path), "--size", size])
        assert out.exit_code == 2
        assert "WxH" in out.output
