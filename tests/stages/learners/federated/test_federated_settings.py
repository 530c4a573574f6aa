"""Settings of a federation: what is refused, and in which words."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from stages.learners.federated.settings import FederateSettings, concentration


@pytest.mark.parametrize(
    ("told", "said"),
    [
        ({"clients": 0}, "clients"),
        ({"clients": 1001}, "clients"),
        ({"rounds": 0}, "rounds"),
        ({"local_epochs": 0}, "local_epochs"),
        ({"partition": "by-hospital"}, "iid, dirichlet:ALPHA, by-group or by-source"),
        ({"strategy": "fedopt"}, "fedprox"),
        ({"strategy": "fedprox", "proximal": 0}, "proximal"),
        ({"dp": "pate"}, "least-squares"),
        ({"dp": "sgd", "dp_train": "tail"}, "dp_train"),
        ({"dp": "none", "dp_train": "film"}, "`dp_train` film with dp=sgd or central, but got dp=none"),
        ({"dp": "least-squares", "dp_train": "full"}, "dp=least-squares"),
        ({"dp": "central", "strategy": "fedprox"}, "fedavg with dp=central"),
        ({"dp": "sgd", "epsilon": 0}, "epsilon"),
        ({"dp": "sgd", "epsilon": -1}, "epsilon"),
        ({"dp": "sgd", "epsilon": float("nan")}, "epsilon"),
        ({"dp": "sgd", "delta": 0}, "delta"),
        ({"dp": "sgd", "delta": 1}, "delta"),
        ({"dp": "sgd", "clip": 0}, "clip"),
        ({"dp": "least-squares", "dimensions": 1}, "dimensions"),
        ({"noise": 1.0}, "dp=none"),
        ({"dp": "least-squares", "noise": 1.0}, "dp=least-squares"),
        ({"dp": "sgd", "strategy": "fedbn"}, "fedavg"),
        ({"dp": "least-squares", "strategy": "fedprox"}, "fedavg"),
        ({"hospitals": 3}, "hospitals"),
    ],
)
def test_what_makes_no_sense_is_refused(told: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        FederateSettings.model_validate(told)


@given(st.floats(1e-6, 1e5))
def test_a_written_concentration_is_read_back(alpha: float) -> None:
    assert concentration(f"dirichlet:{alpha:.6e}".replace("e+", "e")) == pytest.approx(alpha, rel=1e-6)


@pytest.mark.parametrize(
    "text", ["dirichlet", "dirichlet:", "dirichlet:0", "dirichlet:-1", "dirichlet:nan", "dirichlet:inf", "dirichlet:1e6", "dirichlet:1e999", "Dirichlet:1", "dirichlet:1 ", "dirichlet:1,5"],
)  # fmt: skip
def test_what_is_no_concentration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"dirichlet:0\.3"):
        concentration(text)
    with pytest.raises(ValidationError, match="partition"):
        FederateSettings(partition=text)


def test_epochs_are_those_of_all_rounds() -> None:
    assert FederateSettings(rounds=4, local_epochs=3).epochs == 12


def test_settings_are_light() -> None:
    code = "import sys, stages.learners.federated.settings; print({'torch', 'flwr', 'opacus', 'sklearn'} & set(sys.modules))"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
