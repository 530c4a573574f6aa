"""`mtl segment train` for real: tiny networks, few steps, two folds, and a data set that is tested on alone."""

from __future__ import annotations

import csv
import errno
import json
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import called, interruptible
from PIL import Image
from test_segment_images import MTL, Done, refused, refused_here

from segmentation import networks
from segmentation.weights import SHIPPED, load_network, read_card
from stages.splits.split import load_split

TINY = ["--steps", 6, "--width", 4, "--depth", 2, "--crop-size", 32, "--batch-size", 4, "--limit", 12]


@pytest.fixture(scope="module")
def wbc(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Windows of rendered fields as Zheng's Dataset 2, and copies of three of them as Dataset 1."""
    folder = tmp_path_factory.mktemp("wbc")
    names: list[str] = []
    (folder / "Dataset 1").mkdir()
    (folder / "Dataset 2").mkdir()
    for field in sorted((rendered / "ALL-IDB1" / "im").iterdir()):
        centres = (rendered / "ALL-IDB1" / "xyc" / f"{field.stem}.xyc").read_text().split()
        if len(names) == 12 or not centres:
            continue
        x, y = (
            min(max(int(value) - 120, 0), side - 240)
            for value, side in zip(centres, (648, 486), strict=False)
        )
        name = f"{len(names) + 1:03d}"
        for source, suffix in (
            (field, "bmp"),
            (rendered / "ALL-IDB1" / "masks" / f"{field.stem}.png", "png"),
        ):
            with Image.open(source) as image:
                image.crop((x, y, x + 240, y + 240)).save(folder / "Dataset 2" / f"{name}.{suffix}")
        names.append(name)
    for name in (names[0], names[5], names[-1]):
        for suffix in ("bmp", "png"):
            shutil.copy(folder / "Dataset 2" / f"{name}.{suffix}", folder / "Dataset 1" / f"{name}.{suffix}")
    for which, column in (("1", "class label"), ("2", "class")):
        lines = [f"image ID,{column}", *(f"{int(name)},2" for name in names)]
        (folder / f"Class Labels of Dataset {which}.csv").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def trained(wbc: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[object], Done]:
    cwd = tmp_path_factory.mktemp("train")
    arguments: list[object] = [
        "segment", "train", "--data", f"wbc-2:{wbc}", "--test", f"wbc-1:{wbc}",
        "--folds", 2, "--name", "r", *TINY,
    ]  # fmt: skip
    done = called(*arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return cwd, arguments, done


def test_a_run_folder_holds_everything(trained: tuple[Path, list[object], Done]) -> None:
    cwd, _, done = trained
    run = cwd / "runs" / "r"
    for name in (
        "claim.json",
        "config.yaml",
        "weights.safetensors",
        "weights.json",
        "history.csv",
        "images.csv",
        "scores.json",
    ):
        assert (run / name).is_file(), name
    assert "white-cells" in done.stdout
    assert "the shipped network" in done.stdout
    assert load_network(run / "weights.safetensors").recipe.width == 4
    assert "held out" in read_card(run / "weights.safetensors").scores
    scores = json.loads((run / "scores.json").read_text())["parts"]
    assert list(scores) == ["held out", "wbc-1"]
    assert len(scores["held out"]["methods"]["network"]["folds"]) == 2
    assert list(scores["held out"]["differences"]) == ["white-cells", "shipped"]
    # What was not trained on these images finds their cells; six steps of a tiny network do not.
    assert scores["held out"]["methods"]["shipped"]["mean"]["nucleus_dice"] > 0.7
    assert scores["held out"]["methods"]["white-cells"]["mean"]["nucleus_dice"] > 0.7
    with (run / "history.csv").open(newline="") as stream:
        assert {row["fold"] for row in csv.DictReader(stream)} == {"1", "2"}


def test_every_image_is_held_out_once_and_copies_are_not_trained_on(
    trained: tuple[Path, list[object], Done],
) -> None:
    run = trained[0] / "runs" / "r"
    splits = [load_split(run / "splits" / f"fold-{fold}.json") for fold in (1, 2)]
    assert not set(splits[0].test) & set(splits[1].test)
    with (run / "images.csv").open(newline="") as stream:
        rows = [
            row for row in csv.DictReader(stream) if row["part"] == "held out" and row["method"] == "network"
        ]
    assert sorted(row["name"] for row in rows) == sorted({*splits[0].test, *splits[1].test})
    used = {Path(name).name for split in splits for name in (*split.train, *split.validation, *split.test)}
    assert used.isdisjoint({"001.bmp", "006.bmp", "012.bmp"})
    assert "near-duplicates of images in --test" in (run / "report.html").read_text()


def test_the_report_has_curves_table_verdict_and_overlays(trained: tuple[Path, list[object], Done]) -> None:
    page = (trained[0] / "runs" / "r" / "report.html").read_text()
    for part in (
        "has not earned its place",
        "Held out: worst",
        "Held out: best",
        "±",
        "<svg",
        "data:image/jpeg",
        "AJI",
    ):
        assert part in page
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://purl.org", "").replace(
        "http://creativecommons.org", ""
    )


def test_bold_is_the_best_of_each_column_alone(trained: tuple[Path, list[object], Done]) -> None:
    run = trained[0] / "runs" / "r"
    page = (run / "report.html").read_text()
    parts = json.loads((run / "scores.json").read_text())["parts"]
    tables = re.findall(r"<table>\n<tr><th>method.*?</table>", page, re.DOTALL)
    assert len(tables) == len(parts) == 2
    for table, part in zip(tables, parts.values(), strict=True):
        rows = re.findall(r'<tr class="mean"><td class="method">([^<]+)</td><td>mean</td>(.*?)</tr>', table)
        assert len(rows) == 3
        columns = [re.findall(r"<td>(.*?)</td>", row) for _, row in rows]
        for number, cells in enumerate(zip(*columns, strict=True)):
            shown = [float(re.sub(r"<small>.*|</?b>", "", cell)) for cell in cells]
            best = min(shown) if number == 6 else max(shown)  # HD95 alone is a distance
            assert [cell.startswith("<b>") for cell in cells] == [value == best for value in shown]
        assert rows[0][0] in part["methods"]
    assert 'class="main"' not in page


def test_the_same_command_reuses_and_a_lost_fold_is_made_again(
    trained: tuple[Path, list[object], Done],
) -> None:
    cwd, arguments, first = trained
    fold = cwd / "runs" / "r" / "fold-2"
    before = (fold / "weights.safetensors").read_bytes()
    shutil.rmtree(fold)
    again = called(*arguments, cwd=cwd)
    assert again.stdout == first.stdout
    assert (fold / "weights.safetensors").read_bytes() == before
    assert "fold 1 of 2: train" not in again.stderr
    assert "another name" in refused(called(*arguments, "--seed", 1, cwd=cwd))


def test_trained_weights_segment(trained: tuple[Path, list[object], Done], wbc: Path) -> None:
    cwd = trained[0]
    image = wbc / "Dataset 2" / "001.bmp"
    done = called("segment", image, "--weights", "runs/r/weights.safetensors", "--json", cwd=cwd)
    assert json.loads(done.stdout)["methods"] == {"residual_unet": 1}, done.stderr


def test_it_goes_on_from_the_shipped_weights_and_after_ctrl_c_to_the_same_end(
    wbc: Path, tmp_path: Path
) -> None:
    arguments = [
        "segment", "train", "--data", f"wbc-2:{wbc}", "--name", "tuned", "--steps", 30, "--crop-size", 32,
        "--batch-size", 2, "--limit", 8,
    ]  # fmt: skip
    whole = called(*arguments, cwd=tmp_path)
    assert whole.returncode == 0, whole.stderr
    assert "render smears: 30/30" in whole.stderr
    run = tmp_path / "runs" / "tuned"
    weights = (run / "weights.safetensors").read_bytes()
    card = read_card(run / "weights.safetensors")
    assert card.recipe == read_card(SHIPPED).recipe
    assert (card.training["rehearsal"], card.training["learning_rate"]) == (0.5, 3e-4)
    shutil.rmtree(run)

    process = subprocess.Popen(
        [*MTL, *map(str, arguments)], cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    deadline = time.monotonic() + 120
    while (
        not (run / "fold-1" / "training" / "last.ckpt").exists()
        and time.monotonic() < deadline
        and process.poll() is None
    ):
        time.sleep(0.005)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate()
    assert process.returncode == 130, said
    assert "The same command goes on" in said
    again = called(*arguments, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert (run / "weights.safetensors").read_bytes() == weights
    assert again.stdout == whole.stdout


def test_an_architecture_of_smp_in_epochs(wbc: Path, tmp_path: Path) -> None:
    done = called(
        "segment", "train", "--data", f"wbc-2:{wbc}", "--arch", "unet", "--encoder", "resnet18",
        "--epochs", 1, "--crop-size", 32, "--batch-size", 4, "--limit", 8, "--json", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["folder"] == "runs/segment-wbc-2-unet"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "`data`"),
        (["--data", "all-idb2"], "NAME:FOLDER"),
        (["--data", "wbc-1:a", "--set", "fold=2"], "did you mean folds"),
        (["--data", "wbc-1:a", "--config", "gone.yaml"], "gone.yaml"),
        (["--data", "wbc-1:a", "--accelerator", "abacus"], "--accelerator"),
        (["--data", "foo:x"], "mtl data list"),
        (["--data", "wbc-1:nowhere"], "nowhere"),
        (["--data", "wbc-1:a", "--test", "wbc-1:b"], "wbc-1 twice"),
        (["--data", "wbc-1:a", "--arch", "unett"], "unetplusplus"),
        (["--data", "wbc-1:a", "--encoder", "resnet18"], "encoder"),
        (["--data", "wbc-1:a", "--crop-size", "100"], "multiple of 16"),
        (["--data", "wbc-1:a", "--folds", "0"], "`folds`"),
        (["--data", "wbc-1:a", "--lr", "-1"], "`learning_rate`"),
        (["--data", "wbc-1:a", "--name", "../x"], "name of a folder"),
        (["--data", "wbc-1:a", "--name", ".."], "name of a folder"),
        (["--data", "wbc-1:a", "--seed", "-1"], "`seed`"),
        (["--data", "wbc-1:a", "--seed", str(2**64)], "`seed`"),
        (["--data", "wbc-1:a", "--arch", "unet", "--encoder", "resnet35"], "such as resnet"),
        (["--data", "wbc-1:a", "--rehearsal", "1"], "`rehearsal`"),
        (["--data", "wbc-1:a", "--border", "-1"], "`border`"),
        (["--data", "wbc-1:a", "--start", "gone.safetensors"], "gone.safetensors"),
        (["--data", "wbc-1:a", "--start", "shipped", "--arch", "unet"], "leave --arch"),
    ],
)
def test_bad_input_is_one_line(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    said: str,
) -> None:
    line = refused_here(monkeypatch, capsys, tmp_path, "segment", "train", *arguments)
    assert said in line
    assert len(line) < 300
    assert not any(tmp_path.rglob("*.html"))


def full_disk(monkeypatch: pytest.MonkeyPatch, ending: str) -> None:
    """Let the disk be full where a file of this ending is written."""
    real = os.replace

    def replace(source: os.PathLike[str], target: os.PathLike[str]) -> None:
        if os.fspath(target).endswith(ending):
            raise OSError(errno.ENOSPC, "No space left on device", os.fspath(target))
        real(source, target)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("ending", ["last.ckpt", "00000.png"])
def test_a_full_disk_names_the_flag_that_the_command_has(
    wbc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
) -> None:
    full_disk(monkeypatch, ending)
    done = called("segment", "train", "--data", f"wbc-2:{wbc}", "--name", "r", *TINY, cwd=tmp_path)
    assert done.returncode == 1
    line = done.stderr.strip().splitlines()[-1]
    assert ending in line
    assert "the disk is full" in line
    assert "--runs" in line
    assert "--out" not in line
    assert "Traceback" not in done.stderr


def test_weights_of_an_encoder_without_network(
    wbc: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(networks, "reachable", lambda endpoint: False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    arguments = ("segment", "train", "--data", f"wbc-2:{wbc}", "--arch", "unet", "--encoder", "resnet18")
    done = called(*arguments, "--encoder-weights", "imagenet", cwd=tmp_path)
    line = refused(done)
    assert "the hub cannot be reached" in line
    assert "--encoder-weights" in line
    assert "space and rights" not in line
    assert len(done.stderr.strip().splitlines()) == 1  # and nothing of Lightning's or the hub's client
    assert constants.HF_HUB_OFFLINE is False
