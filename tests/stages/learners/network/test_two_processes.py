"""Two processes on the CPU (gloo) train as one does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from test_training import diverging, make_network, make_settings, make_task

from segmentation.errors import TrainingError
from segmentation.settings import Hardware
from stages.learners.network.training import train_stage
from stages.settings import StageSettings
from stages.task import Task

TWO = Hardware(accelerator="cpu", devices=2, strategy="ddp_spawn")


def odd_task(folder: Path) -> Task:
    """Return a task whose parts cannot be shared out evenly, of a store on the disk."""
    task = make_task()
    np.save(folder / "store.npy", task.images)
    task.rows["train"], task.rows["validation"] = np.arange(0, 29), np.arange(32, 39)
    return Task(
        np.load(folder / "store.npy", mmap_mode="r"),
        task.labels,
        task.rows,
        task.classes,
        task.preprocess,
        task.groups,
    )


def settings_of(**train: object) -> StageSettings:
    """Return settings without dropout, which every process draws for itself."""
    settings = make_settings(
        epochs=2, keep="best", balance="weights", label_smoothing=0.1, loss="focal", **train
    )
    head = {"dropout": 0.0, "kernel_l2": 0.05, "activity_l1": 0.05}
    return settings.model_copy(update={"head": settings.head.model_copy(update=head)})


@pytest.mark.timeout(240)
def test_two_processes_score_as_one(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    task, settings = odd_task(tmp_path), settings_of(policy="frozen")
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    bank = tmp_path / "bank.npy"
    two = train_stage(
        make_network(settings, task),
        task,
        settings,
        tmp_path / "two",
        3,
        TWO,
        lambda *_: None,
        bank,
    )
    assert bank.is_file()
    assert not capfd.readouterr().err
    one = train_stage(make_network(settings, task), task, settings, tmp_path / "one", 3)
    assert two.best_epoch == one.best_epoch
    for left, right in zip(one.history, two.history, strict=True):
        assert right == pytest.approx(left, abs=1e-4)
    for (name, left), right in zip(
        one.network.state_dict().items(), two.network.state_dict().values(), strict=True
    ):
        torch.testing.assert_close(left, right, rtol=0, atol=1e-4, msg=name)


@pytest.mark.timeout(240)
def test_what_fails_in_another_process_is_one_sentence(tmp_path: Path) -> None:
    task = odd_task(tmp_path)
    settings = diverging(settings_of(head_epochs=0, optimizer="sgd"))
    with pytest.raises(TrainingError, match=r"^Expected the training loss to stay finite.*learning_rate`$"):
        train_stage(make_network(settings, task), task, settings, tmp_path, 3, TWO)
