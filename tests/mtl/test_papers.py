"""docs/papers.md against configs/: every key has a row, every row is kept, and nothing is inherited unsaid."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from conftest import called

from mtl.config import Experiment, load_config
from mtl.federate.settings import FederatedExperiment
from mtl.loading import config_path, load_settings
from stages import STAGES
from stages.settings import HEADS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "papers.md").read_text("utf-8")
COLUMNS = "| The paper | Where | Key | Ours | Why |"
PAPERS = ("maaliw2022", "alam2024", "pushpalatha2024", "patel2025", "faiz2023")
VARIANTS = {"maaliw2022-70-30": "maaliw2022", "faiz2023-svm": "faiz2023"}
VARIABLES = ("ALL_IDB1", "ALL_IDB2", "TALEQANI", "CNMC2019")

OFF: dict[str, tuple[str, tuple[Any, ...]]] = {
    **{
        f"preprocess.segment.{key}": ("preprocess.segment.method", ("none",))
        for key in ("settings", "use", "weights")
    },
    **{
        f"preprocess.sharpen.{key}": ("preprocess.sharpen.method", ("none",))
        for key in ("sigma", "most", "quantile")
    },
    "head.dropout_at": ("head.dropout", (0,)),
    "head.batch_norm_momentum": ("head.batch_norm", (False,)),
    "head.batch_norm_eps": ("head.batch_norm", (False,)),
    "augment.anisotropic": ("augment.scale", (0,)),
    "augment.strength": ("augment.strength", (1,)),
    "train.head_learning_rate": ("train.head_epochs", (0,)),
    "train.focal_gamma": ("train.loss", ("cross_entropy",)),
    "train.oversample_to": ("train.balance", ("none", "weights")),
    "train.unfreeze_every": ("train.policy", ("full", "frozen", "layer_decay")),
    "train.layer_decay": ("train.policy", ("full", "frozen", "gradual")),
    "train.decay": ("train.schedule", ("constant", "cosine")),
    "train.warmup": ("train.schedule", ("constant", "exponential")),
}
"""Keys that do nothing while another key has one of some values."""


class Line(NamedTuple):
    """A row of a table."""

    said: str
    where: str
    keys: tuple[str, ...]
    value: Any
    why: str


def expanded(text: str) -> tuple[str, ...]:
    parts = [part.split(",") for part in re.split(r"[{}]", text)]
    # Between braces stands a list, outside of them one text.
    return tuple("".join(one) for one in itertools.product(*parts))


def tables() -> Iterator[tuple[str, list[Line]]]:
    name, lines = "", []
    for text in [*PAGE.splitlines(), "Configuration: `end`"]:
        named = re.search(r"Configuration: `([\w-]+)`", text)
        if named:
            if name:
                yield name, lines
            name, lines = named[1], []
        elif text.startswith("| The paper"):
            assert text == COLUMNS
        elif text.startswith("|") and not text.startswith("|---"):
            said, where, key, value, why = (cell.strip() for cell in text.strip("|").split("|"))
            keys = () if key == "none" else expanded(key.strip("`"))
            plain = re.sub(r"\$\{(\w+)\}", r"\1", value.strip("`"))
            lines.append(Line(said, where, keys, yaml.safe_load(plain), why))


TABLES = dict(tables())


def leaves(tree: dict[str, Any], above: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, dict) and value and key != "settings":
            yield from leaves(value, f"{above}{key}.")
        else:
            yield f"{above}{key}", value


@pytest.fixture(autouse=True)
def _data(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES:
        monkeypatch.setenv(variable, variable)


def resolved(experiment: Experiment) -> dict[str, Any]:
    return dict(leaves(experiment.model_dump(mode="json")))


def written(name: str) -> set[str]:
    tree = yaml.safe_load(config_path(name).read_text("utf-8"))
    return {key for key, _ in leaves(tree)} - {"base", "name"}


def test_every_paper_has_a_table_and_no_table_is_left_over() -> None:
    assert tuple(TABLES) == ("maaliw2022", "maaliw2022-70-30", *PAPERS[1:], "faiz2023-svm")


@pytest.mark.parametrize("name", TABLES)
def test_every_row_is_what_the_configuration_says(name: str) -> None:
    schema = FederatedExperiment if name == "alam2024" else Experiment
    values = resolved(load_settings(schema, name))
    rows = [(key, line.value) for line in TABLES[name] for key in line.keys]
    assert len(dict(rows)) == len(rows), "a key has two rows"
    assert {key: values.get(key, "no such key") for key, _ in rows} == dict(rows)


@pytest.mark.parametrize("name", TABLES)
def test_every_key_of_the_file_has_a_row(name: str) -> None:
    rows = {key for line in TABLES[name] for key in line.keys}
    assert written(name) - rows == set()


@pytest.mark.parametrize("name", PAPERS)
def test_nothing_that_decides_the_weights_is_inherited_unsaid(name: str) -> None:
    experiment = load_config(name)
    values = resolved(experiment)
    rows = {key for line in TABLES[name] for key in line.keys}
    for stage in (STAGES[number].name for number in experiment.stages if number > 1):
        for key, _ in leaves(experiment.model_dump(mode="json")[stage]):
            if key.split(".")[0] in ("preprocess", "head", "augment", "train"):
                switch, off = OFF.get(key, (key, ()))
                assert f"{stage}.{key}" in rows or values[f"{stage}.{switch}"] in off, f"{stage}.{key}"


@pytest.mark.parametrize("name", TABLES)
def test_a_row_says_where_or_why(name: str) -> None:
    for line in TABLES[name]:
        silent = line.said == "not stated"
        assert line.said
        assert silent != bool(line.where), line
        assert line.keys or line.why, line


@pytest.mark.parametrize(("name", "base"), VARIANTS.items())
def test_a_variant_differs_in_its_rows_alone(name: str, base: str) -> None:
    own, other = resolved(load_config(name)), resolved(load_config(base))
    changed = {key for key in own if own[key] != other[key]}
    assert changed == {"name", *(key for line in TABLES[name] for key in line.keys)}


def test_named_heads_are_those_of_the_papers() -> None:
    assert load_config("maaliw2022").multi_cell.head == HEADS["maaliw2022"]
    assert load_config("pushpalatha2024").single_cell.head == HEADS["pushpalatha2024"]
    assert load_config("alam2024", {}, ["multi_cell.head=linear"]) == load_config("alam2024")


def test_a_row_of_many_keys_is_read() -> None:
    assert expanded("{a,b}.c.{d,e}") == ("a.c.d", "a.c.e", "b.c.d", "b.c.e")
    assert expanded("a.b") == ("a.b",)


def test_configurations_are_listed_with_a_line_each(tmp_path: Path) -> None:
    shown = called("configs", cwd=tmp_path)
    assert shown.returncode == 0
    lines = dict(line.split(maxsplit=1) for line in shown.stdout.splitlines())
    for letter, name in zip("ABCDE", PAPERS, strict=True):
        assert lines[name].startswith(f"Paper {letter} (")
        assert "docs/papers.md" in lines[name]
