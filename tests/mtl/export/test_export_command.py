"""`mtl export` on a run: what it writes answers as the run; what does not is not written; `mtl predict --engine` uses it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import called

from mtl.errors import FailedError, RunError
from mtl.export import command
from mtl.export.command import export_run
from mtl.export.settings import ExportModel
from mtl.predict.predictor import Predictor
from mtl.predict.settings import PredictSmears
from mtl.run.load import learned_stages
from stages.errors import ModelError

pytest.importorskip("onnx", reason="the extra `export` is not installed")
pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
ONE = {"stage": 3, "images": 4, "calibration": 4}


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_run, tmp_path / "tiny"))


def test_a_run_becomes_files_beside_its_stages_with_cards(run: Path) -> None:
    told = json.loads(
        called(
            "export", run, "--int8", "--stage", "3", "--set", "calibration=4", "--json", cwd=run.parent
        ).stdout
    )
    (stage,) = told["stages"]
    folder = Path(stage["file"]).parent
    assert folder == learned_stages(run)[3].path / "export"
    assert {path.name for path in folder.iterdir()} == {"model.onnx", "model-int8.onnx", "card.md"}
    assert 0 <= stage["difference"] < 1e-4
    assert stage["images"] == 8
    assert 0 <= stage["int8"]["accuracy_int8"] <= 1


def test_the_card_says_data_unit_scores_and_limits(run: Path) -> None:
    export_run(run, ExportModel(format="torch", **ONE))
    folder = learned_stages(run)[3]
    text, record = (folder.path / "export/card.md").read_text("utf-8"), folder.learned_record()
    assert record.evaluation is not None
    score = record.evaluation.headline["accuracy"]
    for part in ("no medical device", "rendered smears, not patient data", record.data.unit, "## Findings and limits", "colour alone", "none given",
                 f"{score.value:.3f} [{score.low:.3f}, {score.high:.3f}]", *record.data.notes):  # fmt: skip
        assert part in text


def test_predict_answers_alike_by_what_was_exported(run: Path, rendered: Path) -> None:
    smear = sorted((rendered / "ALL-IDB1" / "im").iterdir())[0]
    export_run(run, ExportModel(images=2))
    cheap = {"segment": {"method": "white-cells"}}
    said = {
        engine: Predictor(run, PredictSmears.model_validate(cheap | {"engine": engine}))
        for engine in ("torch", "onnx", "auto")
    }
    fields = {engine: one.predict(smear) for engine, one in said.items()}
    assert said["torch"].key() != said["onnx"].key()
    for engine in ("onnx", "auto"):
        assert fields[engine].said is not None
        assert fields["torch"].said is not None
        own, other = fields["torch"].said.probabilities, fields[engine].said.probabilities
        assert max(abs(own[name] - other[name]) for name in own) < 0.01  # PyTorch may count in bfloat16
        assert len(fields[engine].cells) == len(fields["torch"].cells)
    with pytest.raises(ModelError, match="--format openvino"):
        Predictor(run, PredictSmears.model_validate({"engine": "openvino"}))


def test_a_file_that_answers_otherwise_is_not_written(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = command.open_engine

    def drifting(form: str, path: Path) -> command.Engine:
        def run(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            said, seen = real(form, path)(images)
            return said + np.float32(2e-4), seen

        return run

    monkeypatch.setattr(command, "open_engine", drifting)
    with pytest.raises(FailedError, match=r"2\.0e-04, and nothing was written"):
        export_run(run, ExportModel(format="torch", **ONE))
    assert not (learned_stages(run)[3].path / "export").exists()


def test_another_folder_and_a_stage_of_its_own(run: Path, tmp_path: Path) -> None:
    stage = learned_stages(run)[2].path
    told = export_run(stage, ExportModel(format="torch", images=2), tmp_path / "out")
    assert Path(told.stages[0].file) == tmp_path / "out" / stage.name / "model.pt2"
    assert "largest difference of a probability on 2 test images" in told.to_text()


def test_what_cannot_be_exported_is_one_sentence(run: Path) -> None:
    with pytest.raises(RunError, match=r"--stage.*\(2, 3\), but got 1"):
        export_run(run, ExportModel(stage=1))
    (learned_stages(run)[3].path / "model.json").write_text("{")
    with pytest.raises(ModelError):
        export_run(run, ExportModel(stage=3))


def test_test_images_that_are_gone_are_told(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(command, "original", lambda name, sources: None)
    with pytest.raises(RunError, match="they are gone"):
        export_run(run, ExportModel(format="torch", **ONE))
