"""What it saves to keep freed memory in the process: a backbone trained and used with and without, side by side.

    python benchmarks/freed_memory.py

Every measurement is a process of its own, on one thread, in time of the processor; the two kinds take turns. Images are noise:
only time is measured.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np

from stages.memory import keep_freed_memory


def measure(backbone: str, size: int, batch_size: int, steps: int, keep: bool) -> dict[str, float]:
    """Return seconds of a training step and of a batch's prediction."""
    if keep and not keep_freed_memory():
        sys.exit(
            "this C library cannot be told to keep freed memory, or the environment already tells it what to do"
        )
    import timm
    import torch

    torch.set_num_threads(1)
    network = timm.create_model(backbone, num_classes=4)
    optimizer = torch.optim.AdamW(network.parameters())
    images, classes = torch.randn(batch_size, 3, size, size), torch.randint(0, 4, (batch_size,))

    def train() -> None:
        optimizer.zero_grad(set_to_none=True)
        loss = torch.nn.functional.cross_entropy(network(images), classes)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    def predict() -> None:
        with torch.inference_mode():
            network(images)

    found = {}
    for name, task in (("training", train), ("prediction", predict)):
        if name == "prediction":
            network.eval()
        task()
        started = time.process_time()
        for _ in range(steps):
            task()
        found[name] = (time.process_time() - started) / steps
    return found


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backbone", default="tf_efficientnet_lite0")
    parser.add_argument("--image-size", type=int, default=128)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--one", choices=("kept", "freed"), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        found = measure(given.backbone, given.image_size, given.batch_size, given.steps, given.one == "kept")
        print(json.dumps(found))
        return
    times: dict[str, list[dict[str, float]]] = {"kept": [], "freed": []}
    for _ in range(given.repeats):
        for how, rows in times.items():
            command = [sys.executable, *sys.argv, "--one", how]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            rows.append(json.loads(done.stdout))
    print(
        f"{given.backbone}, {given.batch_size} images of {given.image_size} px, median of {given.repeats} processes each"
    )
    for task in ("training", "prediction"):
        kept, freed = (float(np.median([row[task] for row in times[how]])) for how in ("kept", "freed"))
        print(f"{task}: {freed:.3f} s as it comes, {kept:.3f} s kept, ratio {kept / freed:.2f}")


if __name__ == "__main__":
    main()
