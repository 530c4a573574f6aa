"""Images that cannot be decoded, found before anything is built on them, so that a run goes on without them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from segmentation.cache import cached
from stages.data.images import load_rgb
from stages.data.problems import BadFileError
from stages.data.sample import Sample
from stages.data.threads import in_threads

__all__ = ["leave_out_damaged"]

_VERSION = 1  # raise it when decoding becomes more or less strict


def leave_out_damaged(
    samples: Sequence[Sample], fingerprint: str, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Sample], tuple[str, ...]]:
    """Return the samples that decode, and a sentence for the report about those that do not.

    Every image is decoded once; which ones are damaged is kept in the cache.

    Args:
        samples: N of them.
        fingerprint: Hash of their content.
        progress: Called with (done, total).

    Raises:
        WriteError: If the cache cannot be written.
    """
    found = cached("damaged", f"{_VERSION}|{fingerprint}", lambda: {"names": _damaged(samples, progress)})
    damaged = set(found["names"])
    if not damaged:
        return list(samples), ("Every image could be decoded.",)
    shown = ", ".join(sorted(damaged)[:3]) + (", ..." if len(damaged) > 3 else "")
    note = f"{len(damaged)} of {len(samples)} images are damaged and were left out: {shown}."
    return [sample for sample in samples if sample.name not in damaged], (note,)


def _damaged(samples: Sequence[Sample], progress: Callable[[int, int], None] | None) -> list[str]:
    def broken(sample: Sample) -> bool:
        try:
            load_rgb(sample)
        except BadFileError:
            return True
        return False

    broken_ones = in_threads(samples, broken, progress)
    return [sample.name for sample, bad in zip(samples, broken_ones, strict=True) if bad]
