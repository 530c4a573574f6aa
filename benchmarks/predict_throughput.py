"""What `mtl predict` costs over its networks, and what memory it takes: `python benchmarks/predict_throughput.py RUN IMAGES`.

Ratio: every image once through all that `mtl predict` does to it and once through the bare networks on the same cells (segmentation, then the
stages on prepared pictures), one after the other in one process and thread, processor time. Tables that are written in the end are
added to the first. Memory: `--count` files (links to the images, again and again) answered by `mtl predict` in a process of its own; its peak is
told for that many and for a tenth.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from mtl.predict.command import _Work
from mtl.predict.predictor import Predictor
from mtl.predict.settings import PredictSmears
from mtl.progress import Reporter
from mtl.segment.inputs import Job, find_images
from mtl.segment.stream import Large
from segmentation.cells import cut_cell
from segmentation.finders import NETWORK
from stages.data.images import decode_rgb

_PEAK = """
import resource, sys
from pathlib import Path
from mtl.predict.command import predict_images
from mtl.predict.settings import PredictSmears
result = predict_images(Path(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3]), PredictSmears.model_validate({"segment": {"method": sys.argv[4]}}))
print(result.images, result.cells, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def bare(predictor: Predictor, job: Job) -> list[float]:
    """Return the processor time of segmentation, stage 2 and stage 3 on one image: networks alone, on pictures prepared before."""
    image, spent = decode_rgb(job.path), []
    seen = predictor.seer.see(image)
    crops = [cut_cell(image, cell.box, predictor.frame) for cell in seen.cells.cells]
    begun = time.process_time()
    if seen.method == NETWORK:
        predictor.seer._network().labels(image)
    spent.append(time.process_time() - begun)
    for model, pictures in ((predictor.cells, crops), (predictor.fields, [image])):
        prepared = np.stack([model.preprocess(one) for one in pictures]) if model and pictures else None
        begun = time.process_time()
        if model is not None and prepared is not None:
            model.prepared_answers(prepared)
        spent.append(time.process_time() - begun)
    return spent


def ratio(run: Path, images: Path, most: int, out: Path, method: str) -> None:
    """Print what the command costs over its networks."""
    torch.set_num_threads(1)
    predictor = Predictor(run, PredictSmears.model_validate({"segment": {"method": method}}))
    jobs = find_images(images, out).jobs[:most]
    work = _Work(predictor, out, jobs, {job.name: "all" for job in jobs})
    bare(predictor, jobs[0])  # what is loaded or chosen at first is no part of it
    whole, parts = 0.0, np.zeros(3)
    with Reporter() as reporter:
        for job in jobs:
            begun = time.process_time()
            work._one(job, Large(reporter))
            whole += time.process_time() - begun
            parts += bare(predictor, job)
    begun = time.process_time()
    result = work._write_tables(jobs, {}, 0, {})
    whole += time.process_time() - begun
    print(
        f"{result.images} images, {result.cells} cells, {method}: predict {whole:.1f} s of processor, networks alone {parts.sum():.1f} s "
        f"(segmentation {parts[0]:.1f}, stage 2 {parts[1]:.1f}, stage 3 {parts[2]:.1f}); ratio {whole / parts.sum():.2f}"
    )


def peak(run: Path, images: Path, count: int, method: str) -> None:
    """Print the peak memory of a process that answers so many files."""
    known = find_images(images, images / "none").jobs
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "images"
        place.mkdir()
        for number in range(count):
            job = known[number % len(known)]
            (place / f"{number:06}{job.path.suffix}").symlink_to(job.path.resolve())
        told = subprocess.run(
            [sys.executable, "-c", _PEAK, place, run, Path(folder) / "out", method],
            check=True, capture_output=True, text=True,
        ).stdout.split()  # fmt: skip
    print(f"{told[0]} images, {told[1]} cells, {method}: peak {int(told[2]):,} MB")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("images", type=Path)
    parser.add_argument("--most", type=int, default=40, help="images of the ratio")
    parser.add_argument("--count", type=int, default=5000, help="files of the memory; 0 for none")
    parser.add_argument("--method", default="auto", help="what finds cells")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        ratio(asked.run, asked.images, asked.most, Path(folder) / "out", asked.method)
    for count in (asked.count // 10, asked.count) if asked.count else ():
        peak(asked.run, asked.images, count, asked.method)


if __name__ == "__main__":
    main()
