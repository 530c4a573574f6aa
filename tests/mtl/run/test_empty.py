"""A comparison of a chain with itself is found by the backbones and said first; where layers shall learn they do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import called, tiny_experiment

from mtl.config import load_config
from mtl.errors import ConfigError
from mtl.run.execute import execute
from stages.learners.network.loading import load_state


def test_a_frozen_middle_stage_makes_the_comparison_empty(rendered: Path, tmp_path: Path) -> None:
    experiment = tiny_experiment(rendered, "single_cell.train.policy=frozen", "multi_cell.train.epochs=2")
    result = execute(experiment, tmp_path, "mtl run")
    sentence = "1,2,3 and 1,3 are the same chain: their last stages began from the same backbone, bit for bit"
    assert result.to_text().splitlines()[0].startswith(sentence)
    page = result.report.read_text("utf-8")
    assert page.index(sentence) < page.index("held-out images")
    assert "show no difference" not in page
    told = json.loads((result.run / "run.json").read_text())["comparison"]
    assert told["same_start"] is True
    # The oracle is the files themselves.
    first, second = (
        load_state(next(result.run.glob(f"stages/{name}*/weights.safetensors"))) for name in ("1-", "2-")
    )
    backbone = [name for name in first if name.startswith("backbone.")]
    assert backbone
    assert all(first[name].equal(second[name]) for name in backbone)


def test_a_middle_stage_that_learned_leaves_no_such_sentence(tiny_run: Path) -> None:
    assert json.loads((tiny_run / "run.json").read_text())["comparison"]["same_start"] is False
    assert "are the same chain" not in (tiny_run / "report.html").read_text("utf-8")


@pytest.mark.parametrize(("key", "value"), [("policy", "frozen"), ("head_epochs", "0")])
def test_one_epoch_of_the_head_alone_must_be_asked_for(key: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"`epochs` to be above `head_epochs` = 1, but got 1.*policy=frozen"
    ):
        load_config("default", {}, ["single_cell.train.epochs=1"])
    asked = load_config("default", {}, ["single_cell.train.epochs=1", f"single_cell.train.{key}={value}"])
    assert asked.single_cell.train.epochs == 1
    refused = called("run", "--epochs", 1, cwd=tmp_path)
    assert refused.returncode == 2
    assert "head_epochs" in refused.stderr
    assert refused.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_benchmark_says_so_for_the_splits_where_it_is_so(rendered: Path, tmp_path: Path) -> None:
    sets = [
        "backbone=test_resnet", "weights=none", "evaluation.resamples=100", "evaluation.baselines=false",
        "single_cell.train.policy=frozen",
    ]  # fmt: skip
    for stage, tree in (("single_cell", "ALL-IDB2"), ("multi_cell", "ALL-IDB1")):
        sets += [
            f"{stage}.data.root={rendered / tree}",
            f"{stage}.preprocess.image_size=32",
            f"{stage}.train.epochs=2",
        ]
        sets += [f"{stage}.train.batch_size=8"]
    flags = [part for text in sets for part in ("--set", text)]
    done = called("benchmark", "--repeats", 2, "--workers", 1, "--name", "b", *flags, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "are the same chain" in done.stdout
    assert "no difference" not in done.stdout.partition("Colour")[0]
