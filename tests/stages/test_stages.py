"""The three stages are records that agree with the configuration that ships."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

import pytest

from stages import STAGES


def test_stages_stand_under_their_numbers() -> None:
    assert list(STAGES) == [1, 2, 3]
    assert [stage.number for stage in STAGES.values()] == [1, 2, 3]
    assert len({stage.name for stage in STAGES.values()}) == 3
    assert all(dataclasses.astuple(stage) for stage in STAGES.values())


def test_stages_do_not_change() -> None:
    with pytest.raises(TypeError):
        STAGES[4] = STAGES[1]  # type: ignore[index]
    with pytest.raises(dataclasses.FrozenInstanceError):
        STAGES[1].name = "other"  # type: ignore[misc]


@pytest.mark.parametrize("number", [2, 3])
def test_the_shipped_configuration_is_what_the_stage_says(number: int) -> None:
    from mtl.config import STAGE_FIELDS, load_config

    stage, settings = STAGES[number], load_config("default").stage(number)
    assert STAGE_FIELDS[number] == stage.name
    assert settings.head.activation == stage.activation
    assert (stage.loss == "binary cross entropy") == (stage.activation == "sigmoid")


def test_who_opens_stages_waits_for_nothing() -> None:
    code = "import sys, stages; print(*sorted({'torch', 'numpy', 'cv2'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
