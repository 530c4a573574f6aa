"""Files of every format at work, and in place of a model's network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from exports import pictures, small_model

from stages.errors import ModelError
from stages.export.engines import fastest, open_engine, use_engine
from stages.export.formats import FILES, INT8_FILE, MissingExportError, copy_export, save_graph, save_int8
from stages.export.graph import Whole, about, exported_program

onnx = pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")


@pytest.fixture(scope="module")
def program() -> torch.export.ExportedProgram:
    return exported_program(Whole(small_model()), torch.zeros(2, 40, 48, 3, dtype=torch.uint8))


@pytest.fixture(scope="module")
def folder(program: torch.export.ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("files")
    for form in ("torch", "openvino"):  # ONNX lies on the way to OpenVINO
        if form == "openvino":
            pytest.importorskip("openvino", reason="the extra `export` is not installed")
        save_graph(program, form, folder, about(small_model(), "KEY"))
    return folder


@pytest.mark.parametrize("form", list(FILES))
def test_every_format_answers_as_the_model(folder: Path, form: str) -> None:
    model = small_model()
    run = open_engine(form, folder / FILES[form])
    for image in pictures():
        said, seen = run(image[None])
        assert np.abs(said - model.probabilities([image])).max() < 1e-5
        assert np.abs(seen - model.embeddings([image])).max() < 1e-4


@pytest.mark.parametrize(
    ("name", "size"), [("test_efficientnet", 32), ("test_convnext", 32), ("test_vit", 160)]
)
def test_other_kinds_of_backbones_export_alike(name: str, size: int, tmp_path: Path) -> None:
    # Every one of `mtl backbones`: benchmarks/serving/backbones.py.
    model = small_model(name=name, size=size)
    graph = exported_program(Whole(model), torch.zeros(2, size + 8, size + 16, 3, dtype=torch.uint8))
    run = open_engine("onnx", save_graph(graph, "onnx", tmp_path, about(model, "")))
    batch = np.random.default_rng(0).integers(0, 256, (3, size + 5, size + 31, 3), np.uint8)
    assert np.abs(run(batch)[0] - model.probabilities(batch)).max() < 1e-4


def test_the_file_is_valid_and_says_what_it_is(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    onnx.checker.check_model(model, full_check=True)
    told = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(told["mtl"])["key"] == "KEY"
    (entry,) = model.graph.input
    shape = entry.type.tensor_type.shape.dim
    assert entry.name == "images"
    assert entry.type.tensor_type.elem_type == onnx.TensorProto.UINT8
    assert [bool(one.dim_param) for one in shape] == [True, True, True, False]
    assert [entry.name for entry in model.graph.output] == ["probabilities", "features"]


def test_a_model_may_answer_by_what_was_exported_of_it(folder: Path) -> None:
    model, other = small_model(), small_model()
    use_engine(other, "onnx", folder)
    with torch.no_grad():
        other.network.head[-1].weight.zero_()  # so that it must be the file that answers
    images = pictures(20)
    assert np.abs(other.probabilities(images) - model.probabilities(images)).max() < 1e-5
    assert np.abs(other.embeddings(images) - model.embeddings(images)).max() < 1e-4
    assert [one.label for one in other.answers(images)] == [one.label for one in model.answers(images)]
    assert other.probabilities([]).shape == (0, 3)
    assert other.embeddings([]).shape == (0, other.network.width)


def test_the_fastest_is_one_of_those_that_are_there_and_is_remembered(folder: Path, tmp_path: Path) -> None:
    assert fastest(small_model(), tmp_path) == "torch"
    copy_export(folder / "model.onnx", tmp_path)
    chosen = fastest(small_model(), tmp_path)
    assert chosen in ("torch", "onnx")
    assert fastest(small_model(), tmp_path) == chosen


def test_eight_bits_are_near(folder: Path, tmp_path: Path) -> None:
    save_int8(folder / "model.onnx", tmp_path / INT8_FILE, pictures(8))
    kinds = {node.op_type for node in onnx.load(tmp_path / INT8_FILE).graph.node}
    assert "DequantizeLinear" in kinds
    said, _ = open_engine("onnx", tmp_path / INT8_FILE)(pictures()[0][None])
    assert np.abs(said - small_model().probabilities(pictures(1))).max() < 0.1


def test_openvino_is_copied_with_its_weights(folder: Path, tmp_path: Path) -> None:
    assert copy_export(folder / "model.xml", tmp_path) == tmp_path / "model.xml"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model.bin", "model.xml"]


def test_what_is_not_there_or_damaged_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"mtl export RUN --format onnx"):
        use_engine(small_model(), "onnx", tmp_path)
    for form, name in FILES.items():
        (tmp_path / name).write_bytes(b"no graph")
        with pytest.raises(ModelError, match="do export it again"):
            open_engine(form, tmp_path / name)


def test_an_extra_that_is_missing_is_named(
    program: torch.export.ExportedProgram, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("onnx", "onnxruntime", "openvino"):
        monkeypatch.setitem(sys.modules, name, None)
    for form in ("onnx", "openvino"):
        with pytest.raises(MissingExportError, match=r"mtl\[export\]"):
            save_graph(program, form, tmp_path, {})
        with pytest.raises(MissingExportError, match=r"mtl\[export\]"):
            open_engine(form, folder / FILES[form])
    with pytest.raises(MissingExportError, match="onnxruntime"):
        save_int8(folder / "model.onnx", tmp_path / "x", [])
    assert not list(tmp_path.iterdir())
