"""PyTorch, ONNX Runtime and OpenVINO on the same images, interleaved in one process: images a second and the largest difference.

    mtl export RUN --format onnx && mtl export RUN --format openvino
    python benchmarks/serving/engines.py RUN IMAGES [--stage 3] [--count 32] [--rounds 5]

The whole path of a field's answer is measured: bytes of the image, resizing, network, calibration, distance to the training data; decoding is
not, it is the same for all. PyTorch counts as `mtl predict` lets it (in bfloat16 where that is the faster), and in 32 bits beside it.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--stage", type=int, default=3)
    parser.add_argument("--count", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    import torch

    from mtl.run.load import learned_stages
    from stages.data.images import decode_rgb
    from stages.export.engines import use_engine
    from stages.export.formats import EXPORT_FOLDER, FILES
    from stages.export.graph import network_of
    from stages.learners.model import load_model

    folder = learned_stages(given.run)[given.stage].path
    paths = sorted(
        path for path in given.images.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".bmp", ".tif")
    )
    chosen = [paths[row] for row in np.linspace(0, len(paths) - 1, given.count).round().astype(int)]
    images = [decode_rgb(path) for path in chosen]

    models = {name: network_of(load_model(folder)) for name in ("torch", "torch, 32 bits")}
    models["torch"].quicken()
    for form in ("onnx", "openvino"):
        if (folder / EXPORT_FOLDER / FILES[form]).is_file():
            models[form] = network_of(load_model(folder))
            use_engine(models[form], form, folder / EXPORT_FOLDER)
    said = {name: model.probabilities(images) for name, model in models.items()}
    print(
        f"{folder.name}, {len(images)} images of {given.images.name}, {torch.get_num_threads()} threads; torch in {models['torch'].inference.precision}"
    )
    ways: dict[str, Callable[[Any], Any]] = {
        "batch 1": lambda model: [model.answers([image]) for image in images],
        f"batch {len(images)}": lambda model: model.answers(images),
    }
    speeds: dict[tuple[str, str], list[float]] = {}
    for _ in range(given.rounds):
        for way, work in ways.items():
            for name, model in models.items():
                begun = time.perf_counter()
                work(model)
                speeds.setdefault((name, way), []).append(len(images) / (time.perf_counter() - begun))
    print(
        f"| engine | {' | '.join(f'{way}, images/s: median (best)' for way in ways)} | largest difference |\n|---|{'---:|' * (len(ways) + 1)}"
    )
    for name in models:
        cells = [f"{np.median(speeds[name, way]):.1f} ({max(speeds[name, way]):.1f})" for way in ways]
        print(f"| {name} | {' | '.join(cells)} | {np.abs(said[name] - said['torch, 32 bits']).max():.1e} |")


if __name__ == "__main__":
    main()
