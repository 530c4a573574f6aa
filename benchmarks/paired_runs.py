"""Time `mtl benchmark` of paired repeats against as many independent `mtl run`s, in one go.

    python benchmarks/paired_runs.py [--repeats 10] [--fields 64] [--epochs 3]

Both sides do the same work on the same rendered smears: every repeat trains the chains 1,3 and 1,2,3 on its own split. Smears
are rendered and decoded before either clock starts; each side then begins with an empty cache of features and searches.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MTL = [sys.executable, "-c", "from mtl.cli.app import main; main()"]


def timed(commands: list[list[str]], folder: Path, cache: Path) -> float:
    """Return the seconds that the commands take one after the other."""
    for name in ("features", "copies"):
        shutil.rmtree(cache / name, ignore_errors=True)
    started = time.perf_counter()
    for command in commands:
        subprocess.run(
            [*MTL, *command], cwd=folder, check=True, env=os.environ | {"MTL_CACHE": str(cache)},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
    return time.perf_counter() - started


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--fields", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=3)
    given = parser.parse_args()
    shared = [
        "--epochs", str(given.epochs), "--set", f"rendering.fields={given.fields}", "--set", f"rendering.crops={given.fields}",
        "--set", f"rendering.slides={given.fields // 3}",
    ]  # fmt: skip
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cache = folder / "cache"
        timed([["run", "--epochs", "1", "--name", "warm", *shared[2:]]], folder, cache)
        runs = [
            [
                "run",
                "--stages",
                chain,
                "--against",
                "none",
                "--seed",
                str(seed),
                "--name",
                f"{chain.replace(',', '-')}-seed{seed}",
                *shared,
            ]
            for seed in range(given.repeats)
            for chain in ("1,3", "1,2,3")
        ]
        paired = timed(
            [["benchmark", "--chains", "1,3", "1,2,3", "--repeats", str(given.repeats), *shared]],
            folder,
            cache,
        )
        alone = timed(runs, folder, cache)
    print("| what | seconds |\n|---|---|")
    print(f"| `mtl benchmark`, {given.repeats} paired repeats, {os.cpu_count()} workers | {paired:.0f} |")
    print(f"| {len(runs)} independent `mtl run`s, one after the other | {alone:.0f} |")
    print(f"| ratio | {paired / alone:.2f} |")


if __name__ == "__main__":
    main()
