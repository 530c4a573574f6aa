"""Images a second of every preprocessing, on one core, real smears read once: `python benchmarks/preprocessing.py FOLDER`."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from segmentation.threshold import METHODS
from stages.data.images import decode_rgb
from stages.data.sample import Sample
from stages.preprocess import Preprocess
from stages.settings import PreprocessSettings


def blocks() -> dict[str, dict[str, Any]]:
    """What is measured: every step alone, and two chains."""
    found: dict[str, dict[str, Any]] = {"resize alone": {}}
    for name in ("grey-world", "flat-field", "reinhard", "macenko"):
        found[f"normalise {name}"] = {"normalise": {"method": name}}
    found["sharpen unsharp-adaptive"] = {"sharpen": {"method": "unsharp-adaptive"}}
    for name in (*METHODS, "residual_unet"):
        found[f"segment {name}"] = {"segment": {"method": name}}
    found["reinhard, hsv, blue, unsharp-adaptive"] = {
        "normalise": {"method": "reinhard"},
        "segment": {"method": "hsv", "use": "blue"},
        "sharpen": {"method": "unsharp-adaptive"},
    }
    return found


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--images", type=int, default=100)
    parser.add_argument("--image-size", type=int, default=128)
    given = parser.parse_args()
    import cv2
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    paths = sorted(
        path for path in given.folder.rglob("*") if path.suffix.lower() in (".jpg", ".png", ".tif")
    )
    paths = [paths[number * len(paths) // given.images] for number in range(min(given.images, len(paths)))]
    samples = [Sample(path, str(path), "x", "x") for path in paths]
    begun = time.process_time()
    images = [decode_rgb(path) for path in paths]
    print(f"{len(images)} images of {images[0].shape[1]} x {images[0].shape[0]} px to {given.image_size} px")
    print(f"{'decode':<40} {len(images) / (time.process_time() - begun):8.0f} images/s")
    for name, values in blocks().items():
        settings = PreprocessSettings.model_validate({"image_size": given.image_size, **values})
        prepare = Preprocess(settings).fit(samples, str(given.folder))
        prepare(images[0])  # what is loaded once is not counted
        begun = time.process_time()
        for image in images:
            prepare(image)
        print(f"{name:<40} {len(images) / (time.process_time() - begun):8.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
