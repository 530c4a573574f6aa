"""Many clients at once: zero errors, memory that stays, and the slowest twentieth beside one request alone.

    mtl serve --run runs/default --port 8000 &
    python benchmarks/serving/load.py http://127.0.0.1:8000 smear.jpg --pid $! [--clients 32] [--uploads 20]

Each client uploads the image and waits for its answer, so that the queue is as long as there are clients less one: the median is about that
many requests alone. Memory is the server's resident set after each round of all clients; the first rounds fill its caches.
"""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import psutil


def main() -> None:
    """Ask, and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url")
    parser.add_argument("image", type=Path)
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--uploads", type=int, default=20)
    given = parser.parse_args()
    data, server = given.image.read_bytes(), psutil.Process(given.pid)
    errors: list[str] = []

    def ask(client: httpx.Client) -> float:
        begun = time.perf_counter()
        try:
            answer = client.post(f"{given.url}/api/predict", files=[("files", (given.image.name, data))])
            if answer.status_code != 200 or not answer.json()["fields"]:
                errors.append(f"{answer.status_code} {answer.text[:200]}")
        except httpx.HTTPError as error:
            errors.append(repr(error))
        return time.perf_counter() - begun

    with httpx.Client(timeout=3600) as alone:
        ask(alone)  # warms up
        single = sorted(ask(alone) for _ in range(5))
    clients = [httpx.Client(timeout=3600) for _ in range(given.clients)]
    taken: list[float] = []
    memory: list[float] = []
    begun = time.perf_counter()
    with ThreadPoolExecutor(given.clients) as pool:
        for _ in range(given.uploads):
            taken += pool.map(ask, clients)
            memory.append(server.memory_info().rss / 1e6)
    total = time.perf_counter() - begun
    for client in clients:
        client.close()
    half = memory[len(memory) // 2 :]
    print(f"one alone: median {single[2]:.2f} s")
    print(
        f"{given.clients} clients x {given.uploads} uploads: {len(taken)} answers, {len(errors)} errors, {len(taken) / total:.2f} a second"
    )
    print(
        f"median {np.median(taken):.2f} s, p95 {np.quantile(taken, 0.95):.2f} s: {np.quantile(taken, 0.95) / single[2] / given.clients:.2f} times {given.clients} requests one after the other"
    )
    print(f"memory MB by round: {', '.join(f'{one:.0f}' for one in memory)}")
    print(f"second half: {half[0]:.0f} to {half[-1]:.0f} MB ({(half[-1] / half[0] - 1):+.1%})")
    print("\n".join(errors[:3]))
    sys.exit(1 if errors else 0)


if __name__ == "__main__":
    main()
