"""Lightning's loggers beside a training: each writes what the history holds, below the training's folder."""

from __future__ import annotations

import csv
import os
import sys
import warnings
from pathlib import Path

import pytest
import pytorch_lightning as pl
import torch
from pydantic import ValidationError
from torch.utils.data import DataLoader

from segmentation.engine import make_loggers, make_trainer
from segmentation.errors import ModelError
from segmentation.settings import Hardware


class Line(pl.LightningModule):
    """Learns one number."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch: torch.Tensor, index: int) -> torch.Tensor:
        loss: torch.Tensor = self.layer(batch).square().mean()
        self.log("train_loss", loss, on_step=False, on_epoch=True, batch_size=len(batch))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), 0.1)


def train(folder: Path, *names: str) -> float:
    """Two epochs; return the last loss."""
    trainer = make_trainer(Hardware(accelerator="cpu"), 2, loggers=make_loggers(names, folder))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        trainer.fit(Line(), DataLoader(torch.ones(8, 1), 4))
    return float(trainer.callback_metrics["train_loss"])


def test_csv_holds_a_row_an_epoch(tmp_path: Path) -> None:
    loss = train(tmp_path, "csv")
    with (tmp_path / "logs/csv/metrics.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["epoch"] for row in rows] == ["0", "1"]
    assert float(rows[-1]["train_loss"]) == pytest.approx(loss)


def test_tensorboard_holds_the_same_numbers(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard", reason="the extra `logger` is not installed")
    loss = train(tmp_path, "tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(tmp_path / "logs/tensorboard")).Reload()
    assert events.Scalars("train_loss")[-1].value == pytest.approx(loss)


@pytest.mark.filterwarnings("ignore")  # its own, of SQLAlchemy
def test_mlflow_holds_the_same_numbers_and_tells_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow", reason="the extra `logger` is not installed")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    loss = train(tmp_path, "mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path / 'logs/mlflow.db'}")
    experiment = client.get_experiment_by_name("mtl")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.data.metrics["train_loss"] == pytest.approx(loss)
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"


def test_without_a_logger_nothing_is_written(tmp_path: Path) -> None:
    train(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_logger_that_is_not_installed_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(ModelError, match=r"mtl\[logger\]"):
        make_loggers(["mlflow"], tmp_path)


def test_names_are_a_list_or_a_text() -> None:
    assert Hardware.model_validate({"logger": "csv, tensorboard"}).logger == ("csv", "tensorboard")
    assert Hardware.model_validate({"logger": ["mlflow"]}).logger == ("mlflow",)
    with pytest.raises(ValidationError):
        Hardware.model_validate({"logger": "wandb"})
