"""`mtl segment IMAGE` for real: what it writes, what it skips, what it refuses."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import called
from PIL import Image

from mtl.segment.command import COLUMNS
from mtl.segment.methods import Seer
from mtl.segment.settings import SegmentImages
from mtl.segment.threads import at_once
from segmentation.masks import read_mask
from stages.data.smears import make_slide, render_field

MTL = [sys.executable, "-c", "from mtl.cli.app import main; main()"]
Done = subprocess.CompletedProcess[str]


def mtl(*arguments: object, cwd: Path) -> Done:
    return subprocess.run(
        [*MTL, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )


def refused(done: Done) -> str:
    assert done.returncode == 2, done.stdout + done.stderr
    lines = done.stderr.strip().splitlines()
    assert lines[-1].startswith("mtl: ")
    assert "Traceback" not in done.stderr
    return lines[-1]


def refused_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], cwd: Path, *arguments: object
) -> str:
    """The same without a process of its own, which would spend its time importing torch."""
    from mtl.cli.app import main

    monkeypatch.chdir(cwd)
    monkeypatch.setattr(sys, "argv", ["mtl", *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        main()
    assert end.value.code == 2
    line = capsys.readouterr().err.strip().splitlines()[-1]
    assert line.startswith("mtl: ")
    return line


def rows_of(folder: Path) -> list[dict[str, str]]:
    with (folder / "cells.csv").open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


@pytest.fixture(scope="module")
def folder(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two crops, a quarter of a field with a mask of its name beside it, four blank images, and a broken file."""
    path = tmp_path_factory.mktemp("images")
    for source in sorted((rendered / "ALL-IDB2" / "img").iterdir())[:2]:
        (path / source.name).write_bytes(source.read_bytes())
    (path / "sub").mkdir()
    source = sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]
    with Image.open(source) as field:
        field.convert("RGB").crop((0, 0, 640, 480)).save(path / "sub" / "field.jpg", quality=95)
    Image.fromarray(np.zeros((480, 640), np.uint8)).save(path / "sub" / "field.png")
    for name, value, size in (
        ("black", 0, (500, 500)),
        ("white", 255, (500, 500)),
        ("dark", 0, (90, 90)),
        ("pale", 255, (90, 90)),
    ):
        Image.new("RGB", size, (value,) * 3).save(path / f"{name}.png")
    (path / "broken.jpg").write_bytes((path / "sub" / "field.jpg").read_bytes()[:2000])
    return path


