"""Stage 1 continued on a folder of images: in the chain, reused, told in the report, and without a leak."""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from conftest import TINY_BACKBONE, Told, called, tiny_experiment
from PIL import Image
from safetensors.torch import load_file

from mtl.config import Experiment, load_config
from mtl.records import LearnedRecord
from mtl.run.chain import run_experiment
from mtl.run.execute import write_report
from mtl.runs import RunFolder, StageFolder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two classes of twelve small pictures, one bright and one dark in the middle."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)
    for label, light in (("dark", 40), ("bright", 220)):
        (folder / label).mkdir()
        for number in range(12):
            pixels = random.integers(80, 160, (40, 40, 3), dtype=np.uint8)
            pixels[10:30, 10:30] = light
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


def continued(rendered: Path, images: Path, *sets: str, **values: str) -> Experiment:
    own = [
        "data.dataset=folder", f"data.root={images}", "split.test=0.2", "split.validation=0.2", "preprocess.image_size=32",
        "train.epochs=1", "train.head_epochs=0", "train.batch_size=8",
    ]  # fmt: skip
    return tiny_experiment(rendered, *(f"imagenet.proceed.{text}" for text in own), *sets, **values)


@pytest.fixture(scope="module")
def run(rendered: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    folder = RunFolder(tmp_path_factory.mktemp("run"))
    run_experiment(continued(rendered, images), folder, "mtl run", Told())
    return folder


def stages(run: RunFolder, chain: str) -> list[StageFolder]:
    return [StageFolder(run.stages / name) for name in run.record().chains[chain]]


def test_every_chain_goes_on_from_the_continued_weights(run: RunFolder) -> None:
    for chain, numbers in (("1,2,3", [1, 1, 2, 3]), ("1,3", [1, 1, 3])):
        own = stages(run, chain)
        records = [stage.record() for stage in own]
        assert [record.number for record in records] == numbers
        for before, record in pairwise(records):
            assert isinstance(record, LearnedRecord)
            assert record.parent == before.key
        assert records[-1].lineage == tuple(dict.fromkeys(numbers))
    assert stages(run, "1,2,3")[1].path == stages(run, "1,3")[1].path


def test_it_has_learned_its_own_classes_with_softmax(run: RunFolder) -> None:
    before, after = stages(run, "1,2,3")[:2]
    record = after.learned_record()
    assert record.classes == ("bright", "dark")
    assert record.settings.head.activation == "softmax"
    assert record.evaluation is not None
    assert record.evaluation.n == len(after.predictions().names) == 4
    old, new = load_file(before.weights), load_file(after.weights)
    shared = [key for key in old if key in new]
    assert shared
    assert any(not old[key].equal(new[key]) for key in shared)


def test_the_same_again_trains_nothing_and_another_setting_does(
    run: RunFolder, rendered: Path, images: Path
) -> None:
    told = Told()
    run_experiment(continued(rendered, images), run, "mtl run", told)
    begins = [name.partition("  ")[0] for name in told.reused]
    assert begins == ["stage 1", "stage 2", "stage 3", "stage 1", "stage 3"]
    assert told.reused[0] == "stage 1  ImageNet, continued"
    other = Told()
    run_experiment(
        continued(rendered, images, "imagenet.proceed.train.epochs=2", stages="1,3", against="none"),
        RunFolder(run.path.parent / "other", run.stages),
        "mtl run",
        other,
    )
    assert not other.reused


def test_the_report_names_it(run: RunFolder) -> None:
    page = write_report(run).read_text()
    assert "Stage 1: ImageNet, continued" in page
    assert "Your own images, one folder a class" in page


def test_images_that_continue_stage_1_are_never_tested_on_later(
    rendered: Path, images: Path, tmp_path: Path
) -> None:
    same = [f"multi_cell.data.{text}" for text in ("dataset=folder", "labels=null", f"root={images}")]
    experiment = continued(rendered, images, *same, stages="1,3", against="none")
    folder = RunFolder(tmp_path / "run")
    run_experiment(experiment, folder, "mtl run", Told())
    first, last = (
        json.loads((folder.path / "splits" / f"{number}-folder.json").read_text()) for number in (1, 3)
    )
    assert last["test"]
    assert not set(last["test"]) & {*first["train"], *first["validation"]}


def test_the_configuration_is_the_default_with_stage_1_continued(
    images: Path, rendered: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("STAGE1_IMAGES", str(images))
    changed = load_config("stage1-continued")
    assert changed.imagenet.proceed is not None
    assert changed.imagenet.proceed.data.root == images
    assert changed.imagenet.proceed.head.activation == "softmax"
    left_out = {"imagenet", "name"}
    assert changed.model_dump(exclude=left_out) == load_config("default").model_dump(exclude=left_out)
    monkeypatch.setenv("STAGE1_IMAGES", str(tmp_path / "nowhere"))
    done = called(
        "run", "--config", "stage1-continued", "--backbone", TINY_BACKBONE, "--weights", "none",
        "--single-cell", f"all-idb2:{rendered / 'ALL-IDB2'}", "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 2
    assert "nowhere" in done.stderr
    assert "Traceback" not in done.stderr
