"""What a benchmark runs: same splits for all chains, other splits in every cell."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from mtl.benchmark.plan import BenchmarkSettings, System, cell_key, cells_of, experiment_of, variants_of
from mtl.benchmark.workers import run_in_workers
from mtl.config import Experiment, load_config
from mtl.errors import ConfigError, FailedError
from mtl.loading import dump_settings, load_settings
from mtl.progress import Reporter

CHAINS = ((1, 3), (1, 2, 3))


def plan(given: dict[str, Any] | None = None, sets: Sequence[str] = ()) -> BenchmarkSettings:
    return load_settings(BenchmarkSettings, "default", given or {}, sets)


@settings(deadline=None, max_examples=25)
@given(st.integers(2, 5), st.sampled_from([0, 2, 3]), st.lists(st.sampled_from("abc"), unique=True))
def test_every_cell_is_another_split_and_has_its_own_key(
    repeats: int, folds: int, backbones: list[str]
) -> None:
    benchmark = plan(
        {
            "seed": 7,
            "benchmark.repeats": repeats,
            "benchmark.folds": folds,
            "benchmark.backbones": tuple(backbones),
        }
    )
    cells = cells_of(benchmark)
    assert len(cells) == repeats * max(folds, 1) * max(len(backbones), 1)
    assert (
        len({cell.name for cell in cells}) == len({cell_key(cell, benchmark) for cell in cells}) == len(cells)
    )
    for cell in cells:
        chosen = experiment_of(cell, benchmark)
        assert type(chosen) is Experiment
        assert chosen.chains() == CHAINS
        assert chosen.seed == 7 + cell.repeat
        split = chosen.multi_cell.split
        assert (split.method, split.fold) == (("kfold", cell.fold) if folds else ("grouped", 0))
        assert chosen.single_cell.split == benchmark.single_cell.split


def test_a_cells_key_does_not_know_how_often_it_is_repeated() -> None:
    few, many = plan({"benchmark.repeats": 2}), plan({"benchmark.repeats": 9, "benchmark.rope": 2})
    assert cell_key(cells_of(few)[1], few) == cell_key(cells_of(many)[1], many)


def test_blocks_move_round_the_numbers() -> None:
    block = {"multi_cell.split.method": "block", "multi_cell.split.test": 0.25}
    four = plan({**block, "benchmark.repeats": 4})
    offsets = [experiment_of(cell, four).multi_cell.split.offset for cell in cells_of(four)]
    assert offsets == [0, 0.25, 0.5, 0.75]
    folds = plan({**block, "benchmark.repeats": 2, "benchmark.folds": 5})
    splits = [experiment_of(cell, folds).multi_cell.split for cell in cells_of(folds)]
    assert {split.test for split in splits} == {0.2}
    assert len({split.offset for split in splits}) == 10


def test_flags_sets_and_files_say_the_same(tmp_path: Path) -> None:
    by_flag = plan({"benchmark.chains": ["3", "1,3"], "benchmark.backbones": "a, b", "benchmark.repeats": 4})
    by_set = plan({}, ['benchmark.chains="3 1,3"', "benchmark.backbones=[a, b]", "benchmark.repeats=4"])
    file = tmp_path / "b.yaml"
    file.write_text("base: default\nbenchmark:\n  chains: [[3], [1, 3]]\n  backbones: a,b\n  repeats: 4\n")
    by_file = load_settings(BenchmarkSettings, str(file))
    assert by_flag == by_set == by_file
    assert by_flag.benchmark.chains == ((3,), (1, 3))
    file.write_text(dump_settings(by_flag))
    assert load_settings(BenchmarkSettings, str(file)) == by_flag
    assert plan().model_dump(exclude={"benchmark"}) == load_config("default").model_dump()


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["chains='1,3'"], "two chains"),
        (["chains=[[1, 3], [1, 3]]"], "two chains"),
        (["chains='1,3 1,2'"], "same stage"),
        (["chains='1 1,1'"], "--chains"),
        (["chains=0.5"], "--chains"),
        (["chains=[[3, 1], [2, 1]]"], "--chains"),
        (["chains=[[], []]"], "--chains"),
        (["chains='1,3'", "folds=3", "repeats=2"], "one chain predicts every image once"),
        (["chains='1,3'", "folds=3", "draw=9"], "one chain predicts every image once"),
        (["chains='1,3'", "folds=1"], "--folds"),
        (["chains='1'", "folds=3"], "a stage that learns"),
        (["repeats=1"], "--repeats"),
        (["repeats=0"], "--repeats"),
        (["folds=1"], "--folds"),
        (["draw=-1"], "--draw"),
        (["metric=speed"], "benchmark.metric"),
        (["rope=-1"], "benchmark.rope"),
        (["repeat=3"], "did you mean repeats"),
        (["variants=[plain]"], "two variants or more"),
        (["variants=['a:backbone=x', 'a b']"], "letters, digits"),
        (["variants=[plain, 'x:seed=3']"], "share data and splits"),
        (["variants=[plain, 'x:multi_cell.data.root=y']"], "share data and splits"),
        (["variants=[plain, 'x:multi_cell.split.test=0.5']"], "share data and splits"),
        (["variants=[plain, 'x:multi_cell.train.epoch=3']"], "`--variant x`: .*did you mean epochs"),
        (["variants=[plain, 'x:multi_cell.train.epochs']"], "KEY=VALUE"),
        (["variants=[plain, 'x:multi_cell.train.epochs=[']"], "YAML"),
    ],
)
def test_what_cannot_be_compared_is_refused(sets: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        plan({}, [f"benchmark.{text}" for text in sets])
    assert "\n" not in str(caught.value)


def test_variants_are_the_configuration_with_some_keys_changed() -> None:
    texts = [
        "plain",
        "long:multi_cell.train.epochs=9",
        "long:multi_cell.head=linear",
        "flat:evaluation.flips=false",
    ]
    by_flag = plan({"benchmark.variants": texts, "benchmark.chains": ["1,3"], "benchmark.repeats": 3})
    assert not by_flag.benchmark.alone
    assert list(by_flag.benchmark.systems()) == ["plain", "long", "flat"]
    (cell, *_) = cells_of(by_flag)
    base = experiment_of(cell, by_flag)
    found = variants_of(base, by_flag.benchmark.variants)
    assert found["plain"] == base
    assert found["long"].multi_cell.train.epochs == 9
    assert found["long"].multi_cell.head.hidden == ()
    assert found["flat"] == base.model_copy(
        update={"evaluation": base.evaluation.model_copy(update={"flips": False})}
    )
    assert {one.multi_cell.split for one in found.values()} == {base.multi_cell.split}
    assert plan(yaml.safe_load(dump_settings(by_flag))) == by_flag
    assert len({cell_key(cell, one) for one in (by_flag, plan({"benchmark.chains": ["1,3", "3"]}))}) == 2


def test_variants_meet_every_chain() -> None:
    both = plan({"benchmark.variants": ["plain", "long:multi_cell.train.epochs=9"]})
    systems = both.benchmark.systems()
    assert list(systems) == ["1,3 plain", "1,2,3 plain", "1,3 long", "1,2,3 long"]
    assert systems["1,2,3 long"] == System("1,2,3", "long")


def test_one_chain_with_folds_is_run_once_however_it_is_asked_for() -> None:
    by_benchmark = plan({"benchmark.chains": ["1,3"], "benchmark.folds": 4})
    assert by_benchmark.benchmark.alone
    by_run = BenchmarkSettings.of_folds(load_config("default", {"stages": "1,3"}), 4)
    assert by_run.benchmark == by_benchmark.benchmark
    cells = cells_of(by_run)
    assert cells == cells_of(by_benchmark)
    assert [(cell.repeat, cell.fold, cell.seed) for cell in cells] == [(0, fold, 0) for fold in range(4)]
    assert [cell_key(cell, by_run) for cell in cells] == [cell_key(cell, by_benchmark) for cell in cells]
    assert experiment_of(cells[2], by_run).chains() == ((1, 3),)
    assert not plan({"benchmark.folds": 4}).benchmark.alone


def test_a_killed_worker_is_work_that_failed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Broken(Future[Any]):
        def result(self, timeout: float | None = None) -> Any:
            raise BrokenProcessPool

    class Pool:
        def __init__(self, *_: object) -> None: ...
        def __enter__(self) -> Pool:
            return self

        def __exit__(self, *_: object) -> None: ...
        def shutdown(self, **_: object) -> None: ...
        def submit(self, *_: object) -> Broken:
            future = Broken()
            future.set_result(None)
            return future

    monkeypatch.setattr("mtl.benchmark.workers.ProcessPoolExecutor", Pool)
    benchmark = plan()
    with pytest.raises(FailedError, match="--workers") as caught:
        list(run_in_workers(tmp_path, cells_of(benchmark), benchmark, 2, Reporter(quiet=True)))
    assert caught.value.exit_code == 1


def test_seeds_of_all_repeats_are_in_range() -> None:
    assert cells_of(plan({"seed": 2**32 - 10}))[-1].seed == 2**32 - 1
    with pytest.raises(ConfigError, match="lower --seed"):
        plan({"seed": 2**32 - 9})


def test_the_sources_own_parts_cannot_be_repeated() -> None:
    official = plan({"multi_cell.split.method": "official"})
    with pytest.raises(ConfigError, match="grouped"):
        experiment_of(cells_of(official)[0], official)
