"""Every backbone of `mtl backbones` as ONNX at the least size that it takes: does it export, and does the file answer alike?

    python benchmarks/serving/backbones.py --out exports.jsonl [--sizes 32,64,96,128,224] [--match 'vit*']

Random weights unless those of the package or the cache are here. Stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import random
import tempfile
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any


def least_size(name: str, sizes: list[int]) -> int:
    """Return the first size at which a backbone starts; its own where none of them is one."""
    from stages.errors import ModelError
    from stages.learners.network.architectures import Architecture, fit_size, native_size

    for size in sizes:
        try:
            fit_size(Architecture(name), "avg", size)
        except ModelError:
            continue
        return size
    return native_size(Architecture(name))


def examine(name: str, sizes: list[int]) -> dict[str, Any]:
    """Export one backbone and compare."""
    import numpy as np
    import torch

    from stages.export.engines import open_engine
    from stages.export.formats import save_graph
    from stages.export.graph import Whole, about, exported_program
    from stages.learners.network.backbones import create_backbone
    from stages.learners.network.hub import is_here
    from stages.learners.network.model import NetworkModel
    from stages.learners.network.network import Network
    from stages.preprocess import Preprocess
    from stages.settings import HeadSettings, PreprocessSettings

    begun = time.perf_counter()
    row: dict[str, Any] = {"name": name}
    try:
        size = row["size"] = least_size(name, sizes)
        torch.manual_seed(0)
        backbone, record = create_backbone(name, "auto" if is_here(name) else "none", "avg", size)
        head = HeadSettings()
        model = NetworkModel(
            Network(backbone, record, head, ("a", "b", "c")),
            record,
            head,
            Preprocess(PreprocessSettings(image_size=size)),
        )
        images = [
            np.random.default_rng(i).integers(0, 256, (size + 5 + 9 * i, size + 20, 3), np.uint8)
            for i in range(3)
        ]
        program = exported_program(Whole(model), torch.zeros(2, size + 8, size + 16, 3, dtype=torch.uint8))
        with tempfile.TemporaryDirectory() as folder:
            run = open_engine("onnx", save_graph(program, "onnx", Path(folder), about(model, "")))
            row["difference"] = max(
                float(np.abs(run(image[None])[0] - model.probabilities([image])).max()) for image in images
            )
            batch = np.stack([images[0]] * 3)  # a batch that was not asked at export
            row["batch"] = float(np.abs(run(batch)[0] - model.probabilities(batch)).max())
    except Exception as error:  # what fails, and how, is what this script looks for
        row["error"] = f"{type(error).__name__}: {str(error)[:300]}"
    row["seconds"] = round(time.perf_counter() - begun, 1)
    return row


def main() -> None:
    """Export every name that matches, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--sizes", default="32,64,96,128,224")
    parser.add_argument("--match", default="*")
    given = parser.parse_args()
    warnings.simplefilter("ignore")
    from stages.learners.network.catalogue import CATALOGUE

    sizes = [int(text) for text in given.sizes.split(",")]
    rows = (
        [json.loads(line) for line in given.out.read_text("utf-8").splitlines()]
        if given.out.is_file()
        else []
    )
    done = {row["name"] for row in rows}
    todo = [name for name in fnmatch.filter(CATALOGUE, given.match) if name not in done]
    random.Random(0).shuffle(todo)  # so that what is done at any time is a fair sample
    with given.out.open("a", encoding="utf-8") as file:
        for name in todo:
            rows.append(examine(name, sizes))
            file.write(json.dumps(rows[-1]) + "\n")
            file.flush()
            print(rows[-1], flush=True)
    kinds = Counter(
        "does not export"
        if "error" in row
        else "parity"
        if max(row["difference"], row["batch"]) <= 1e-4
        else "no parity"
        for row in rows
    )
    print(dict(kinds))


if __name__ == "__main__":
    main()
