"""What a run wrote of its test images is what its model says of the files: the preprocessing travels with the weights."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE, tiny_experiment

import mtl
from mtl.errors import MtlError, RunError
from mtl.run.execute import execute
from mtl.run.load import load
from mtl.runs import RunFolder, StageFolder, open_run
from segmentation.files import write_image
from segmentation.networks import NetworkRecipe, create_network
from segmentation.threshold import threshold
from segmentation.weights import ModelCard, save_network
from stages.data.images import decode_rgb
from stages.errors import ModelError


def last_stage(run: Path, chain: str = "1,2,3") -> StageFolder:
    from mtl.records import RunRecord, read_record

    return StageFolder(run / "stages" / read_record(run / "run.json", RunRecord).chains[chain][-1])


def files(stage: StageFolder) -> list[Path]:
    root = stage.learned_record().data.sources[0].root
    return [root / name for name in stage.predictions().names]


@pytest.mark.parametrize(
    ("segment", "fit"),
    [
        ("method: none", "stretch"),
        ("method: none", "pad"),
        ("method: none", "crop"),
        ("method: otsu-saturation, use: black", "pad"),
        ("method: otsu-saturation, use: crop", "stretch"),
    ],
)
def test_the_model_says_of_files_what_the_run_wrote_of_them(
    rendered: Path, tmp_path: Path, segment: str, fit: str
) -> None:
    sets = [
        f"multi_cell.preprocess.segment={{{segment}}}",
        f"multi_cell.preprocess.fit={fit}",
        "multi_cell.train.epochs=1",
        "multi_cell.train.head_epochs=0",
        "against=[]",
    ]
    experiment = tiny_experiment(rendered, *sets, "evaluation.baselines=false", stages=(1, 3))
    stage = last_stage(execute(experiment, tmp_path, "").run, "1,3")
    told, images = stage.predictions(), [decode_rgb(path) for path in files(stage)]
    assert all(image.shape[0] != image.shape[1] for image in images)
    model = load(stage.path)
    said = model.probabilities(iter(images))
    np.testing.assert_allclose(said, told.probabilities, atol=1e-6)
    assert [model.classes[row] for row in said.argmax(axis=1)] == list(told.predicted)
    assert np.ptp(said, axis=0).max() > 1e-4  # not the same of every image


def tiny_weights(folder: Path) -> Path:
    """Weights as `mtl segment train` saves them, of a network that calls some of everything a cell."""
    torch.manual_seed(0)
    folder.mkdir()
    recipe = NetworkRecipe(width=2, depth=2)
    card = ModelCard("tiny", recipe, "nothing", "Apache-2.0")
    save_network(create_network(recipe), folder / "weights.safetensors", card)
    return folder


@pytest.mark.parametrize(
    "block",
    [
        "normalise: {method: grey-world}",
        "normalise: {method: macenko}, sharpen: {method: unsharp-adaptive, quantile: 0.8}",
        "normalise: {method: reinhard}, segment: {method: k-means, settings: {clusters: 4}, use: blue}",
        "segment: {method: hsv, settings: {fit: MASKS}, use: crop}, sharpen: {method: unsharp-adaptive}",
        "segment: {method: residual_unet, settings: {cell_size: 80.0}, weights: WEIGHTS, use: black}",
    ],
)
def test_all_preprocessing_travels_with_the_model(rendered: Path, tmp_path: Path, block: str) -> None:
    weights, masks = tiny_weights(tmp_path / "segmenter"), tmp_path / "masks"
    masks.mkdir()
    for path in sorted((rendered / "ALL-IDB2" / "img").iterdir())[:12] if "MASKS" in block else ():
        grey = np.array([0, 128, 255], np.uint8)[threshold(decode_rgb(path))]
        write_image(masks / f"{path.stem}.png", grey)
    block = block.replace("WEIGHTS", str(weights)).replace("MASKS", str(masks))
    sets = [
        f"single_cell.preprocess={{image_size: 32, {block}}}",
        "single_cell.train.epochs=1",
        "single_cell.train.head_epochs=0",
        "against=[]",
    ]
    experiment = tiny_experiment(rendered, *sets, "evaluation.baselines=false", stages=(1, 2))
    stage = last_stage(execute(experiment, tmp_path, "").run, "1,2")
    shutil.rmtree(weights)
    shutil.rmtree(masks)
    said = load(stage.path).probabilities(decode_rgb(path) for path in files(stage))
    np.testing.assert_allclose(said, stage.predictions().probabilities, atol=1e-6)
    assert np.ptp(said, axis=0).max() > 1e-4


def test_one_image_by_path_text_and_array(tiny_run: Path) -> None:
    stage = last_stage(tiny_run)
    told, path = stage.predictions(), files(stage)[0]
    model = load(tiny_run)
    for image in (path, str(path), decode_rgb(path)):
        said = model.predict(image)
        assert said.label == told.predicted[0]
        assert tuple(said.probabilities) == told.classes == model.classes
        np.testing.assert_allclose(list(said.probabilities.values()), told.probabilities[0], atol=1e-6)
    with pytest.raises(MtlError, match=r"nowhere\.png"):
        model.predict("nowhere.png")


def test_a_fresh_process_says_the_same(tiny_run: Path) -> None:
    stage = last_stage(tiny_run)
    code = "import sys, mtl; print(*mtl.load(sys.argv[1]).predict(sys.argv[2]).probabilities.values())"
    done = subprocess.run(
        [sys.executable, "-c", code, tiny_run, files(stage)[0]], capture_output=True, text=True, check=True
    )
    said = [float(number) for number in done.stdout.split()]
    np.testing.assert_allclose(said, stage.predictions().probabilities[0], atol=1e-6)


def test_a_model_is_found_by_run_chain_stage_or_folder(tiny_run: Path) -> None:
    by_run, by_chain, by_stage = load(tiny_run), load(str(tiny_run), "1,3"), load(tiny_run, stage=2)
    assert by_run.classes == by_chain.classes != by_stage.classes
    image = decode_rgb(files(last_stage(tiny_run))[0])
    same = load(last_stage(tiny_run).path).probabilities([image])
    np.testing.assert_array_equal(by_run.probabilities([image]), same)
    assert not np.array_equal(by_chain.probabilities([image]), same)
    assert isinstance(mtl.load(tiny_run), mtl.Model)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"chain": "1,2"}, r"`chain` to be one of 1,2,3 and 1,3 of .*'1,2'"),
        ({"stage": 1}, r"`stage` to be one that learned .*\(2, 3\), but got 1"),
        ({"chain": "1,3", "stage": 2}, r"chain 1,3 of .*\(3\), but got 2"),
    ],
)
def test_what_a_run_has_not_is_named(tiny_run: Path, options: dict[str, object], said: str) -> None:
    with pytest.raises(RunError, match=said):
        load(tiny_run, **options)  # type: ignore[arg-type]


def test_a_folder_that_is_no_finished_run_is_refused(tmp_path: Path, tiny_run: Path) -> None:
    with pytest.raises(RunError, match=r"no config\.yaml"):
        load(tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()
    RunFolder(tmp_path / "begun")
    (tmp_path / "begun" / "config.yaml").touch()
    with pytest.raises(RunError, match=r"no run\.json"):
        load(tmp_path / "begun")
    first = next(stage for stage in open_run(tiny_run).finished_stages() if stage.record().number == 1)
    with pytest.raises(MtlError):
        load(first.path)


def test_reading_a_model_writes_nothing(tiny_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("a read-only disk")

    for call in ("touch", "mkdir", "unlink", "write_text", "write_bytes"):
        monkeypatch.setattr(Path, call, refuse)
    before = sorted(tiny_run.rglob("*"))
    assert load(tiny_run).classes == load(tiny_run, "1,3").classes
    assert len(open_run(tiny_run).finished_stages()) == 4
    assert sorted(tiny_run.rglob("*")) == before


def test_all_that_a_stage_names_is_true(tiny_run: Path) -> None:
    record = last_stage(tiny_run).learned_record()
    model = load(tiny_run)
    assert record.weights.backbone == TINY_BACKBONE
    assert record.classes == model.classes
    assert record.settings.preprocess == model.preprocess.settings
    assert record.device == "cpu" or record.device.startswith("cuda")
    assert record.precision == "32-true"
    assert record.parameters == sum(parameter.numel() for parameter in model.network.parameters())  # type: ignore[attr-defined]


def test_an_unreadable_image_is_one_sentence(tmp_path: Path, tiny_run: Path) -> None:
    path = tmp_path / "broken.png"
    path.write_bytes(b"no picture")
    with pytest.raises(MtlError, match=r"broken\.png") as caught:
        load(tiny_run).predict(path)
    assert "\n" not in str(caught.value)
    assert not isinstance(caught.value, ModelError)
