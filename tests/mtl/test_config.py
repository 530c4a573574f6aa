from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mtl.config import load_config, parse_stages
from mtl.errors import ConfigError
from mtl.loading import config_names, config_path, dump_settings


@pytest.mark.parametrize("name", config_names())
def test_every_configuration_loads_and_reads_back_to_the_same(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = "".join(config_path(one).read_text("utf-8") for one in config_names())
    for variable in re.findall(r"\$\{(\w+)\}", files):
        monkeypatch.setenv(variable, "data")
    experiment = load_config(name)
    file = tmp_path / "copy.yaml"
    file.write_text(dump_settings(experiment), "utf-8")
    assert load_config(str(file)) == experiment
    assert experiment.name == name
    assert config_path(name).read_text("utf-8").startswith("# ")


def test_maaliw2022_is_paper_a_as_written(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALL_IDB1", "a")
    monkeypatch.setenv("ALL_IDB2", "b")
    paper = load_config("maaliw2022")
    assert paper.backbone == "inception_resnet_v2"
    for number in (2, 3):
        stage = paper.stage(number)
        assert (stage.split.test, stage.augment.copies) == (0.2, 5)
        assert (stage.train.optimizer, stage.train.learning_rate, stage.train.schedule) == (
            "adam",
            0.001,
            "exponential",
        )
        assert (stage.train.batch_size, stage.train.epochs, stage.split.folds) == (48, 160, 10)
    assert paper.stage(2).head.activation == "sigmoid"
    assert not paper.stage(2).head.hidden
    assert paper.stage(3).head.activation == "softmax"
    assert len(paper.stage(3).head.hidden) >= 2
    assert paper.stage(3).head.dropout > 0


def test_set_and_flags_reach_every_depth() -> None:
    experiment = load_config(
        "default",
        {"stages": "1,3", "hardware.devices": "auto"},
        ["multi_cell.train.epochs=3", "multi_cell.head.hidden=[8, 4]"],
    )
    assert experiment.stages == (1, 3)
    assert experiment.hardware.devices == "auto"
    assert experiment.multi_cell.train.epochs == 3
    assert experiment.multi_cell.head.hidden == (8, 4)
    assert experiment.single_cell.train.epochs == load_config("default").single_cell.train.epochs


def test_chains_are_data() -> None:
    assert load_config("default", {"stages": "1,2,3", "against": "1,3"}).chains() == ((1, 2, 3), (1, 3))
    for none in ((), "none", None):
        assert load_config("default", {"against": none}).chains() == ((1, 2, 3),)
    assert load_config("default", {}, ["against=[1, 3]"]).against == ((1, 3),)
    assert load_config("default", {"stages": "1,3", "against": "1,3"}).chains() == ((1, 3),)


@pytest.mark.parametrize("text", ["", "3,2", "1,1", "4", "one", "1;2", "2,1,3", "0"])
def test_stages_out_of_order_are_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="--stages"):
        parse_stages(text)


@given(st.sets(st.sampled_from([1, 2, 3]), min_size=1))
def test_stages_in_order_are_read(numbers: set[int]) -> None:
    assert parse_stages(",".join(map(str, sorted(numbers)))) == tuple(sorted(numbers))


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        (["multi_cell.train.epoch=3"], "did you mean epochs"),
        (["multi_cell.image_size=96"], "did you mean multi_cell.preprocess.image_size"),
        (["multi_cell.train.epochs=0"], "multi_cell.train.epochs"),
        (["multi_cell.train.epochs=many"], "multi_cell.train.epochs"),
        (["multi_cell.train.optimizer=lion"], "adamw"),
        (["seed.x=1"], "`seed`"),
        (["seed"], "KEY=VALUE"),
        (["multi_cell.split.test=0.9"], "below 1"),
        (["multi_cell.split.method=kfold", "multi_cell.split.fold=10"], "fold"),
        (["multi_cell.split.method=files"], "folder"),
        (["name=../up"], "'../up'"),
        (["name=.."], "'..'"),
        (["name=."], "'.'"),
        (["seed=4294967296"], "4294967295"),
        (["seed=-1"], "seed"),
        (["rendering.seed=18446744073709551616"], "rendering.seed"),
        (["hardware.precision=bf16-true"], "hardware.precision"),
        (["hardware.precision=64-true"], "bf16-mixed"),
        (["against=0.5"], "--against"),
        (["against=[0.5]"], "against"),
        (["against={a: 1}"], "--against"),
        (["stages=0.5"], "stages"),
        (["colour=1"], "rendering"),
        (["stages=[3, 1]"], "--stages"),
    ],
)
def test_a_bad_value_is_one_line_that_names_it(sets: list[str], said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)) as caught:
        load_config("default", {}, sets)
    assert "\n" not in str(caught.value)


def test_an_unknown_configuration_suggests_the_nearest() -> None:
    with pytest.raises(ConfigError, match="maaliw2022"):
        config_path("maliw2022")


@pytest.mark.parametrize("content", [b"a: [", b"just text", b"\xff\xfe\x00", b"- 1\n"])
def test_a_file_that_is_no_configuration_is_named(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "bad.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"bad\.yaml"):
        load_config(str(file))


def test_an_unset_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ALL_IDB1", raising=False)
    with pytest.raises(ConfigError, match=r"ALL_IDB"):
        load_config("maaliw2022")


def test_another_data_set_does_not_inherit_the_first_ones_root(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text(
        yaml.safe_dump(
            {"base": "default", "name": "mine", "multi_cell": {"data": {"dataset": "taleqani", "root": "t"}}}
        )
    )
    experiment = load_config(str(file), {"single_cell.data": {"dataset": "pbc", "root": "p"}})
    assert experiment.multi_cell.data.dataset == "taleqani"
    assert str(experiment.single_cell.data.root) == "p"
