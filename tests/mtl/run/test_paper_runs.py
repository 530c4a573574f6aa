"""Every paper's configuration starts: its own settings, but a tiny backbone on tiny stand-ins for its data."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called
from PIL import Image

PAPERS = ("maaliw2022", "alam2024", "pushpalatha2024", "patel2025", "faiz2023")


@pytest.fixture(scope="module")
def sources(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folders in the layout of each paper's data, drawn from rendered smears."""
    root = tmp_path_factory.mktemp("sources")
    crops = sorted((rendered / "ALL-IDB2" / "img").iterdir())
    kinds = [[crop for crop in crops if crop.stem.endswith(f"_{kind}")] for kind in (0, 1)]
    taleqani, cnmc = root / "taleqani" / "Original", root / "cnmc"
    for number, label in enumerate(("Benign", "Early", "Pre", "Pro")):
        (taleqani / label).mkdir(parents=True)
        for order in range(8):
            with Image.open(kinds[number % 2][(order + number) % 8]) as crop:
                turned = crop.convert("RGB").rotate(90 * number).resize((64, 64))
                turned.save(taleqani / label / f"WBC-{label}-{order + 1:03d}.jpg")
    for kind, label in enumerate(("hem", "all")):
        (cnmc / "fold_0" / label).mkdir(parents=True)
        for subject, crop in enumerate(kinds[kind][:8], 1):
            name = f"UID_{'H' * (1 - kind)}{subject}_1_1_{label}.bmp"
            with Image.open(crop) as image:
                image.convert("RGB").resize((64, 64)).save(cnmc / "fold_0" / label / name)
    fields = root / "fields"
    (fields / "im").mkdir(parents=True)
    shutil.copy(rendered / "ALL-IDB1" / "fab.csv", fields)
    for field in (rendered / "ALL-IDB1" / "im").iterdir():
        with Image.open(field) as image:
            image.reduce(4).save(fields / "im" / field.name)
    trees = {"ALL_IDB1": fields, "ALL_IDB2": rendered / "ALL-IDB2"}
    return trees | {"TALEQANI": taleqani.parent, "CNMC2019": cnmc}


@pytest.mark.parametrize("name", PAPERS)
def test_every_paper_s_configuration_starts(
    name: str, sources: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, folder in sources.items():
        monkeypatch.setenv(variable, str(folder))
    small = ["evaluation.resamples=100", "evaluation.baselines=false", f"backbone={TINY_BACKBONE}"]
    if name == "maaliw2022":
        small += ["single_cell.data.limit=6"]
    if name == "patel2025":
        small.append("multi_cell.train.oversample_to=9")
    flags = [
        "--config",
        name,
        "--weights",
        "none",
        "--epochs",
        "2",
        "--image-size",
        "32",
        "--against",
        "none",
    ]
    done = called("run", *flags, *(part for one in small for part in ("--set", one)), "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)
    stages = sorted(path.name for path in (tmp_path / "runs" / name / "stages").iterdir())
    assert len(stages) == (3 if name == "maaliw2022" else 2)
