"""Near-duplicate images, found by perceptual hash and confirmed by correlation, so that no split parts them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from scipy import fft

from stages.data.sample import Sample

__all__ = ["DuplicateReport", "Pairs", "group_duplicates", "join", "near_duplicates", "perceptual_hash"]

_HASH = 8
_SIDE = 32
_BITS_APART = 12
_CORRELATION = 0.95
_DETAIL = 0.7
_BLUR = 1.5
_CHUNK = 1024

Pairs = list[tuple[int, int]]


@dataclass(frozen=True)
class DuplicateReport:
    """What the search found.

    Attributes:
        exact: Pairs of identical thumbnails.
        near: Further pairs that are near-duplicates.
        clusters: Clusters of two or more images.
        largest: Images in the largest cluster.
        conflicts: Pairs of names of the same picture under two labels.
    """

    exact: int
    near: int
    clusters: int
    largest: int
    conflicts: tuple[tuple[str, str], ...]

    def sentences(self) -> tuple[str, ...]:
        """Return plain sentences for a report."""
        if not self.clusters:
            return ("No near-duplicate images were found.",)
        text = (
            f"{self.exact} identical and {self.near} near-duplicate pairs of images were found "
            f"({self.clusters} clusters, the largest of {self.largest}); no cluster is on two sides of the split."
        )
        if not self.conflicts:
            return (text,)
        first, second = self.conflicts[0]
        return (
            text,
            f"{len(self.conflicts)} of these pairs carry two labels, such as {first} and {second}: check them.",
        )


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

    A pair is a candidate when its perceptual hashes differ in at most 12 of 64 bits, under any flip or quarter turn of one
    of them, and is confirmed when the luminance of 32x32 px correlates at 0.95 or more and its fine detail at 0.7 or more.
    Detail is what tells a copy from another round cell on a plain ground: on the real sets in use (Taleqani, Zheng 2018)
    copies lie above 0.78 and look-alikes below 0.55.

    Args:
        thumbnails: (N, S, S, 3) uint8 RGB.
    """
    if not len(thumbnails):
        return []
    luminance = np.stack([_luminance(image) for image in thumbnails])
    signs = perceptual_hash(luminance).astype(np.float32) * 2 - 1
    vectors = _unit(luminance)
    found: set[tuple[int, int]] = set()
    for view in _views(luminance):
        turned_signs, turned = perceptual_hash(view).astype(np.float32) * 2 - 1, _unit(view)
        for start in range(0, len(luminance), _CHUNK):
            stop = start + _CHUNK
            close = signs[start:stop] @ turned_signs.T >= _HASH**2 - 2 * _BITS_APART
            rows, columns = np.nonzero(close)
            keep = rows + start < columns
            rows, columns = rows[keep] + start, columns[keep]
            alike = np.einsum("ij,ij->i", vectors[rows], turned[columns]) >= _CORRELATION
            found.update(zip(rows[alike].tolist(), columns[alike].tolist(), strict=True))
    return sorted(pair for pair in found if _same_detail(thumbnails[pair[0]], thumbnails[pair[1]]))


def group_duplicates(
    samples: Sequence[Sample], thumbnails: npt.NDArray[np.uint8]
) -> tuple[list[Sample], DuplicateReport]:
    """Return the samples with near-duplicates and their groups joined, and what was found.

    Args:
        samples: N of them.
        thumbnails: Their pictures, (N, S, S, 3) uint8, in the same order.
    """
    pairs = near_duplicates(thumbnails)
    exact = sum(np.array_equal(thumbnails[i], thumbnails[j]) for i, j in pairs)
    conflicts = tuple(
        (samples[i].name, samples[j].name) for i, j in pairs if samples[i].label != samples[j].label
    )
    clusters = join(pairs, len(samples))
    sizes = np.bincount(clusters) if len(samples) else np.zeros(0, np.int64)
    report = DuplicateReport(
        exact, len(pairs) - exact, int((sizes > 1).sum()), int(sizes.max(initial=0)), conflicts
    )
    return regroup(samples, clusters), report


def regroup(samples: Sequence[Sample], clusters: npt.NDArray[np.int64]) -> list[Sample]:
    """Return the samples with one group wherever groups or clusters touch; the smallest group name stands for all.

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
        # A patient or slide that the source names goes before a name made up here.
        made_up = sample.group is None
        own = (made_up, f"{sample.dataset}:{sample.name}" if sample.group is None else sample.group)
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


def _same_detail(first: npt.NDArray[np.uint8], second: npt.NDArray[np.uint8]) -> bool:
    fixed = _detail(first)
    turned = [np.rot90(second, quarter) for quarter in range(4)]
    views = [view for one in turned for view in (one, one[:, ::-1])]
    return any(float((fixed * _detail(np.ascontiguousarray(view))).sum()) >= _DETAIL for view in views)


def _detail(image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    pixels = image.astype(np.float32)
    fine = pixels - cv2.GaussianBlur(pixels, (0, 0), _BLUR)
    fine -= fine.mean()
    return np.asarray(fine / max(float(np.linalg.norm(fine)), 1e-6), np.float32)


def _views(luminance: npt.NDArray[np.uint8]) -> list[npt.NDArray[np.uint8]]:
    turned = [np.rot90(luminance, quarter, axes=(1, 2)) for quarter in range(4)]
    return [np.ascontiguousarray(view) for one in turned for view in (one, one[:, :, ::-1])]
