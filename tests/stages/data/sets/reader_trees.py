"""What the tests of readers share: writing small trees, and reading them with the message that is expected."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.data.catalogue import read_dataset
from stages.data.sample import Sample
from stages.errors import DataError

PIXELS = np.random.default_rng(0).integers(0, 256, (24, 32, 3), np.uint8)


def put(path: Path, text: str | None = None) -> Path:
    """Write an image, or a text file where text is given."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if text is None:
        Image.fromarray(PIXELS).save(path)
    else:
        path.write_text(text, encoding="utf-8")
    return path


def said(name: str, root: Path) -> str:
    """Return the one line that reading raises."""
    with pytest.raises(DataError) as caught:
        read_dataset(name, root)
    text = str(caught.value)
    assert text.isprintable()
    assert text.startswith("Expected `")
    assert "; do " in text
    return text


def by_name(samples: list[Sample]) -> dict[str, Sample]:
    names = [sample.name for sample in samples]
    assert names == sorted(names)
    assert len(set(names)) == len(names)
    return {sample.name: sample for sample in samples}
