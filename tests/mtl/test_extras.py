"""Extras: the names that are looked for are those that pyproject.toml installs."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from mtl import extras
from mtl.errors import MissingExtraError
from mtl.extras import EXTRAS, check_extra

DECLARED = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8"))["project"][
    "optional-dependencies"
]


@pytest.mark.parametrize("extra", EXTRAS)
def test_what_is_looked_for_is_what_the_extra_installs(extra: str) -> None:
    installed = {re.split(r"[\[<>=!~ ]", text)[0].replace("-", "_") for text in DECLARED[extra]}
    assert set(EXTRAS[extra]) <= installed


@pytest.mark.parametrize("extra", EXTRAS)
def test_a_package_that_is_missing_is_named_with_what_to_do(
    monkeypatch: pytest.MonkeyPatch, extra: str
) -> None:
    monkeypatch.setattr(extras.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=rf"{EXTRAS[extra][0].replace('_', '-')} .*mtl\[{extra}\]"):
        check_extra(extra)
