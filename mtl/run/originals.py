"""The image that a sample was read from, by the name that stands in a table of predictions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from mtl.records import SourceRecord

__all__ = ["original"]


def original(name: str, sources: Sequence[SourceRecord]) -> npt.NDArray[np.uint8] | None:
    """Return the image of a sample (H, W, 3) uint8 RGB, or None where it is no longer there.

    Args:
        name: Of the sample.
        sources: Where its data set lies; of several, the one that the name begins with.
    """
    from stages.data.catalogue import read_dataset
    from stages.data.images import decode_rgb, load_rgb
    from stages.errors import StagesError

    if len(sources) > 1:
        begin, _, name = name.partition("/")
        sources = [source for source in sources if source.name == begin]
    data = sources[0]
    plain = data.root / name.partition("#")[0]
    try:
        if plain.suffix.lower() == ".npz" or "#" in name or not plain.is_file():
            return load_rgb(next(one for one in read_dataset(data.dataset, data.root) if one.name == name))
        return decode_rgb(plain)
    except (OSError, StagesError, StopIteration):
        return None
