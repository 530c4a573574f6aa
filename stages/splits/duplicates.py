"""Near-duplicate images, found by perceptual hash and confirmed by correlation, so that no split parts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any, TypeVar

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from segmentation.cache import cached
from stages.data.sample import Sample
from stages.data.store import open_store
from stages.errors import DataError
from stages.splits.overlaps import MOST, overlapping
from stages.splits.split import group_of

__all__ = [
    "THUMBNAIL",
    "Copies",
    "DuplicateReport",
    "Pairs",
    "copies_between",
    "find_copies",
    "group_copies",
    "group_duplicates",
    "join",
    "near_duplicates",
    "perceptual_hash",
    "regroup",
]

_VERSION = 1  # raise it when the search for copies changes, so that none is read from an older cache
THUMBNAIL = 64
_HASH = 8
_SIDE = 32
_BITS_APART = 12
_CORRELATION = 0.95
_DETAIL = 0.7
_BLUR = 1.5
_CHUNK = 1024
_KEPT = 4096

Pairs = list[tuple[int, int]]
T = TypeVar("T", bound=np.generic)


@dataclass(frozen=True)
class Copies:
    """Which pictures of a set show the same.

    Attributes:
        first: The first picture that is identical to each, (N,).
        near: Near-duplicate pairs of those first ones.
        shared: Further pairs of them that overlap.
        searched: False where there were too many to look for overlaps.
    """

    first: list[int]
    near: Pairs
    shared: Pairs
    searched: bool

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Copies:
        """Return what `dataclasses.asdict` had made plain."""
        near, shared = ([(int(i), int(j)) for i, j in value[name]] for name in ("near", "shared"))
        return cls(list(value["first"]), near, shared, bool(value["searched"]))


@dataclass(frozen=True)
class DuplicateReport:
    """What the search found.

    Attributes:
        exact: Pairs of identical thumbnails.
        near: Further pairs that are near-duplicates.
        clusters: Clusters of two or more images.
        largest: Images in the largest cluster.
        conflicts: Pairs of names of the same picture under two labels; of many identical ones, each with the first.
        overlapping: Further pairs of fields that share a part of the slide.
        searched: False where there were too many images to look for overlapping fields.
    """

    exact: int
    near: int
    clusters: int
    largest: int
    conflicts: tuple[tuple[str, str], ...]
    overlapping: int = 0
    searched: bool = True

    def sentences(self) -> tuple[str, ...]:
        """Return plain sentences for a report."""
        said = [self._found()]
        if self.conflicts:
            first, second = self.conflicts[0]
            said.append(
                f"{len(self.conflicts)} of these pairs carry two labels, such as {first} and {second}: check them."
            )
        if not self.searched:
            said.append(f"Overlapping fields were not looked for: there are more than {MOST} images.")
        return tuple(said)

    def _found(self) -> str:
        if not self.clusters:
            return "No near-duplicate images were found."
        shared = f", and {self.overlapping} pairs of overlapping fields," if self.overlapping else ""
        return (
            f"{self.exact} identical and {self.near} near-duplicate pairs of images{shared} were found "
            f"({self.clusters} clusters, the largest of {self.largest}); no cluster is on two sides of the split."
        )


def group_copies(
    samples: Sequence[Sample], fingerprint: str, progress: Callable[[int, int], None] | None = None
) -> tuple[list[Sample], DuplicateReport]:
    """Group samples with their near-duplicates; the search is made once and kept in the cache.

    Args:
        samples: N of them.
        fingerprint: Hash of the samples' content.
        progress: Called with (done, total) while images are decoded.

    Raises:
        DataError: If an image cannot be read.
        WriteError: If the cache cannot be written.
    """
    thumbnails = open_store(samples, fingerprint, THUMBNAIL, progress=progress)
    copies = cached("copies", f"{_VERSION}|{fingerprint}", lambda: asdict(find_copies(thumbnails)))
    return group_duplicates(samples, Copies.from_json(copies))


def copies_between(
    first: Sequence[Sample], first_fingerprint: str, second: Sequence[Sample], second_fingerprint: str
) -> Pairs:
    """Return near-duplicates of which one is in each set, as (row of the first, row of the second); kept in the cache.

    Raises:
        DataError: If an image cannot be read.
        WriteError: If the cache cannot be written.
    """

    def search() -> Pairs:
        sets = ((first, first_fingerprint), (second, second_fingerprint))
        return near_duplicates(np.concatenate([open_store(*one, THUMBNAIL) for one in sets]))

    found = cached("copies", f"{_VERSION}|{first_fingerprint}|{second_fingerprint}", search)
    count = len(first)
    return [(i, j - count) for i, j in found if i < count <= j]


def perceptual_hash(luminance: npt.NDArray[np.uint8]) -> npt.NDArray[np.bool_]:
    """Return pHash bits: the low frequencies of the cosine transform above their median (as package `imagehash` does).

    Args:
        luminance: (N, 32, 32) uint8.

    Returns:
        (N, 64) bool.
    """
    spectrum = fft.dct(fft.dct(luminance.astype(np.float64), axis=1), axis=2)[:, :_HASH, :_HASH].reshape(
        -1, _HASH**2
    )
    bits: npt.NDArray[np.bool_] = spectrum > np.median(spectrum, axis=1, keepdims=True)
    return bits


def near_duplicates(thumbnails: npt.NDArray[np.uint8]) -> Pairs:
    """Return pairs (i, j), i < j, of images that show the same picture.

    Of three or more identical ones each is paired with the first; those of one tone have no picture to compare and match
    nothing here (`group_duplicates` keeps even them together). Else a pair is a candidate
    when its perceptual hashes differ in at most 12 of 64 bits, under any flip or quarter turn of one of them, and is
    confirmed when the luminance of 32x32 px correlates at 0.95 or more and its fine detail at 0.7 or more.
    Detail is what tells a copy from another round cell on a plain ground: on the real sets in use (Taleqani, Zheng 2018)
    copies lie above 0.78 and look-alikes below 0.55.

    Args:
        thumbnails: (N, S, S, 3) uint8 RGB.
    """
    first, pairs = _search(thumbnails)
    copies = ((one, row) for row, one in enumerate(first) if one != row)
    return sorted([*pairs, *(pair for pair in copies if np.ptp(thumbnails[pair[0]], axis=(0, 1)).any())])


def _search(thumbnails: npt.NDArray[np.uint8]) -> tuple[list[int], Pairs]:
    """Return the first image that is identical to each, and the near-duplicates among those first ones."""
    seen: dict[bytes, int] = {}
    first = [seen.setdefault(image.tobytes(), row) for row, image in enumerate(thumbnails)]
    rows = np.array(sorted(seen.values()), dtype=np.int64)
    return first, [(int(rows[i]), int(rows[j])) for i, j in _near(thumbnails[rows])] if len(rows) > 1 else []


def _near(thumbnails: npt.NDArray[np.uint8]) -> Pairs:
    luminance = np.stack([_luminance(image) for image in thumbnails])
    signs = perceptual_hash(luminance).astype(np.float32) * 2 - 1
    vectors = _unit(luminance)
    found: set[tuple[int, int]] = set()

    @lru_cache(maxsize=_KEPT)
    def detail(row: int) -> npt.NDArray[np.float32]:
        return _detail(thumbnails[row])

    def confirmed(i: int, j: int, number: int) -> bool:
        return float((detail(i) * _view(detail(j)[None], number)[0]).sum()) >= _DETAIL

    for number in range(8):
        view = _view(luminance, number)
        turned_signs, turned = perceptual_hash(view).astype(np.float32) * 2 - 1, _unit(view)
        for start in range(0, len(luminance), _CHUNK):
            stop = start + _CHUNK
            # As large as the chunk of hashes: memory stays bounded however many look alike.
            close = signs[start:stop] @ turned_signs.T >= _HASH**2 - 2 * _BITS_APART
            close &= vectors[start:stop] @ turned.T >= _CORRELATION
            rows, columns = np.nonzero(np.triu(close, start + 1))
            found.update(
                (i, j)
                for i, j in zip((rows + start).tolist(), columns.tolist(), strict=True)
                if (i, j) not in found and confirmed(i, j, number)
            )
    return sorted(found)


def find_copies(thumbnails: npt.NDArray[np.uint8]) -> Copies:
    """Return identical pictures, near-duplicates and overlapping fields.

    Args:
        thumbnails: (N, S, S, 3) uint8 RGB.
    """
    first, near = _search(thumbnails)
    kept = sorted(set(first))
    searched = len(kept) <= MOST
    shared = [(kept[i], kept[j]) for i, j in overlapping(thumbnails[kept])] if searched else []
    return Copies(first, near, sorted(set(shared) - set(near)), searched)


def group_duplicates(samples: Sequence[Sample], found: Copies) -> tuple[list[Sample], DuplicateReport]:
    """Return the samples with near-duplicates, overlapping fields and their groups joined, and what was found.

    Args:
        samples: N of them.
        found: What `find_copies` found in their pictures, in the same order.

    Raises:
        DataError: If there were not as many pictures as samples.
    """
    first, near, shared = found.first, found.near, found.shared
    if len(samples) != len(first):
        raise DataError(
            f"Expected `found` to be of the pictures of {len(samples)} samples, but got {len(first)}; "
            "do give both in the same order"
        )
    same = np.bincount(np.array(first, np.int64)) if first else np.zeros(0, np.int64)
    pairs = [*((one, row) for row, one in enumerate(first) if one != row), *near, *shared]
    conflicts = tuple(
        (samples[i].name, samples[j].name) for i, j in pairs if samples[i].label != samples[j].label
    )
    clusters = join(pairs, len(samples))
    sizes = np.bincount(clusters) if len(samples) else np.zeros(0, np.int64)
    report = DuplicateReport(
        exact=int((same * (same - 1) // 2).sum()),
        near=sum(int(same[i] * same[j]) for i, j in near),
        clusters=int((sizes > 1).sum()),
        largest=int(sizes.max(initial=0)),
        conflicts=conflicts,
        overlapping=sum(int(same[i] * same[j]) for i, j in shared),
        searched=found.searched,
    )
    return regroup(samples, clusters), report


def regroup(samples: Sequence[Sample], clusters: npt.NDArray[np.int64]) -> list[Sample]:
    """Return the samples with one group wherever groups or clusters touch; the smallest name stands for all.

    Args:
        samples: N of them, with groups or none.
        clusters: Cluster number of each, (N,).
    """
    members: dict[object, list[int]] = defaultdict(list)
    for row, sample in enumerate(samples):
        members[int(clusters[row])].append(row)
        if sample.group is not None:
            members[f"group {sample.group}"].append(row)
    whole = join(((rows[0], row) for rows in members.values() for row in rows[1:]), len(samples))
    names: dict[int, tuple[bool, str]] = {}
    sizes = np.bincount(whole) if len(samples) else np.zeros(0, np.int64)
    for row, sample in enumerate(samples):
        # The name of a patient or slide is worth more to a reader of the report than that of an image.
        own = (sample.group is None, group_of(sample))
        names[whole[row]] = min(names.get(whole[row], own), own)
    return [
        replace(sample, group=names[whole[row]][1])
        if sample.group is not None or sizes[whole[row]] > 1
        else sample
        for row, sample in enumerate(samples)
    ]


def join(pairs: Iterable[tuple[int, int]], count: int) -> npt.NDArray[np.int64]:
    """Return the number of the connected component of each of `count` nodes, numbered as they first appear."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    edges = np.array(list(pairs), dtype=np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(edges), np.int8), (edges[:, 0], edges[:, 1])), shape=(count, count))
    labels: npt.NDArray[np.int64] = connected_components(graph, directed=False)[1].astype(np.int64)
    return labels


def _luminance(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.uint8)


def _unit(luminance: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    flat = luminance.reshape(len(luminance), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    norm = np.linalg.norm(flat, axis=1, keepdims=True)
    # A picture of one tone has no shape to compare; it matches nothing.
    unit: npt.NDArray[np.float32] = np.divide(flat, norm, out=np.zeros_like(flat), where=norm > 0)
    return unit


def _detail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    pixels = image.astype(np.float32)
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), _BLUR)
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def _view(images: npt.NDArray[T], number: int) -> npt.NDArray[T]:
    """Return images (N, S, S) or (N, S, S, 3) as one of the 8 flips and quarter turns shows them; 0 is as they are."""
    turned = np.rot90(images, number // 2, axes=(1, 2))
    return np.ascontiguousarray(turned[:, :, ::-1] if number % 2 else turned)
