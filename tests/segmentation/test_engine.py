"""The engine's parts; whole trainings stand in test_train_network.py and tests/stages/learners/network/."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from test_train_network import FAST, _network, _pairs, changed
from torch.utils.data import BatchSampler

from segmentation.engine import (
    Ledger,
    SharedBatches,
    best_epoch,
    in_order,
    make_trainer,
    mixed_seed,
    pick_device,
    processes,
    read_checkpoint,
)
from segmentation.errors import FailedError, ModelError, TrainingError
from segmentation.schedule import rate_factor
from segmentation.settings import Hardware
from segmentation.training import _Average, train_network

CPU = Hardware(accelerator="cpu")


def shares(order: range, batch_size: int, count: int, training: bool) -> list[list[list[int]]]:
    """Return the batches that each of some processes takes."""
    found = []
    with pytest.MonkeyPatch.context() as patch:
        for rank in range(count):
            patch.setattr(processes, "process_rank", lambda rank=rank: rank)
            batches = SharedBatches(order, batch_size, count, training)
            found.append(list(batches))
            assert len(found[-1]) == len(batches)
    return found


@given(st.integers(1, 60), st.integers(1, 16), st.booleans())
def test_one_process_takes_what_torch_would(length: int, batch_size: int, training: bool) -> None:
    drops = training and length > batch_size and length % batch_size == 1
    expected = list(BatchSampler(range(length), batch_size, drop_last=drops))
    assert shares(range(length), batch_size, 1, training) == [expected]


@given(st.integers(1, 60), st.integers(1, 16), st.integers(2, 4))
def test_validation_is_shared_out_without_loss(length: int, batch_size: int, count: int) -> None:
    parts = shares(range(length), batch_size, count, training=False)
    for together in zip(*parts, strict=True):
        assert len({len(batch) for batch in together}) == 1
    assert {one for part in parts for batch in part for one in batch} == set(range(length))
    rows = [torch.tensor(batch) for part in parts for batch in part]
    assert torch.equal(in_order(rows, rows, length), torch.arange(length))


@given(st.integers(4, 60), st.integers(4, 16), st.integers(2, 4))
def test_training_is_shared_out_once_and_nobody_is_left_alone(
    length: int, batch_size: int, count: int
) -> None:
    parts = shares(range(length), batch_size, count, training=True)
    taken = sorted(one for part in parts for batch in part for one in batch)
    assert taken == list(range(len(taken)))
    assert length - len(taken) < min(2 * count, batch_size)
    assert all(batch for part in parts for batch in part)


def test_too_few_images_for_so_many_processes_are_refused() -> None:
    with pytest.raises(ModelError, match="each of 3 processes"):
        SharedBatches(range(2), 8, 3, training=True)


@given(st.integers(1, 400), st.data())
def test_the_cosine_reaches_its_peak_and_ends_at_nothing(steps: int, data: st.DataObject) -> None:
    warm = max(steps // 20, 1)
    step = data.draw(st.integers(0, steps - 1))
    expected = (
        (step + 1) / warm
        if step < warm
        else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(steps - warm, 1)))
    )
    assert rate_factor("cosine", step, steps, rise=warm, reach=True) == pytest.approx(expected, abs=1e-12)
    assert rate_factor("cosine", steps, steps, rise=warm, reach=True) == 0


def test_exponential_and_constant_rates() -> None:
    assert rate_factor("exponential", 30, 100, decay=0.9, every=10) == pytest.approx(0.9**3)
    assert rate_factor("constant", 30, 100) == 1


def test_a_young_average_forgets_faster() -> None:
    network = torch.nn.BatchNorm1d(2)
    average = _Average(network, 0.5)
    expected = 0.0
    for step in range(40):
        value = float(torch.randn(()))
        with torch.no_grad():
            network.weight.fill_(value)
            network.running_mean.fill_(value)
            network.num_batches_tracked.fill_(step)
        average.update(network, step=step)
        weight = min(0.5, (1 + step) / (10 + step)) if step else 0.0
        expected = weight * expected + (1 - weight) * value
        assert float(average.module.weight.detach()[0]) == pytest.approx(expected, abs=1e-6)
        assert float(average.module.running_mean[0]) == pytest.approx(expected, abs=1e-6)
        assert int(average.module.num_batches_tracked) == step


@pytest.mark.parametrize(
    "wrong",
    [{"accelerator": "abacus"}, {"accelerator": "cuda"}, {"strategy": "tactics"}],
)
def test_hardware_that_is_not_there_is_one_sentence(wrong: dict[str, str]) -> None:
    if wrong == {"accelerator": "cuda"} and torch.cuda.is_available():
        pytest.skip("it is there")
    with pytest.raises(ModelError, match=r"^Expected `hardware`.*do choose what it has$"):
        make_trainer(Hardware.model_validate({"accelerator": "cpu", **wrong}), 1)


def test_automatic_hardware() -> None:
    assert pick_device(CPU) == torch.device("cpu")
    trainer = make_trainer(Hardware(accelerator="cpu", precision="auto"), 1)
    assert trainer.precision in ("32-true", "bf16-mixed")
    shared = make_trainer(Hardware(accelerator="cpu", devices=2), 1)
    assert shared.num_devices == 2
    assert type(shared.strategy).__name__ == "DDPStrategy"


def test_a_damaged_or_foreign_checkpoint_is_named(tmp_path: Path) -> None:
    file = tmp_path / "last.ckpt"
    assert read_checkpoint(file, "Ledger", "history") is None
    torch.save({"weights": torch.ones(2)}, file)
    with pytest.raises(ModelError, match=r"last\.ckpt.*delete it"):
        train_network(_network(), _pairs(), FAST, folder=tmp_path)
    train_network(_network(), _pairs(), changed(FAST, steps=1), folder=tmp_path / "whole")
    content = (tmp_path / "whole" / "last.ckpt").read_bytes()
    file.write_bytes(content[: len(content) // 2])
    with pytest.raises(ModelError, match=r"last\.ckpt.*delete it"):
        Ledger(tmp_path, epochs=1).resume()


def test_a_loss_that_is_no_number_is_a_failure_of_the_work() -> None:
    with pytest.raises(TrainingError, match=r"stay finite.*step \d") as failed:
        train_network(_network(), _pairs(), changed(FAST, border=1e39), hardware=CPU)
    assert isinstance(failed.value, FailedError)
    assert failed.value.exit_code == 1


def test_best_and_last_epoch(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path, epochs=9, patience=1, keep_best=True)
    ledger.history = [{"validation_loss": value} for value in (0.5, 0.3)]
    assert not ledger.finished()
    ledger.history += [{"validation_loss": 0.4}]
    assert ledger.finished()
    assert ledger.best() == 1
    assert best_epoch(ledger.history, "validation_dice") == 2


def test_mixed_seeds_differ() -> None:
    seeds = {mixed_seed(run, epoch, batch) for run in range(5) for epoch in range(5) for batch in range(5)}
    assert len(seeds) == 125
    assert all(0 <= seed < 2**63 for seed in seeds)


def mean_weight(network: torch.nn.Module) -> float:
    """Stand in for a validation; spawned processes can be sent it."""
    return float(torch.stack([one.detach().mean() for one in network.parameters()]).mean())


@pytest.mark.timeout(240)
def test_two_processes_train_a_segmentation_network(tmp_path: Path) -> None:
    two = Hardware(accelerator="cpu", devices=2, strategy="ddp_spawn")
    network = _network()
    trained = train_network(
        network, _pairs(), changed(FAST, steps=5), hardware=two, folder=tmp_path, validate=mean_weight
    )
    assert len(trained.losses) == len(trained.validation) == 2
    assert trained.validation[-1] == pytest.approx(mean_weight(network), abs=1e-6)
    again = _network()
    assert train_network(again, _pairs(), changed(FAST, steps=5), folder=tmp_path) == trained
    with pytest.raises(ModelError, match="2 or more"):
        train_network(network, _pairs(), changed(FAST, batch_size=1), hardware=two)
