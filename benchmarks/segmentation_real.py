"""Measure a segmentation network on real images: Dice on Zheng's two sets, boxes of white cells on BCCD, and time.

    MTL_REALDATA=../shared/data python benchmarks/segmentation_real.py [--weights FILE] [--flips] [--teal 60]
        [--speed 5] [--card]

Real images are measured on only. On Zheng's images of one cell the main cell counts, as in their masks. The Taleqani
fields have no masks: there `--teal` judges by hue alone, see `teal`.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from xml.etree import ElementTree

import cv2
import numpy as np
import torch

from mtl.segment.command import segment_images
from mtl.segment.settings import SegmentImages
from segmentation.cells import find_cells, keep_cells, main_cell
from segmentation.crops import read_image
from segmentation.light import background_gains
from segmentation.masks import cell_of, nucleus_of, read_mask
from segmentation.predict import PredictSettings, Segmenter
from segmentation.probe import BF16
from segmentation.scores import dice
from segmentation.tiles import TileSettings
from segmentation.weights import SHIPPED, ModelCard, load_network, read_card, write_card
from stages.data.smears import make_slide, render_field
from stages.memory import keep_freed_memory

Box = tuple[int, int, int, int]


def zheng(segmenter: Segmenter, folder: Path, every: int) -> dict[str, float]:
    nuclei, wholes = [], []
    for path in sorted(folder.glob("*.bmp"))[::every]:
        image = read_image(path)
        truth = read_mask(path.with_suffix(".png"), encoding="zheng", snap=True, shape=image.shape[:2])
        labels = segmenter.labels(image)
        cells = find_cells(labels, settings=segmenter.settings.cells)
        main = main_cell(cells)
        labels = keep_cells(labels, cells, [main] if main else [])
        nuclei.append(dice(nucleus_of(labels), nucleus_of(truth)))
        wholes.append(dice(cell_of(labels), cell_of(truth)))
    return {
        "images": len(nuclei),
        "nucleus_dice": round(float(np.mean(nuclei)), 4),
        "nucleus_dice_median": round(float(np.median(nuclei)), 4),
        "cell_dice": round(float(np.mean(wholes)), 4),
        "cell_dice_median": round(float(np.median(wholes)), 4),
    }


def overlap(one: Box, other: Box) -> float:
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(width, 0) * max(height, 0)
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return shared / (sum(areas) - shared)


def boxes(annotation: Path) -> list[Box]:
    found = []
    for item in ElementTree.parse(annotation).getroot().iter("object"):  # noqa: S314 - our own copy of the data
        if item.findtext("name") == "WBC":
            x0, y0, x1, y1 = (
                int(item.findtext(f"bndbox/{name}") or 0) for name in ("xmin", "ymin", "xmax", "ymax")
            )
            found.append((x0, y0, x1, y1))
    return found


def bccd(segmenter: Segmenter, folder: Path, every: int) -> dict[str, float]:
    hits = missed = false = images = 0
    for annotation in sorted((folder / "Annotations").glob("*.xml"))[::every]:
        image = folder / "JPEGImages" / annotation.with_suffix(".jpg").name
        if not image.exists():
            continue
        images += 1
        left = [cell.box for cell in segmenter.cells(read_image(image)).cells]
        for truth in boxes(annotation):
            best = max(left, key=lambda box: overlap(box, truth), default=None)
            if best is not None and overlap(best, truth) >= 0.5:
                left.remove(best)
                hits += 1
            else:
                missed += 1
        false += len(left)
    return {
        "images": images,
        "boxes": hits + missed,
        "recall": round(hits / max(hits + missed, 1), 4),
        "precision": round(hits / max(hits + false, 1), 4),
    }


def teal(segmenter: Segmenter, folder: Path, count: int) -> dict[str, float]:
    """Judge nuclei by hue on random Taleqani fields; the same fields every time.

    A stand-in for a score: there are no masks, but red cells there are teal, so take more red than green light, and
    nuclei violet, so take more green than red. Densities are white-balanced and lightly blurred.

    Args:
        segmenter: What is measured.
        folder: With one folder of JPEG images for each class.
        count: Fields.

    Returns:
        `teal_of_nuclei`: part of all nucleus pixels that is teal, best 0. `violet_found`: part of clearly violet
        pixels, which debris and violet cytoplasm have too, that is labelled nucleus; it must not fall to lower the first.
    """
    paths = sorted(folder.glob("*/*.jpg"))
    chosen = np.random.default_rng(0).choice(len(paths), min(count, len(paths)), replace=False)
    nuclei = teals = violets = found = 0
    for index in chosen.tolist():
        image = read_image(paths[index])
        nucleus = nucleus_of(segmenter.labels(image))
        light = cv2.GaussianBlur(image, (0, 0), 1.0) / 255 * np.asarray(background_gains(image))
        red, green, _ = -np.log10(np.clip(light, 1 / 255, 1)).transpose(2, 0, 1)
        violet = (green > 1.2 * red) & (green > 0.15)
        nuclei += int(nucleus.sum())
        teals += int((nucleus & (red > 1.05 * green)).sum())
        violets += int(violet.sum())
        found += int((nucleus & violet).sum())
    return {
        "images": len(chosen),
        "teal_of_nuclei": round(teals / max(nuclei, 1), 4),
        "violet_found": round(found / max(violets, 1), 4),
    }


def speed(weights: Path, fields: int, repeats: int) -> dict[str, float]:
    """Time `mtl segment FOLDER` against the bare network on the same tiles, on rendered fields of 2592 x 1944.

    The first reads files, finds the scale, segments, measures cells and writes all outputs; the second is the network as it
    was trained, without anything around it. Starting Python and loading weights counts for neither. They take turns.

    Args:
        weights: Of the network.
        fields: Fields in the folder, with white cells about as large as the network sees them best.
        repeats: Turns; medians are returned.
    """
    network = load_network(weights)
    choice = SegmentImages(method="residual_unet", weights=weights)
    tiles: list[torch.Tensor] = []
    with TemporaryDirectory() as name:
        folder = Path(name) / "fields"
        folder.mkdir()
        for number in range(fields):
            slide = replace(make_slide(3, number), red_cover=0.4)
            field = render_field("L2", slide, number, 1944, 2592, 4.1)
            cv2.imwrite(str(folder / f"{number}.jpg"), field.image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])
            image = read_image(folder / f"{number}.jpg")
            segmenter = Segmenter(network)
            scaled = Segmenter(network, PredictSettings(scale=segmenter.estimate_scale(image)))
            scaled.network.register_forward_pre_hook(lambda _, given: tiles.append(given[0].clone()))
            scaled.labels(image)

        def bare() -> None:
            bf16 = segmenter.settings.tiles.precision == BF16
            with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16, enabled=bf16):
                for batch in tiles:
                    network(batch)

        def whole() -> None:
            segment_images(folder, Path(name) / f"out-{time.time_ns()}", choice)

        times: dict[str, list[tuple[float, float]]] = {"whole": [], "bare": []}
        for _ in range(repeats):
            for kind, task in (("bare", bare), ("whole", whole)):
                started, spent = time.perf_counter(), time.process_time()
                task()
                times[kind].append((time.perf_counter() - started, time.process_time() - spent))
    (clock, processor), (bare_clock, bare_processor) = (
        np.median(times[kind], axis=0).tolist() for kind in ("whole", "bare")
    )
    return {
        "fields": fields,
        "threads": torch.get_num_threads(),
        "seconds_a_field": round(clock / fields, 2),
        "ratio": round(clock / bare_clock, 3),
        "ratio_of_processor_time": round(processor / bare_processor, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("MTL_REALDATA", "../shared/data")))
    parser.add_argument("--weights", type=Path, default=SHIPPED)
    parser.add_argument("--flips", action="store_true", help="average over four mirror images")
    parser.add_argument("--every", type=int, default=1, help="measure every n-th image alone")
    parser.add_argument(
        "--speed", type=int, default=0, metavar="N", help="also time whole fields, median of N"
    )
    parser.add_argument(
        "--teal", type=int, default=0, metavar="N", help="also judge nuclei of N Taleqani fields by hue"
    )
    parser.add_argument("--fields", type=int, default=10, help="fields in the folder that is timed")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--card", action="store_true", help="write the scores into the card of the weights")
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(given.threads)
    network = load_network(given.weights)
    segmenter = Segmenter(network, PredictSettings(tiles=TileSettings(flips=given.flips)))
    scores: dict[str, dict[str, float]] = {}
    measures: dict[str, Callable[[], dict[str, float]]] = {
        "wbc Dataset 1": lambda: zheng(segmenter, given.data / "wbc" / "Dataset 1", given.every),
        "wbc Dataset 2": lambda: zheng(segmenter, given.data / "wbc" / "Dataset 2", given.every),
        "bccd": lambda: bccd(segmenter, given.data / "bccd" / "BCCD", given.every),
    }
    if given.teal:
        measures["taleqani"] = lambda: teal(segmenter, given.data / "taleqani" / "Original", given.teal)
    if given.speed:
        measures["speed 2592x1944"] = lambda: speed(given.weights, given.fields, given.speed)
    for name, measure in measures.items():
        started = time.time()
        scores[name] = measure()
        print(f"{name}: {json.dumps(scores[name])} ({time.time() - started:.0f} s)", flush=True)
    if given.card:
        card: ModelCard = read_card(given.weights)
        write_card(replace(card, scores={**card.scores, **scores}), given.weights)


if __name__ == "__main__":
    main()
