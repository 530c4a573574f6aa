"""Every command of README.md and docs/ runs, small, on stand-ins: in order, in one folder, as a reader would type them."""

from __future__ import annotations

import re
import shlex
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from conftest import TINY_BACKBONE
from PIL import Image
from typer.testing import CliRunner

from mtl.cli.app import app

ROOT = Path(__file__).parents[3]
PAGES = [ROOT / "README.md", *sorted(page for page in (ROOT / "docs").glob("*.md") if page.name != "cli.md")]

CANNOT = {
    "mtl tune --trials 200 --storage postgresql://user@host/db --study big": "needs a database server",
    "mtl tune --join runs/big": "joins the study in that database",
    "mtl dashboard runs/default-study": "opens a server until Ctrl-C",
    "mtl serve --run runs/default": "the same",
    "mtl doctor --clean": "deletes the cache that other tests share",
    "mtl segment train --data wbc-1:data/wbc --data bccd:data/BCCD --arch unet --encoder resnet34 --encoder-weights imagenet": "downloads the encoder's weights",
    "mtl ensemble runs/densenet201 runs/resnet50 --rule grid --name patel2025-ensemble": "needs the paper's runs",
    "mtl ensemble runs/c-resnet50 runs/c-b3 --rule optimised --name hybrid": "needs the paper's runs",
    "mtl federate server --classes normal,L1,L2,L3 --clients 3 --rounds 10 --keys keys --listen 0.0.0.0:9443": "waits for clients; tests/mtl/federate runs both",
    "mtl federate client --server server.example.org:9443 --key hospital-a.key --ca ca.pem --data all-idb1:/data/smears --dp sgd --epsilon 2": "the same",
    "mtl federate simulate --stages 1,3 --name side --engine ray": "starts processes; tests/stages/learners/federated does",
    "mtl federate simulate --config hospitals --compare": "needs the data; tests/mtl/federate compares on rendered ones",
    "mtl reproduce patel2025 --data data --budget 30": "needs the paper's data; tests/mtl/reproduce runs it on stand-ins",
    "mtl reproduce --all --data data --budget 60": "the same",
    "mtl reproduce patel2025 --data data --budget 10 --stand-in tf_efficientnet_lite0,tf_efficientnet_lite1": "the same",
    "mtl reproduce patel2025 --data data --budget 10 --weights none --stand-in tf_efficientnet_lite0": "the same",
}
"""Commands that cannot run here, and why."""

LEARN = (
    "--weights none --epochs 1 --set single_cell.train.head_epochs=0 --set multi_cell.train.head_epochs=0 --set single_cell.preprocess.image_size=32 --set multi_cell.preprocess.image_size=32 --set evaluation.resamples=100 --set evaluation.baselines=false "
    f"--set backbone={TINY_BACKBONE} --set single_cell.train.batch_size=8 --set multi_cell.train.batch_size=8 "
    "--single-cell all-idb2:SMEARS/ALL-IDB2 --multi-cell all-idb1:SMEARS/ALL-IDB1"
)
SMALL = {
    "run --config maaliw2022": f"{LEARN} --set single_cell.data.limit=6 --set multi_cell.data.limit=4",
    "run --config stage1-continued": f"{LEARN} --set imagenet.proceed.train.epochs=2 --set imagenet.proceed.preprocess.image_size=32 "
    "--set imagenet.proceed.train.batch_size=4",
    "run --time-budget": LEARN.replace("--epochs 1 ", ""),
    "run --folds": f"{LEARN} --folds 3 --workers 1",
    "run": LEARN,
    "ensemble": "--set resamples=100",
    "benchmark --chains 1,2,3 --folds": f"{LEARN} --folds 3 --workers 1",
    "benchmark": f"{LEARN} --repeats 2 --workers 1",
    "tune": f"{LEARN} --trials 1 --folds 1 --sampler random",
    "federate simulate --config alam2024 --best": f"{LEARN.replace('--epochs 1 ', '')} --clients 2 --rounds 1 --local-epochs 1 --set multi_cell.train.epochs=1 --set multi_cell.split.method=grouped --set multi_cell.split.validation=0.2 "
    f"--backbones {TINY_BACKBONE},test_efficientnet,test_vit,nasnetmobile",
    "federate simulate": f"{LEARN.replace('--epochs 1 ', '')} --clients 2 --rounds 1 --local-epochs 1",
    "find-lr": f"{LEARN.replace('--epochs 1 ', '')} --steps 20",
    "segment train": "--folds 1 --steps 2 --crop-size 64 --batch-size 2 --width 4 --depth 2 --start none --name NAME",
}
"""What makes a command small; what it says itself is said before and holds less."""

STAND_INS = {
    r"taleqani data/\w+": "all-idb1 SMEARS/ALL-IDB1",
    r"docs/table_v\.csv": f"{ROOT}/docs/table_v.csv",
    r" --(?:single|multi)-cell \S+": "",
}


def commands() -> list[str]:
    found = []
    for page in PAGES:
        for line in re.findall(r"^    (mtl .*)$", page.read_text("utf-8"), re.MULTILINE):
            found.append(re.split(r"\s+#", line)[0].strip())
    return list(dict.fromkeys(found))


