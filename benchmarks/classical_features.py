"""Seconds for the hand-made features of 1,000 images, beside a plain scikit-image loop in turns on the same images.

    python benchmarks/classical_features.py [COUNT] [SIDE]

Images are rendered: stained discs on black, with texture. scikit-image has colour spaces, glcm, lbp and regionprops; it has no run lengths,
directional patterns or S-transform, so its column is of four families and ours of four, and then of all seven. Where the machine is shared,
processor seconds say more than those of the clock.
"""

from __future__ import annotations

import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator

import cv2
import numpy as np
import numpy.typing as npt
from skimage.color import rgb2hsv, rgb2lab
from skimage.feature import graycomatrix, graycoprops, local_binary_pattern
from skimage.measure import label, regionprops

from stages.classical_settings import DEEP, FEATURES, ClassicalSettings
from stages.learners.classical.features import Extractor
from stages.learners.classical.features.view import View

Images = npt.NDArray[np.uint8]
SHARED = ("colour", "glcm", "lbp", "shape")
BLOCK = 50


def drawn(count: int, side: int) -> Images:
    random = np.random.default_rng(0)
    down, right = np.mgrid[:side, :side] / side
    found = np.zeros((count, side, side, 3), np.uint8)
    for image in found:
        noise = random.normal(0, 40, (side, side, 3)).astype(np.float32)
        stained = np.array([150, 90, 160]) + 4 * cv2.GaussianBlur(noise, (0, 0), 2)
        for y, x, tall, wide in random.uniform((0.25, 0.25, 0.1, 0.1), (0.75, 0.75, 0.22, 0.22), (2, 4)):
            mask = ((down - y) / tall) ** 2 + ((right - x) / wide) ** 2 < 1
            image[mask] = np.clip(stained[mask], 1, 255)
    return found


def moments(values: npt.NDArray[np.float64]) -> list[float]:
    mean = values.mean()
    return [mean, values.std(), np.cbrt(((values - mean) ** 3).mean())]


def plain_colour(image: Images, mask: npt.NDArray[np.bool_], settings: ClassicalSettings) -> list[float]:
    row: list[float] = []
    for space, spans in (
        (image / 255, [(0, 1)] * 3),
        (rgb2hsv(image), [(0, 1)] * 3),
        (rgb2lab(image), [(0, 100), (-128, 127), (-128, 127)]),
    ):
        for channel, span in enumerate(spans):
            values = space[..., channel][mask]
            row += [*moments(values), *(np.histogram(values, 16, span)[0] / len(values))]
    return row


def plain_glcm(image: Images, mask: npt.NDArray[np.bool_], settings: ClassicalSettings) -> list[float]:
    levels = settings.levels
    values = np.where(mask, View(image).grey.astype(int) * levels // 256, levels).astype(np.uint8)
    angles = [0, np.pi / 4, np.pi / 2, 3 * np.pi / 4]
    counts = graycomatrix(values, settings.distances, angles, levels=levels + 1, symmetric=True)
    table = counts[:levels, :levels] / counts[:levels, :levels].sum(axis=(0, 1))
    row: list[float] = []
    for name in ("contrast", "dissimilarity", "homogeneity", "ASM", "energy", "correlation", "entropy"):
        told = graycoprops(table, name)
        row += [*told.mean(axis=1), *np.ptp(told, axis=1)]
    return row


def plain_lbp(image: Images, mask: npt.NDArray[np.bool_], settings: ClassicalSettings) -> list[float]:
    row: list[float] = []
    for points, radius in ((8, 1), (16, 2)):
        codes = local_binary_pattern(View(image).grey, points, radius, "uniform")[mask]
        row += list(np.bincount(codes.astype(int), minlength=points + 2) / len(codes))
    return row


def plain_shape(image: Images, mask: npt.NDArray[np.bool_], settings: ClassicalSettings) -> list[float]:
    rows = [
        (
            one.area, one.perimeter, one.axis_major_length, one.axis_minor_length, one.eccentricity, one.solidity, one.extent,
            4 * np.pi * one.area / max(one.perimeter, 1) ** 2,
        )
        for one in regionprops(label(mask))
    ]  # fmt: skip
    table = np.array(rows)
    return [*table.mean(axis=0), *table.std(axis=0), *table[table[:, 0].argmax()], len(table), mask.mean()]


PLAIN: dict[str, Callable[..., list[float]]] = {
    "colour": plain_colour, "glcm": plain_glcm, "lbp": plain_lbp, "shape": plain_shape
}  # fmt: skip


def works(settings: ClassicalSettings) -> Iterator[tuple[str, Callable[[Images], object]]]:
    every = tuple(name for name in FEATURES if name != DEEP)
    for name in SHARED:
        chosen = ClassicalSettings(features=(name,))
        yield (
            f"{name}: scikit-image",
            lambda images, name=name: [PLAIN[name](image, image.any(axis=2), settings) for image in images],
        )
        yield f"{name}: ours", Extractor(chosen, segmented=True)
    yield (
        "four families: scikit-image",
        lambda images: [
            [PLAIN[name](image, image.any(axis=2), settings) for name in SHARED] for image in images
        ],
    )
    yield "four families: ours", Extractor(ClassicalSettings(features=SHARED), segmented=True)
    yield "all seven families: ours", Extractor(ClassicalSettings(features=every), segmented=True)


def main() -> None:
    given = [int(one) for one in sys.argv[1:]]
    count, side = given[0] if given else 1000, given[1] if len(given) > 1 else 96
    images = drawn(count, side)
    clock: dict[str, float] = defaultdict(float)
    processor: dict[str, float] = defaultdict(float)
    for start in range(0, count, BLOCK):
        for name, work in works(ClassicalSettings()):
            begun, spent = time.perf_counter(), time.process_time()
            work(images[start : start + BLOCK])
            clock[name] += time.perf_counter() - begun
            processor[name] += time.process_time() - spent
    print(f"{count} rendered images of {side} px, blocks of {BLOCK} in turns")
    print("| | clock s | processor s |\n|---|---|---|")
    for name, seconds in clock.items():
        print(f"| {name} | {seconds:.1f} | {processor[name]:.1f} |")
    theirs = "four families: scikit-image"
    for name in ("four families: ours", "all seven families: ours"):
        print(
            f"{name} against {theirs}: {clock[theirs] / clock[name]:.1f} times by the clock, "
            f"{processor[theirs] / processor[name]:.1f} by the processor"
        )


if __name__ == "__main__":
    main()
