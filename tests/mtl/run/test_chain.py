"""Chains of stages: what is reused, what is refused, what is written; in process, on tiny rendered smears."""

from __future__ import annotations

import csv
import itertools
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Told, tiny_experiment
from sklearn import metrics

from mtl.config import Experiment
from mtl.errors import ConfigError, RunError
from mtl.records import LearnedRecord, RunRecord, read_record
from mtl.run.chain import prepare, run_experiment
from mtl.run.execute import Result, execute, find_start
from mtl.run.stage import StageMaker, imagenet_stage
from mtl.runs import RunFolder, StageFolder, open_run
from stages.assemble import Assembled
from stages.metrics import Interval
from stages.splits.split import Split

QUICK = (
    "evaluation.baselines=false",
    "against=[]",
    "multi_cell.train.epochs=1",
    "multi_cell.train.head_epochs=0",
    "single_cell.train.epochs=1",
    "single_cell.train.head_epochs=0",
)


def chains(run: Path) -> dict[str, list[StageFolder]]:
    record = read_record(run / "run.json", RunRecord)
    return {
        chain: [StageFolder(run / "stages" / name) for name in names]
        for chain, names in record.chains.items()
    }


def weights(run: Path) -> dict[str, bytes]:
    return {path.parent.name: path.read_bytes() for path in run.glob("stages/*/weights.safetensors")}


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of the finished run that a test may change."""
    shutil.copytree(tiny_run, tmp_path / "tiny")
    return tmp_path / "tiny"


def test_a_finished_run_is_reused(copy: Path, rendered: Path) -> None:
    before, told = weights(copy), Told()
    times = _written(copy)
    run_experiment(tiny_experiment(rendered), RunFolder(copy), "again", told)
    assert len(told.reused) == 3
    assert not [name for name, *_ in told.steps if "decode" in name and "32 px" in name]
    assert before == weights(copy)
    assert times == _written(copy)


def _written(run: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in run.glob("stages/*/*") if path.name != ".lock"}


def test_a_longer_chain_trains_only_what_is_missing(rendered: Path, copy: Path) -> None:
    shutil.rmtree(chains(copy)["1,3"][-1].path)
    told = Told()
    run_experiment(tiny_experiment(rendered), RunFolder(copy), "", told)
    assert told.reused == ["stage 2  single cell", "stage 3  multi-cell after 1,2"]


@pytest.fixture(scope="module")
def key(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """The key of stage 3 under other circumstances; nothing is trained."""

    def find(*sets: str, change: Callable[[Assembled, Split], tuple[Assembled, Split]] | None = None) -> str:
        experiment = tiny_experiment(rendered, "against=[]", "stages=[1,3]", *sets)
        run = RunFolder(tmp_path_factory.mktemp("key"))
        first = imagenet_stage(experiment, run, Told(), experiment.weights)
        data, split = prepare(experiment, run, Told(), first.learned())
        one, parts = change(data[3], split[3]) if change else (data[3], split[3])
        return StageMaker(experiment, run, Told())._key(3, experiment.stage(3), one, parts, first.record())

    return find


def test_the_key_is_not_changed_by_where_things_lie(
    key: Callable[..., str], rendered: Path, tmp_path: Path
) -> None:
    (tmp_path / "moved").symlink_to(rendered / "ALL-IDB1")
    same = [
        key(),
        key(f"multi_cell.data.root={tmp_path / 'moved'}"),
        key(f"multi_cell.split.folder={tmp_path}"),
        key("name=other", "single_cell.train.epochs=7"),
    ]
    assert len(set(same)) == 1


@pytest.mark.parametrize(
    "setting",
    [
        "multi_cell.train.epochs=3",
        "multi_cell.preprocess.image_size=48",
        "multi_cell.preprocess.segment={method: otsu-saturation}",
        "multi_cell.augment.flip=horizontal",
        "multi_cell.head.dropout=0.31",
        "multi_cell.split.test=0.25",
        "multi_cell.data.positive=L1",
        "seed=1",
        "backbone=test_vit",
        "hardware.precision=bf16-mixed",
        "evaluation.flips=false",
        "evaluation.resamples=200",
    ],
)
def test_the_key_is_changed_by_what_decides_the_weights(key: Callable[..., str], setting: str) -> None:
    assert key(setting) != key()


def test_the_key_is_changed_by_data_split_and_parent(
    key: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    def other_data(data: Assembled, split: Split) -> tuple[Assembled, Split]:
        return replace(data, fingerprint="other"), split

    def other_split(data: Assembled, split: Split) -> tuple[Assembled, Split]:
        return data, replace(split, train=split.train[1:])

    plain = key()
    found = {plain, key(change=other_data), key(change=other_split)}
    assert len(found) == 3
    network = key("multi_cell.preprocess.segment={method: residual_unet}")
    monkeypatch.setattr("stages.preprocess.Preprocess.identity", "another network")
    assert key("multi_cell.preprocess.segment={method: residual_unet}") != network


def test_random_weights_differ_by_seed_and_given_ones_are_shared(rendered: Path, tmp_path: Path) -> None:
    def first(weights: str, seed: int) -> StageFolder:
        experiment = tiny_experiment(rendered, f"weights={weights}", f"seed={seed}")
        return imagenet_stage(experiment, RunFolder(tmp_path), Told(), weights)

    zero, one = first("none", 0), first("none", 1)
    assert zero.path != one.path
    assert zero.weights.read_bytes() != one.weights.read_bytes()
    assert zero.path == first("none", 0).path
    given = [first(str(zero.weights), seed) for seed in (0, 1)]
    assert given[0].path == given[1].path
    assert given[0].record().weights.source == "file:weights.safetensors"
    assert zero.record().lineage == (1,)


def test_chains_share_what_they_have_in_common(rendered: Path, tmp_path: Path) -> None:
    told = Told()
    experiment = tiny_experiment(rendered, *QUICK[:1], *QUICK[2:], "stages=[1,2,3]", "against=[[1,2],[1,3]]")
    done = run_experiment(experiment, RunFolder(tmp_path), "", told)
    numbers = {chain: [stage.record().number for stage in stages] for chain, stages in done.items()}
    assert numbers == {"1,2,3": [1, 2, 3], "1,2": [1, 2], "1,3": [1, 3]}
    assert done["1,2"][-1].path == done["1,2,3"][1].path
    assert len(told.reused) == 1
    assert {stages[0].path for stages in done.values()} == {done["1,3"][0].path}
    lineages = {chain: stages[-1].record().lineage for chain, stages in done.items()}
    assert lineages == {"1,2,3": (1, 2, 3), "1,2": (1, 2), "1,3": (1, 3)}
    # 1,2,3 and 1,2 were tested on different images: there is nothing to compare.
    assert read_record(tmp_path / "run.json", RunRecord).comparison is None


def test_every_stage_is_the_child_of_the_one_before_and_knows_more(tiny_run: Path) -> None:
    for folders in chains(tiny_run).values():
        assert not folders[0].learned().parts
        with pytest.raises(RunError, match="a stage that learned, but it holds imagenet weights"):
            folders[0].learned_record()
        for before, folder in itertools.pairwise(folders):
            record = folder.learned_record()
            assert record.parent == before.record().key
            assert record.lineage == (*before.record().lineage, record.number)
            known, more = before.learned().parts, folder.learned().parts
            assert set(known) < set(more)
            assert not (folder.path / "last.ckpt").exists()


def test_what_has_been_learned_is_not_tested(tiny_run: Path) -> None:
    folder = chains(tiny_run)["1,2,3"][-1]
    told = folder.predictions()
    assert not set(told.groups) & set(folder.learned().parts)


def test_the_scores_are_sklearns(tiny_run: Path) -> None:
    for folders in chains(tiny_run).values():
        for folder in folders[1:]:
            record, told = folder.learned_record(), folder.predictions()
            assert record.evaluation is not None
            assert record.classes == told.classes
            scores = {name: interval.value for name, interval in record.evaluation.headline.items()}
            truth, said = told.truth(), told.probabilities.argmax(axis=1)
            assert [told.classes[row] for row in said] == list(told.predicted)
            assert scores["accuracy"] == pytest.approx(metrics.accuracy_score(truth, said))
            assert scores["balanced_accuracy"] == pytest.approx(metrics.balanced_accuracy_score(truth, said))
            f1 = metrics.f1_score(truth, said, average="macro", labels=np.unique(truth), zero_division=0)
            assert scores["macro_f1"] == pytest.approx(f1)
            assert record.evaluation.n == len(truth) == sum(record.data.counts["test"].values())
            assert record.data.groups["test"] == len(set(told.groups)) == record.evaluation.groups


def test_the_lead_over_colour_is_that_over_the_better_baseline(tiny_run: Path) -> None:
    record = chains(tiny_run)["1,2,3"][-1].learned_record()
    assert record.evaluation is not None
    assert record.over_colour is not None
    alone = {name: scores.headline["macro_f1"].value for name, scores in record.baselines.items()}
    assert len(alone) == 2
    assert alone[record.over_colour.baseline] == max(alone.values())
    lead = record.evaluation.headline["macro_f1"].value - max(alone.values())
    assert record.over_colour.macro_f1.value == pytest.approx(lead)


def test_the_run_record_compares_the_two_chains(tiny_run: Path) -> None:
    record, (one, other) = read_record(tiny_run / "run.json", RunRecord), chains(tiny_run).values()
    assert record.comparison is not None
    assert (record.comparison.first, record.comparison.second) == ("1,2,3", "1,3")
    told = [stages[-1].predictions() for stages in (one, other)]
    assert told[0].names == told[1].names
    right = [np.mean(np.array(table.labels) == np.array(table.predicted)) for table in told]
    assert record.comparison.accuracy.value == pytest.approx(right[0] - right[1])
    assert record.start is None
    assert record.command == "mtl run"
    assert {"torch", "device", "mtl"} <= set(record.environment)


def test_a_chain_that_starts_from_nothing_is_refused(rendered: Path, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    with pytest.raises(ConfigError, match=r"`--stages 2,3` to begin with 1, or `--from`"):
        run_experiment(tiny_experiment(rendered, "stages=[2,3]", *QUICK[1:2]), run, "", Told())
    assert not (tmp_path / "config.yaml").exists()


def test_a_start_from_another_backbone_is_refused(rendered: Path, tiny_run: Path, tmp_path: Path) -> None:
    experiment = tiny_experiment(rendered, "stages=[3]", "backbone=test_vit", "name=later", *QUICK)
    with pytest.raises(
        RunError, match=r"hold weights of test_vit, but it holds test_resnet; do give --backbone"
    ):
        execute(experiment, tmp_path, "", tiny_run)


def test_a_start_from_a_run_is_its_furthest_stage_before_the_chain(
    rendered: Path, tiny_run: Path, tmp_path: Path
) -> None:
    experiment = tiny_experiment(rendered, "stages=[3]", "name=later", *QUICK)
    second = chains(tiny_run)["1,2,3"][1]
    assert find_start(tiny_run, experiment).path == second.path
    assert find_start(second.path, experiment).path == second.path
    with pytest.raises(RunError, match="a finished network before stage 1"):
        find_start(tiny_run, tiny_experiment(rendered))
    with pytest.raises(RunError, match="to be a run folder"):
        find_start(tmp_path, experiment)
    last = chains(tiny_run)["1,2,3"][-1]
    with pytest.raises(RunError, match="a finished network before stage 3"):
        find_start(last.path, experiment)
    later = execute(experiment, tmp_path, "", tiny_run)
    record = later.stages["3"][-1]
    assert isinstance(record, LearnedRecord)
    assert (record.parent, record.lineage) == (second.record().key, (1, 2, 3))
    told = read_record(later.run / "run.json", RunRecord)
    assert told.start == second.path.resolve()
    assert later.report.is_file()
    import mtl

    assert mtl.load(later.run).classes == record.classes


@pytest.mark.parametrize(
    ("place", "at"),
    [("stage 2  single cell", 1), ("stage 3  multi-cell after 1,2", 3), ("stage 3  multi-cell after 1", 4)],
)
def test_stopped_in_the_middle_and_begun_again_it_ends_with_the_same_weights(
    rendered: Path, tiny_run: Path, tmp_path: Path, place: str, at: int
) -> None:
    experiment, run = tiny_experiment(rendered), RunFolder(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(experiment, run, "", Told(stop=(place, at)))
    assert not (tmp_path / "run.json").exists()
    assert weights(tmp_path) != weights(tiny_run)
    told = Told()
    run_experiment(experiment, run, "", told)
    assert weights(tmp_path) == weights(tiny_run)
    for theirs in tiny_run.glob("stages/*/*.csv"):
        assert (tmp_path / theirs.relative_to(tiny_run)).read_text() == theirs.read_text()


def test_a_stage_is_finished_only_when_all_of_it_is_there(copy: Path, rendered: Path) -> None:
    last = chains(copy)["1,3"][-1]
    before = weights(copy)
    (last.path / "stage.json").unlink()
    told = Told()
    run_experiment(tiny_experiment(rendered), RunFolder(copy), "", told)
    assert len(told.reused) == 2
    assert last.finished()
    assert weights(copy) == before


def test_of_two_stages_to_begin_from_the_newest_is_taken(copy: Path, rendered: Path) -> None:
    experiment = tiny_experiment(rendered, "stages=[1,2]", "seed=5", *QUICK)
    newest = run_experiment(experiment, RunFolder(copy), "", Told())["1,2"][-1]
    assert find_start(copy, tiny_experiment(rendered, "stages=[3]", "against=[]")).path == newest.path


def test_a_run_folder_is_for_runs(rendered: Path, tmp_path: Path) -> None:
    RunFolder(tmp_path / "tiny").claim("tune", metric="accuracy")
    with pytest.raises(RunError, match="belongs to `mtl tune`"):
        execute(tiny_experiment(rendered), tmp_path, "")


def told(tiny_run: Path, **change: Any) -> str:
    record = chains(tiny_run)["1,2,3"][-1].learned_record().model_copy(update=change)
    return Result(tiny_run, tiny_run / "report.html", {"1,2,3": [record]}).to_text()


@pytest.mark.parametrize(
    ("value", "low", "said"),
    [
        (-0.1, -0.2, ". The model does not beat colour alone"),
        (0.0, -0.1, ". The model does not beat colour alone"),
        (0.1, -0.1, ". The model is not shown to beat colour alone"),
        (0.1, 0.05, None),
    ],
)
def test_a_person_is_told_whether_the_model_beats_colour(
    tiny_run: Path, value: float, low: float, said: str | None
) -> None:
    from mtl.records import OverColour

    text = told(tiny_run, over_colour=OverColour(baseline="1-NN", macro_f1=Interval(value, low, 0.3)), baselines={
        "1-NN": chains(tiny_run)["1,2,3"][-1].learned_record().evaluation})  # fmt: skip
    line = text.splitlines()[0]
    assert line.startswith("chain 1,2,3, stage 3, all-idb1 (rendered smears, not patient data): accuracy ")
    assert "; colour alone (1-NN): macro-F1 " in line
    assert line.endswith(said) if said else "beat" not in line
    assert text.splitlines()[1:] == [f"Wrote {tiny_run}", f"Report {tiny_run / 'report.html'}"]


def test_without_a_test_part_nothing_is_claimed(tiny_run: Path) -> None:
    assert told(tiny_run, evaluation=None, over_colour=None).startswith("Wrote ")


def test_a_machine_is_told_the_same_as_json(tiny_run: Path) -> None:
    records = {chain: [stage.record() for stage in stages] for chain, stages in chains(tiny_run).items()}
    value = Result(tiny_run, tiny_run / "report.html", records).to_json()
    again = json.loads(json.dumps(value, allow_nan=False))
    assert [stage["number"] for stage in again["stages"]["1,2,3"]] == [1, 2, 3]


def test_the_history_has_a_row_an_epoch(tiny_run: Path) -> None:
    folder = chains(tiny_run)["1,3"][-1]
    assert [row["epoch"] for row in folder.history()] == [0, 1]
    with (folder.path / "history.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == 2
    assert 0 <= folder.learned_record().best_epoch < 2


def test_an_experiment_comes_back_from_the_run_folder(tiny_run: Path, rendered: Path) -> None:
    from mtl.config import load_config

    again = load_config(str(tiny_run / "config.yaml"))
    assert isinstance(again, Experiment)
    assert again == tiny_experiment(rendered)
    assert open_run(tiny_run).path == tiny_run
