from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import TINY_BACKBONE

from segmentation.engine import best_epoch
from segmentation.errors import ModelError, TrainingError
from stages.data_settings import DataSettings
from stages.learners.network.backbones import create_backbone
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network
from stages.learners.network.training import train_stage
from stages.preprocess import Preprocess
from stages.settings import AugmentSettings, HeadSettings, PreprocessSettings, StageSettings, TrainSettings
from stages.task import Task


def make_task(count: int = 48, size: int = 32) -> Task:
    random = np.random.default_rng(0)
    labels = random.integers(0, 2, count)
    images = random.integers(60, 120, (count, size, size, 3)).astype(np.uint8)
    images[labels == 1, 8:24, 8:24] = 230
    parts = {"train": np.arange(0, 32), "validation": np.arange(32, 40), "test": np.arange(40, count)}
    preprocess = Preprocess(PreprocessSettings(image_size=size))
    return Task(images, labels, parts, ("dark", "bright"), preprocess, np.arange(count) // 2)


def make_settings(**train: object) -> StageSettings:
    values = {"epochs": 3, "head_epochs": 1, "batch_size": 8, "learning_rate": 3e-3, "keep": "last", **train}
    head = HeadSettings(activation="sigmoid", hidden=(8,), dropout=0.2)
    return StageSettings(
        data=DataSettings(dataset="x"),
        preprocess=PreprocessSettings(image_size=32),
        head=head,
        train=TrainSettings.model_validate(values),
    )


def diverging(settings: StageSettings) -> StageSettings:
    """Settings with a rate that no schema lets through and that ends every training."""
    return settings.model_copy(update={"train": settings.train.model_copy(update={"learning_rate": 1e30})})


def make_network(settings: StageSettings, task: Task) -> Network:
    torch.manual_seed(0)
    backbone, record = create_backbone(TINY_BACKBONE, "none")
    return Network(backbone, record, settings.head, task.classes)


class StopAt:
    """Stands in for Ctrl-C: raises at one step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def __call__(self, done: int, total: int, text: str) -> None:
        if done == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("policy", ["full", "film", "gradual", "layer_decay", "frozen"])
@pytest.mark.parametrize("step", [2, 4, 7, 11])
def test_interrupted_and_uninterrupted_runs_end_with_identical_weights(
    tmp_path: Path, policy: str, step: int
) -> None:
    task, settings = make_task(), make_settings(policy=policy)
    (tmp_path / "whole").mkdir()
    (tmp_path / "parts").mkdir()
    whole = train_stage(make_network(settings, task), task, settings, tmp_path / "whole", seed=3)
    with pytest.raises(KeyboardInterrupt):
        train_stage(
            make_network(settings, task), task, settings, tmp_path / "parts", 3, progress=StopAt(step)
        )
    resumed = train_stage(make_network(settings, task), task, settings, tmp_path / "parts", seed=3)
    for (name, left), right in zip(
        whole.network.state_dict().items(), resumed.network.state_dict().values(), strict=True
    ):
        assert torch.equal(left, right), name
    assert whole.history == resumed.history
    assert (tmp_path / "whole" / "weights.safetensors").read_bytes() == (
        tmp_path / "parts" / "weights.safetensors"
    ).read_bytes()


def test_film_moves_scale_and_shift_alone(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings(policy="film")
    before = {name: value.clone() for name, value in make_network(settings, task).state_dict().items()}
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=3)
    moved = {
        name for name, value in trained.network.state_dict().items() if not torch.equal(value, before[name])
    }
    layers = dict(trained.network.named_modules())
    norms = {name for name, layer in layers.items() if isinstance(layer, torch.nn.BatchNorm2d)}
    scales = {f"{name}.{part}" for name in norms for part in ("weight", "bias")}
    assert scales
    assert moved == scales | {name for name in before if name.startswith("head.")}


def test_training_learns_what_can_be_learned(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings(epochs=12)
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    _, record = create_backbone(TINY_BACKBONE, "none")
    model = NetworkModel(trained.network, record, settings.head, task.preprocess, flips=True)
    probabilities = model.prepared_probabilities(task.images[task.rows["test"]])
    assert probabilities.shape == (8, 2)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (probabilities.argmax(axis=1) == task.labels[task.rows["test"]]).mean() >= 0.75
    assert trained.history[-1]["train_loss"] < trained.history[0]["train_loss"]


def test_the_training_accuracy_is_the_share_told_right_while_learning(tmp_path: Path) -> None:
    task = make_task()
    settings = make_settings(policy="frozen", learning_rate=1e-12, head_learning_rate=1e-12, batch_size=5)
    settings = settings.model_copy(update={"head": settings.head.model_copy(update={"dropout": 0.0})})
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    _, record = create_backbone(TINY_BACKBONE, "none")
    model = NetworkModel(trained.network, record, settings.head, task.preprocess, flips=False)
    rows = task.rows["train"]
    told = model.prepared_probabilities(task.images[rows]).argmax(axis=1)
    # Nothing moves, so every epoch tells what the network says in the end, batches of 5 and the last of 2 together.
    expected = (told == task.labels[rows]).mean()
    assert 0 < expected < 1
    assert [row["train_accuracy"] for row in trained.history] == pytest.approx([expected] * 3)


@pytest.mark.parametrize("change", [{"flip": "none", "mixup": 0.4}, {}])
def test_the_training_accuracy_of_augmented_batches_is_a_share_of_them(
    tmp_path: Path, change: dict[str, object]
) -> None:
    task, settings = make_task(), make_settings(epochs=8)
    settings = settings.model_copy(update={"augment": AugmentSettings.model_validate(change)})
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    shares = np.array([row["train_accuracy"] for row in trained.history])
    np.testing.assert_allclose(shares * 32, (shares * 32).round(), atol=1e-4)
    assert shares[-1] > shares[0] or shares[-1] > 0.9


def test_frozen_backbone_does_not_move_at_all(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings(policy="frozen")
    network = make_network(settings, task)
    before = {key: value.clone() for key, value in network.backbone.state_dict().items()}
    head = network.head[1].weight.detach().clone()
    trained = train_stage(network, task, settings, tmp_path, seed=0)
    assert all(
        torch.equal(before[key], value) for key, value in trained.network.backbone.state_dict().items()
    )
    assert not torch.equal(head, trained.network.head[1].weight)


def test_the_best_epoch_is_kept_and_early_stopping_waits_as_told(tmp_path: Path) -> None:
    task = make_task()
    settings = make_settings(
        epochs=20, keep="best", patience=1, learning_rate=0.3, optimizer="sgd", schedule="constant"
    )
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    losses = [row["validation_loss"] for row in trained.history]
    head = settings.train.head_epochs  # an epoch of the head alone is never kept
    assert trained.best_epoch == head + int(np.nanargmin(losses[head:]))
    assert len(losses) == 20 or len(losses) == trained.best_epoch + 2


def test_a_finished_stage_is_not_trained_again(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings()
    first = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    seen: list[int] = []
    again = train_stage(
        make_network(settings, task), task, settings, tmp_path, 0, progress=lambda done, *_: seen.append(done)
    )
    assert not seen
    assert first.history == again.history


def test_without_validation_the_last_epoch_is_kept(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings(keep="best")
    task.rows["validation"] = np.arange(0)
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    assert trained.best_epoch == 2
    assert "validation_loss" not in trained.history[0]


def test_diverging_training_says_what_to_do(tmp_path: Path) -> None:
    task = make_task()
    settings = diverging(make_settings(optimizer="sgd", head_epochs=0))
    with pytest.raises(TrainingError, match=r"learning_rate"):
        train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)


def test_a_damaged_checkpoint_is_named(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings()
    (tmp_path / "last.ckpt").write_bytes(b"not a checkpoint")
    with pytest.raises(ModelError, match=r"last\.ckpt"):
        train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)


@pytest.mark.parametrize(
    "change",
    [
        {"balance": "weights"},
        {"balance": "oversample", "oversample_to": 20},
        {"label_smoothing": 0.1, "loss": "focal"},
    ],
)
@pytest.mark.parametrize("optimizer", ["adam", "adamw", "adamax", "sgd"])
def test_every_option_trains(tmp_path: Path, change: dict[str, object], optimizer: str) -> None:
    task = make_task()
    settings = make_settings(epochs=2, optimizer=optimizer, schedule="exponential", **change)
    settings = settings.model_copy(update={"augment": AugmentSettings(mixup=0.2, cutmix=1.0, copies=2)})
    trained = train_stage(make_network(settings, task), task, settings, tmp_path, seed=0)
    assert all(np.isfinite(row["train_loss"]) for row in trained.history)


def test_best_epoch_prefers_the_earlier_of_equals_and_skips_nan() -> None:
    rows = [{"validation_loss": float("nan")}, {"validation_loss": 0.5}, {"validation_loss": 0.5}]
    assert best_epoch(rows, "validation_loss") == 1
    assert (
        best_epoch([{"validation_macro_f1": 0.2}, {"validation_macro_f1": 0.9}], "validation_macro_f1") == 1
    )


def test_an_epoch_of_the_head_alone_is_not_kept_where_layers_shall_learn() -> None:
    rows = [{"validation_loss": loss} for loss in (0.1, 0.9, 0.5, 0.7)]
    assert best_epoch(rows, "validation_loss") == 0
    assert best_epoch(rows, "validation_loss", first=1) == 2
    assert best_epoch(rows[:1], "validation_loss", first=1) == 0
    assert best_epoch(rows[:2], "validation_loss", first=2) == 1


def test_an_epoch_of_copies_has_as_many_steps(tmp_path: Path) -> None:
    task, settings = make_task(), make_settings(epochs=1, head_epochs=0)
    seen: list[int] = []
    for copies in (1, 5):
        changed = settings.model_copy(update={"augment": AugmentSettings(copies=copies)})
        folder = tmp_path / str(copies)
        folder.mkdir()
        train_stage(
            make_network(changed, task),
            task,
            changed,
            folder,
            0,
            progress=lambda _, total, __: seen.append(total),
        )
        assert seen[-1] == copies * 4


def test_regularisers_pull_weights_to_zero_and_leave_the_told_loss_alone(tmp_path: Path) -> None:
    task = make_task()
    norms = []
    for number, head in enumerate([{}, {"kernel_l2": 1.0, "activity_l1": 0.1}]):
        settings = make_settings(epochs=4, head_epochs=0, weight_decay=0)
        built = HeadSettings.model_validate({"activation": "sigmoid", "hidden": [8], **head})
        settings = settings.model_copy(update={"head": built})
        folder = tmp_path / str(number)
        folder.mkdir()
        trained = train_stage(make_network(settings, task), task, settings, folder, seed=0)
        assert trained.history[0]["train_loss"] < 1
        norms.append(float(trained.network.head[1].weight.detach().square().sum()))
    assert norms[1] < 0.5 * norms[0]
