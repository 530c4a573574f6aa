"""Run the experiments on real smears behind docs/results.md and print their table.

    MTL_REALDATA=... python benchmarks/real_data.py [--seeds 3] [--only NAME]

Every experiment is an `mtl run`; stop this script at any time and start it again, finished stages are reused. Two runs of
one thread each go on side by side, which small backbones use better than one run of two threads.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import mean
from typing import Any

RUNS = Path("runs/real")
NETWORK = ["--learner", "network", "--set", "multi_cell.preprocess.image_size=128"]
EXPERIMENTS: dict[str, tuple[str, list[str]]] = {
    "pbc-taleqani, last quarter tested": ("pbc-taleqani", NETWORK),
    "pbc-taleqani, first half tested": (
        "pbc-taleqani",
        [*NETWORK, "--set", "multi_cell.split.reverse=true", "--set", "multi_cell.split.test=0.5"],
    ),
    "pbc, 8 classes": ("pbc", []),
    "pbc, lymphocyte or other": ("pbc-lymphocyte", []),
    "wbc Dataset 1, 4 classes": ("wbc", []),
    "wbc Dataset 2, 3 classes": (
        "wbc2",
        [],
    ),
}


def run(name: str, seed: int) -> dict[str, Any]:
    """Run one experiment and return what `--json` printed."""
    config, more = EXPERIMENTS[name]
    folder = f"{name.replace(', ', '-').replace(' ', '_')}-seed{seed}"
    command = [
        sys.executable, "-c", "from mtl.cli.app import main; main()", "run", "--config", config, "--seed", str(seed),
        "--name", folder, "--runs", str(RUNS), "--json", *more,
    ]  # fmt: skip
    one = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=one)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def rows(name: str, results: list[dict[str, Any]]) -> list[str]:
    """Return Markdown rows: one for every chain's last stage, scores of all seeds."""
    lines = []
    for chain in results[0]["stages"]:
        ends = [result["stages"][chain][-1] for result in results]
        scores = [end["evaluation"]["headline"] for end in ends]
        colour = [
            max(base["headline"]["macro_f1"]["value"] for base in end["baselines"].values()) for end in ends
        ]
        accuracy, f1 = (
            " ".join(f"{score[key]['value']:.3f}" for score in scores) for key in ("accuracy", "macro_f1")
        )
        average = mean(score["macro_f1"]["value"] for score in scores)
        seconds = mean(end["seconds"] for end in ends)
        n = ends[0]["evaluation"]["n"]
        lines.append(
            f"| {name} | {chain} | {n} | {accuracy} | {f1} | {average:.3f} | {mean(colour):.3f} | {seconds:.0f} |"
        )
    return lines


def main() -> None:
    """Run all and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", default="", help="run only experiments whose name holds this")
    given = parser.parse_args()
    table = [
        "| experiment | chain | test images | accuracy (a seed each) | macro-F1 (a seed each) | mean macro-F1 | colour alone, best macro-F1 | s a stage |",
        "|---|---|---|---|---|---|---|---|",
    ]
    chosen = [name for name in EXPERIMENTS if given.only in name]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = {name: [pool.submit(run, name, seed) for seed in range(given.seeds)] for name in chosen}
        for name, done in results.items():
            table += rows(name, [one.result() for one in done])
            print(table[-1], file=sys.stderr)
    print("\n".join(table))


if __name__ == "__main__":
    main()
