"""Every backbone that a name can mean: does it start at its own size, and at another; is a refusal true?

    python benchmarks/backbones_all.py --out backbones.jsonl [--workers 2] [--size 96] [--match 'vit_*']

Nothing is computed: all passes are on the meta device. A name passes where it starts at its native size and, at `--size`, starts too or is
refused in one sentence whose first size then starts. Stopped, the same command goes on. 2 idle cores: about half an hour for 1,416 names.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import multiprocessing
import random
import re
import time
import warnings
from collections import Counter
from pathlib import Path
from typing import Any


def examine(name: str, size: int) -> dict[str, Any]:
    """Start one backbone at its native size and at another."""
    from stages.errors import ModelError
    from stages.learners.network.architectures import Architecture, fit_size, native_size

    begun = time.perf_counter()
    architecture = Architecture(name)
    native = native_size(architecture)
    row: dict[str, Any] = {"name": name, "native": native, "width": None, "other": None, "sentence": ""}
    try:
        row["width"] = fit_size(architecture, "avg", native).width
        row["other"] = fit_size(architecture, "avg", size).width
    except ModelError as error:
        row["sentence"] = str(error)
        named = re.findall(r"\d+", str(error).rpartition("do give")[2])
        row["true"] = bool(named)
        for side in named:
            try:
                fit_size(architecture, "avg", int(side))
            except ModelError:
                row["true"] = False
    except Exception as error:  # what is no sentence of ours is what this script looks for
        row["sentence"] = row["traceback"] = f"{type(error).__name__}: {error}"
    row["seconds"] = round(time.perf_counter() - begun, 2)
    return row


def work(task: tuple[str, int]) -> dict[str, Any]:
    """Examine in a worker, without the libraries' warnings."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    return examine(*task)


def main() -> None:
    """Examine every name that matches, and count."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--size", type=int, default=96)
    parser.add_argument("--match", default="*")
    given = parser.parse_args()
    from stages.learners.network.names import known_backbones

    rows = (
        [json.loads(line) for line in given.out.read_text("utf-8").splitlines()]
        if given.out.is_file()
        else []
    )
    done = {row["name"] for row in rows}
    todo = [(name, given.size) for name in fnmatch.filter(known_backbones(), given.match) if name not in done]
    random.Random(0).shuffle(todo)  # so that what is done at any time is a fair sample
    context = multiprocessing.get_context("spawn")
    with (
        context.Pool(given.workers, maxtasksperchild=50) as pool,
        given.out.open("a", encoding="utf-8") as file,
    ):
        for row in pool.imap_unordered(work, todo):
            rows.append(row)
            file.write(json.dumps(row) + "\n")
            file.flush()
    kinds = Counter(
        "traceback" if "traceback" in row
        else "starts at both sizes" if row["other"]
        else "does not start" if row["width"] is None
        else "refused at this size, and starts at the size named" if row["true"]
        else "refused at this size, with a size that does not start"
        for row in rows
    )  # fmt: skip
    for kind, count in kinds.most_common():
        print(f"{count:5}  {kind}")
    for row in rows:
        if row["width"] is None or "traceback" in row or not row.get("true", True):
            print(f"{row['name']}: {row['sentence']}")


if __name__ == "__main__":
    main()