@pytest.fixture(scope="module")
def segmented(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    out = tmp_path_factory.mktemp("out") / "o"
    done = mtl("segment", folder, "--out", out, "--crops", "black", "--xyc", cwd=folder)
    return out, done


def test_a_folder_is_done_but_for_what_cannot_be_read(segmented: tuple[Path, Done]) -> None:
    out, done = segmented
    assert done.returncode == 1
    assert "broken.jpg: Expected" in done.stderr
    assert "in 7 images" in done.stdout
    assert "1 image could not be read" in done.stdout
    assert "1 grey file beside an image" in done.stdout
    assert "white-cells on 2 images" in done.stdout  # one cell fills the frame
    assert "residual_unet on 1 image" in done.stdout  # a field
    assert not list(out.rglob("*.tmp"))


def test_table_labels_crops_and_centroids_agree(folder: Path, segmented: tuple[Path, Done]) -> None:
    out, _ = segmented
    rows = rows_of(out)
    assert tuple(rows[0]) == COLUMNS
    for name in {row["image"] for row in rows}:
        own = [row for row in rows if row["image"] == name]
        stem = Path(name).with_suffix("")
        labels = read_mask(out / "labels" / f"{stem}.png", encoding="zheng")
        with Image.open(folder / name) as image:
            assert labels.shape == image.size[::-1]
        # holes of a cell count to its area, so the table holds a few pixels more
        assert (
            0.95 * sum(int(row["area_px"]) for row in own)
            <= (labels > 0).sum()
            <= sum(int(row["area_px"]) for row in own)
        )
        assert len(list((out / "crops" / stem).glob("*.png"))) == len(own)
        points = np.loadtxt(out / "xyc" / f"{stem}.xyc", ndmin=2)
        assert np.abs(points - [[float(row["x"]), float(row["y"])] for row in own]).max() <= 0.6
        for row in own:
            assert float(row["x0"]) <= float(row["x"]) <= float(row["x1"])
    with Image.open(next((out / "crops").rglob("*.png"))) as crop:
        assert crop.getpixel((0, 0)) == (0, 0, 0)


@pytest.mark.parametrize("name", ["black", "white", "dark", "pale"])
def test_an_image_without_a_cell_is_no_error(segmented: tuple[Path, Done], name: str) -> None:
    out, _ = segmented
    assert not read_mask(out / "labels" / f"{name}.png").any()
    assert f"{name}.png" not in {row["image"] for row in rows_of(out)}
    assert (out / "xyc" / f"{name}.xyc").read_text() == ""


def test_the_same_command_skips_what_is_done_and_others_do_not(
    folder: Path, segmented: tuple[Path, Done]
) -> None:
    out, _ = segmented
    before = (out / "cells.csv").read_text()
    again = called("segment", folder, "--out", out, "--crops", "black", "--xyc", cwd=folder)
    assert "7 images already done" in again.stdout
    assert (out / "cells.csv").read_text() == before
    label = next((out / "labels").glob("Im*.png"))
    label.unlink()  # half done: made again
    third = called("segment", folder, "--out", out, "--crops", "black", "--xyc", "--json", cwd=folder)
    assert json.loads(third.stdout)["skipped"] == 6
    assert label.is_file()
    changed = called("segment", folder / "black.png", "--out", out, "--method", "hsv", "--json", cwd=folder)
    assert json.loads(changed.stdout)["skipped"] == 0


def test_methods_settings_and_default_folder(folder: Path, tmp_path: Path) -> None:
    field = folder / "sub" / "field.jpg"
    for number, arguments in enumerate(
        [
            ["--method", "threshold", "--set", "parameters.sigma=1.5e0"],
            ["--method", "otsu_green"],
            ["--method", "multi-otsu"],
        ]
    ):
        done = called("segment", field, *arguments, "--out", f"o{number}", "--json", cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["images"] == 1
    done = called("segment", field, "--cell-size", "80", "--flips", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "runs" / "segment-field" / "overlays" / "field.png").is_file()
    assert rows_of(tmp_path / "runs" / "segment-field")[0]["method"] == "residual_unet"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["broken.jpg"], "broken.jpg"),
        (["nothing.png"], "nothing.png"),
        (["."], None),
        ([".", "--method", "white_cell"], "did you mean white-cells?"),
        ([".", "--method", "white-cells", "--set", "parameters.sigm=1"], "did you mean sigma?"),
        ([".", "--method", "white-cells", "--set", "parameters.sigma=99"], "0 to 10"),
        ([".", "--method", "white-cells", "--set", "sigma"], "KEY=VALUE"),
        ([".", "--set", "parameters.sigma=1"], "--method white-cells"),
        ([".", "--set", "methd=hsv"], "did you mean method?"),
        ([".", "--method", "hsv", "--flips"], "--flips"),
        ([".", "--method", "hsv", "--any-hue"], "--any-hue"),
        ([".", "--method", "hsv", "--cell-size", "50"], "--cell-size"),
        ([".", "--cell-size", "5"], "20 to 1200"),
        ([".", "--weights", "no.safetensors"], "no.safetensors"),
        ([".", "--crops", "red"], "'none', 'plain' or 'black'"),
        ([".", "--device", "abacus"], "--device"),
    ],
)
def test_bad_input_is_one_line(folder: Path, tmp_path: Path, arguments: list[str], said: str | None) -> None:
    where = folder if said is not None else tmp_path  # an empty folder holds no images
    done = called("segment", *arguments, "--out", tmp_path / "o", cwd=where)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line.startswith("mtl: ")
    assert (said or "to hold images") in line


def test_images_at_once_follow_the_threads_that_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for asked, expected in (("1", 1), ("3", 3), ("64", 8)):
        monkeypatch.setenv("OMP_NUM_THREADS", asked)
        assert at_once() == expected
    for none in ("", "many", "0"):
        monkeypatch.setenv("OMP_NUM_THREADS", none)
        assert 1 <= at_once() <= 8


def test_several_at_once_give_what_one_after_the_other_gives(
    rendered: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for path in sorted((rendered / "ALL-IDB1" / "im").iterdir())[:4]:
        os.link(path, images / path.name)
    tables = []
    for threads in ("1", "2"):
        monkeypatch.setenv("OMP_NUM_THREADS", threads)
        done = called("segment", images, "--out", threads, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert "4/4" in done.stderr
        tables.append((tmp_path / threads / "cells.csv").read_text())
    assert tables[0] == tables[1]


def test_any_hue_lets_teal_red_cells_pass() -> None:
    field = render_field("normal", make_slide(0, 6), 1, 200, 260, 6.0)
    teal = field.image.copy()
    inside = field.red_cells
    teal[inside] = (teal[inside] * (0.25, 0.4, 0.5)).astype(np.uint8)
    found = [
        Seer(SegmentImages(method="residual_unet", cell_size=80.0, device="cpu", any_hue=any_hue))
        .see(teal)
        .labels
        for any_hue in (False, True)
    ]
    strict, lax = (int(((labels == 2) & inside).sum()) for labels in found)
    assert lax > 0.1 * inside.sum()
    assert strict < 0.01 * inside.sum()
