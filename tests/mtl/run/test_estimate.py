"""What a run will take, said before it trains, and what fits into a budget."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import TINY_BACKBONE, called, tiny_experiment

from mtl.config import Experiment
from mtl.errors import ConfigError
from mtl.run import estimate
from mtl.run.estimate import Estimator
from segmentation.settings import Hardware
from stages.learners.network.backbones import imagenet_backbone
from stages.learners.network.weights import WeightRecord
from stages.learners.pace import Pace
from stages.settings import StageSettings


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[StageSettings]:
    """A machine that needs 1 s a step and a tenth of it a look at 224 px; returns whose pace was measured."""
    asked: list[StageSettings] = []

    def measure(settings: StageSettings, record: WeightRecord, hardware: Hardware) -> Pace:
        asked.append(settings)
        return Pace(0.1 * (settings.preprocess.image_size / 224) ** 2, 1.0, 10, 0.0)

    monkeypatch.setattr(estimate, "measure_pace", measure)
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    return asked


@pytest.fixture
def estimator(tmp_path: Path) -> Estimator:
    return Estimator(imagenet_backbone(TINY_BACKBONE, "none", tmp_path / "weights.safetensors", 0))


def experiment(rendered: Path) -> Experiment:
    """Stage 2 of 32 crops for 5 epochs, the first of the head; stage 3 of 32 fields."""
    return tiny_experiment(rendered, "single_cell.train.epochs=5", "single_cell.train.head_epochs=1")


@pytest.mark.usefixtures("slow")
def test_every_stage_is_said_once_and_the_sum_is_theirs(rendered: Path, estimator: Estimator) -> None:
    told = estimator.estimate(experiment(rendered))
    assert list(told.stages) == ["stage 2", "stage 3 after 1,2", "stage 3 after 1"]
    assert told.seconds == sum(one.seconds for one in told.stages.values())
    train = 32 - round(32 * 0.2) - round(32 * 0.15)
    assert told.stages["stage 2"].epoch == pytest.approx(train, rel=0.01)
    assert told.to_text().startswith("up to ")


def test_what_was_timed_is_remembered(
    rendered: Path, estimator: Estimator, slow: list[StageSettings]
) -> None:
    for _ in range(2):
        Estimator(estimator.record).estimate(experiment(rendered))
    assert len(slow) == len({(one.preprocess.image_size, one.head) for one in slow})


@pytest.mark.usefixtures("slow")
@pytest.mark.parametrize(
    ("minutes", "named", "size", "epochs"),
    [
        (60, "preset best", 224, 5),
        (1.45, "preset fast", 128, 5),
        (0.9, "preset fast with 3 epochs of stage 2", 128, 3),
    ],
)
def test_the_best_that_fits_is_taken_and_earlier_stages_give_way_last(
    rendered: Path, estimator: Estimator, minutes: float, named: str, size: int, epochs: int
) -> None:
    chosen, name = estimator.within(experiment(rendered), minutes)
    assert name == named
    assert chosen.multi_cell.learner == "stacked"
    assert chosen.multi_cell.preprocess.image_size == size
    assert chosen.single_cell.train.epochs == epochs
    assert estimator.estimate(chosen).seconds <= 60 * minutes


@pytest.mark.usefixtures("slow")
def test_a_budget_too_small_says_what_would_do(rendered: Path, estimator: Estimator) -> None:
    with pytest.raises(
        ConfigError, match=r"preset fast with 2 epochs of stage 2, up to .* an epoch"
    ) as error:
        estimator.within(experiment(rendered), 0.01)
    least = float(str(error.value).partition("to be ")[2].partition(" ")[0])
    assert estimator.within(experiment(rendered), least)[1] == "preset fast with 2 epochs of stage 2"


def flags(rendered: Path) -> list[str]:
    return [
        "--stages", "1,3", "--against", "none", "--backbone", TINY_BACKBONE, "--weights", "none",
        "--multi-cell", f"all-idb1:{rendered / 'ALL-IDB1'}", "--set", "evaluation.resamples=100",
    ]  # fmt: skip


def test_a_run_within_a_budget_says_what_it_chose_before_it_trains(rendered: Path, tmp_path: Path) -> None:
    done = called(
        "run",
        *flags(rendered),
        "--time-budget",
        "30",
        "--set",
        "multi_cell.stacked.depths=[0,1]",
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    told = done.stderr.partition("stage 3")[0] + done.stderr
    assert "of training: stage 3 after 1" in told
    assert "preset best" in told
    assert "image_size: 224" in (tmp_path / "runs" / "default" / "config.yaml").read_text("utf-8")


def test_nothing_fits_into_a_blink(rendered: Path, tmp_path: Path) -> None:
    done = called("run", *flags(rendered), "--time-budget", "0.0001", cwd=tmp_path)
    assert done.returncode == 2
    assert "the least is preset fast" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "more",
    [("--preset", "fast"), ("--learner", "svm"), ("--image-size", "64"), ("--epochs", "3"), ("--folds", "3")],
)
def test_what_a_budget_decides_is_refused_beside_it(tmp_path: Path, more: tuple[str, str]) -> None:
    done = called("run", "--time-budget", "5", *more, cwd=tmp_path)
    assert done.returncode == 2
    assert f"`--time-budget 5` without `{more[0]}`" in " ".join(done.stderr.split())
    assert not (tmp_path / "runs").exists()
