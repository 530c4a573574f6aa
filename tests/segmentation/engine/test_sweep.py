"""The rate that rises: suggestions against fastai's own, and rates that keep every group's share."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import pytorch_lightning as pl
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from segmentation.engine import RateSweep, Sweep, Trainable, fit, make_trainer
from segmentation.engine.sweep import steepest, valley
from segmentation.settings import Hardware


def test_the_valley_is_the_one_that_fastai_finds() -> None:
    # Answers of `fastai.callback.schedule.valley`, fastai 2.8.12, on these curves.
    rng = np.random.default_rng(0)
    for number, (count, said) in enumerate([(12, 6), (30, 15), (85, 29), (85, 25), (40, 13)]):
        fall = np.cumsum(rng.normal(-0.05, 0.1, count))
        rise = np.linspace(0, 1.6, count) ** 8 if number > 1 else 0
        assert valley(tuple(np.round(fall + rise, 3))) == said


def test_the_steepest_place_is_where_the_difference_is_least() -> None:
    assert steepest((3.0, 2.9, 2.0, 1.0, 0.9)) == 2


def test_neither_end_of_a_sweep_is_looked_at() -> None:
    # It falls fastest in the first tenth and in the last five steps.
    losses = [9.0, 1.0, *np.linspace(0.9, 0.5, 12), *np.linspace(0.45, -9, 6)]
    sweep = Sweep(tuple(np.geomspace(1e-3, 1, 20)), tuple(losses))
    assert sweep.rates[2] <= sweep.steepest <= sweep.rates[14]


@pytest.mark.parametrize(("steps", "enough"), [(0, False), (1, False), (4, False), (6, False), (7, True)])
def test_too_few_steps_suggest_nothing(steps: int, enough: bool) -> None:
    assert Sweep(tuple(range(1, steps + 1)), (1.0,) * steps).enough == enough


class Line(Trainable):
    """A line that learns 0: two groups, one at a tenth of the other's rate, and a note of every rate."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(1, 1), nn.Linear(1, 1)
        self.rates: list[tuple[float, float]] = []

    def kept(self) -> nn.Module:
        return self

    def configure_optimizers(self) -> Any:
        groups = [
            {"params": self.first.parameters(), "lr": 0.01},
            {"params": self.second.parameters(), "lr": 0.1},
        ]
        optimizer = torch.optim.SGD(groups)
        schedule = torch.optim.lr_scheduler.ConstantLR(optimizer, 0.5, 1000)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        low, high = (group["lr"] for group in self.trainer.optimizers[0].param_groups)
        self.rates.append((low, high))
        return ((self.second(self.first(batch[0])) - 1) ** 2).mean()


def swept(highest: float, steps: int, begin: int) -> tuple[Line, RateSweep]:
    torch.manual_seed(0)
    line, sweep = Line(), RateSweep(1e-4, highest, steps, begin)
    loader = DataLoader(TensorDataset(torch.ones(8, 1)), batch_size=2)
    fit(make_trainer(Hardware(accelerator="cpu"), begin + steps, [sweep]), line, loader)
    return line, sweep


def test_rates_rise_by_a_factor_and_every_group_keeps_its_share() -> None:
    line, sweep = swept(1e-2, 6, begin=0)
    np.testing.assert_allclose(sweep.rates, np.geomspace(1e-4, 1e-2, 6))
    np.testing.assert_allclose([high for _, high in line.rates], sweep.rates)
    np.testing.assert_allclose([low for low, _ in line.rates], np.array(sweep.rates) / 10)


def test_epochs_before_the_sweep_train_as_always() -> None:
    line, sweep = swept(1e-2, 5, begin=1)
    assert len(line.rates) == 4 + 5
    assert [high for _, high in line.rates[:4]] == pytest.approx([0.05] * 4)
    assert len(sweep.losses) == 5


def test_a_loss_that_breaks_ends_the_sweep() -> None:
    _, sweep = swept(1e4, 60, begin=0)
    assert 5 < len(sweep.rates) < 60
    assert sweep.losses[-1] > 4 * min(sweep.losses)
    assert isinstance(sweep, pl.Callback)
