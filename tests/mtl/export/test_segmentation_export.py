"""`mtl segment export`: the shipped network as a file that answers alike, at any size it takes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import called

from mtl.errors import FailedError
from mtl.export import segmentation
from mtl.export.segmentation import export_pixels
from segmentation.errors import ModelError
from segmentation.weights import load_shipped
from stages.export.engines import open_engine

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")


def test_the_shipped_network_is_exported_and_answers_alike(tmp_path: Path) -> None:
    told = json.loads(called("segment", "export", "--out", tmp_path, "--json", cwd=tmp_path).stdout)
    assert told["difference"] < 1e-4
    assert told["multiple"] == 16
    run, network = open_engine("onnx", Path(told["file"])), load_shipped()
    images = np.random.default_rng(0).integers(
        0, 256, (3, 48, 80, 3), np.uint8
    )  # a size that was not asked at export
    with torch.inference_mode():
        own = network(torch.from_numpy(images).permute(0, 3, 1, 2).float() / 255).softmax(dim=1).numpy()
    assert np.abs(run(images)[0] - own).max() < 1e-4
    about = {entry.key: entry.value for entry in onnx.load(told["file"]).metadata_props}
    assert json.loads(about["mtl"])["classes"] == ["background", "cytoplasm", "nucleus"]


def test_one_that_answers_otherwise_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = segmentation.open_engine
    monkeypatch.setattr(
        segmentation, "open_engine", lambda form, path: lambda images: [real(form, path)(images)[0] + 0.001]
    )
    with pytest.raises(FailedError, match="nothing was written"):
        export_pixels(None, "torch", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="mtl segment train"):
        export_pixels(tmp_path / "none.safetensors", "torch", tmp_path)