def small(command: str, smears: Path) -> list[str]:
    for pattern, instead in STAND_INS.items():
        command = re.sub(pattern, instead, command)
    name = next((name for name in SMALL if f"{command} ".startswith(f"mtl {name} ")), None)
    return shlex.split(f"{command} {SMALL[name] if name else ''}".replace("SMEARS", str(smears)))[1:]


@pytest.fixture(scope="module")
def desk(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with everything that the pages' commands name."""
    desk = tmp_path_factory.mktemp("desk")
    for folder in ("smears", "folder", "truth", "data/wbc/Dataset 1", "data/wbc/Dataset 2"):
        (desk / folder).mkdir(parents=True)
    crops = sorted((rendered / "ALL-IDB2" / "img").iterdir())
    for folder in ("smears", "folder"):
        for crop_file in (crops[0], crops[2]):
            shutil.copy(crop_file, desk / folder)
    with Image.open(crops[1]) as crop:
        crop.convert("RGB").resize((100, 100)).save(desk / "smear.jpg")
    for crop_file in (crops[0], crops[2]):
        with Image.open(crop_file) as crop:
            Image.new("L", crop.size, 255).save(desk / "truth" / f"{crop_file.stem}.png")
    for number, label in enumerate(("normal", "L1")):
        (desk / "data/elsewhere" / label).mkdir(parents=True)
        pixels = np.random.default_rng(number).integers(0, 256, (40, 40, 3), np.uint8)
        Image.fromarray(pixels).save(desk / "data/elsewhere" / label / "1.png")
    fields = sorted((rendered / "ALL-IDB1" / "im").iterdir())[:8]
    for number, field in enumerate(fields, 1):
        for folder in ("Dataset 1", "Dataset 2")[: 1 if number > 2 else 2]:
            for source, suffix in (
                (field, "bmp"),
                (rendered / "ALL-IDB1" / "masks" / f"{field.stem}.png", "png"),
            ):
                with Image.open(source) as image:
                    corner = 100 if folder == "Dataset 1" else 300
                    image.crop((corner, 100, corner + 200, 300)).save(
                        desk / "data/wbc" / folder / f"{number:03d}.{suffix}"
                    )
    for which, column, count in (("1", "class label", 8), ("2", "class", 2)):
        rows = [f"image ID,{column}", *(f"{number},2" for number in range(1, count + 1))]
        (desk / "data/wbc" / f"Class Labels of Dataset {which}.csv").write_text("\n".join(rows) + "\n")
    for place, crop in enumerate(sorted((rendered / "ALL-IDB2" / "img").iterdir())[:24]):
        own = desk / "data/images" / ("even", "odd")[place % 2]
        own.mkdir(parents=True, exist_ok=True)
        shutil.copy(crop, own)
    (desk / "scores.csv").write_text("a,b\n" + "".join(f"0.{80 + n},0.{81 + n * n % 7}\n" for n in range(8)))
    (desk / "space.yaml").write_text(
        "multi_cell.train.learning_rate: {low: 1.0e-4, high: 1.0e-2, log: true}\n"
    )
    (desk / "mine.yaml").write_text(block("# mine.yaml").replace("base: pbc", "base: default\nname: written"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        yield desk


def block(first: str) -> str:
    """The indented block of a page that begins with a line."""
    text = "\n".join(page.read_text("utf-8") for page in PAGES)
    lines = re.search(rf"^    {re.escape(first)}\n(?:    .*\n)+", text, re.MULTILINE)
    assert lines, first
    return re.sub(r"^    ", "", lines[0], flags=re.MULTILINE)


def test_the_list_of_those_that_cannot_run_is_not_out_of_date() -> None:
    assert set(CANNOT) <= set(commands())
    assert len(commands()) > 2 * len(CANNOT)


@pytest.mark.parametrize("command", [one for one in commands() if one not in CANNOT])
def test_every_command_runs(
    command: str, desk: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if command.startswith("mtl compare runs/"):
        stages = sorted((desk / "runs/mine/stages").glob("3-*"))
        for name in ("a", "b"):
            (desk / "runs" / name / "...").mkdir(parents=True)
            shutil.copy(stages[0] / "predictions.csv", desk / "runs" / name / "...")
    arguments = small(command, rendered)
    monkeypatch.setattr(sys, "argv", ["mtl", *arguments])
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, (done.exception, done.output)
    assert done.stdout.strip()


def known(words: list[str]) -> tuple[set[str], bool]:
    """The flags of a command, and whether all words before the first argument were commands."""
    command: Any = typer.main.get_command(app)
    flags: set[str] = set()
    for word in words:
        below = getattr(command, "commands", {})
        if word not in below:
            if command.name == "segment":
                command = below["images"]
            return {flag for one in command.params for flag in one.opts} | flags, command.name != "mtl"
        command = below[word]
        flags |= {flag for one in command.params for flag in one.opts}
    return flags, True


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_is_mentioned_exists(page: Path) -> None:
    text = page.read_text("utf-8")
    mentioned = [*re.findall(r"`(mtl [^`]+)`", text), *re.findall(r"^    (mtl [^#\n]*)", text, re.MULTILINE)]
    for one in mentioned:
        words = shlex.split(one)[1:]
        flags, exists = known(words)
        assert exists, one
        for word in words:
            assert not word.startswith("--") or word in flags, (one, word)


def test_the_reference_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "docs"))
    import make_cli

    assert (ROOT / "docs" / "cli.md").read_text("utf-8") == make_cli.render()
