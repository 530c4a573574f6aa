"""A predictor and a client that all tests of the server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from served import CHEAP, client

from mtl.predict.predictor import Predictor
from mtl.predict.settings import PredictSmears

pytest.importorskip("fastapi", reason="the extra `serve` is not installed")
pytest.importorskip("python_multipart", reason="the extra `serve` is not installed")


@pytest.fixture(scope="session")
def predictor(tiny_run: Path) -> Predictor:
    return Predictor(tiny_run, PredictSmears.model_validate(CHEAP["predict"]))


@pytest.fixture(scope="module")
def server(predictor: Predictor) -> Iterator[Any]:
    with client({"tiny": predictor}) as found:
        yield found
