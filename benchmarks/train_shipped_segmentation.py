"""Render smears, train the shipped segmentation network on them alone, and write weights and card.

    python benchmarks/train_shipped_segmentation.py --work /tmp/shipped-segmentation

No real image gives a gradient or chooses a weight: the last averaged weights are shipped. Resumes where it was stopped.
`benchmarks/segmentation_real.py --card` measures the result and writes the scores into the card.
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch

from segmentation.augment import ColourSettings
from segmentation.crops import CropSettings
from segmentation.files import write_whole
from segmentation.networks import NetworkRecipe, create_network
from segmentation.settings import Hardware
from segmentation.training import TrainSettings, train_network
from segmentation.weights import SHIPPED, ModelCard, save_network
from stages.data.smears import render_masked
from stages.memory import keep_freed_memory


def rendered(folder: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    file = folder / f"fields-{count}-{seed}.npz"
    if not file.exists():
        started = time.time()
        images, labels = render_masked(count, seed, told=lambda done, total: tell(done, total, started))
        write_whole(file, lambda temporary: save(temporary, images, labels))
    with np.load(file) as arrays:
        return arrays["images"], arrays["labels"]


def save(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    with path.open("wb") as stream:  # an open file, because a path would get a suffix
        np.savez(stream, images=images, labels=labels)


def tell(done: int, total: int, started: float) -> None:
    if done % 200 == 0:
        print(f"rendered {done}/{total} ({time.time() - started:.0f} s)", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--fields", type=int, default=2400)
    parser.add_argument("--steps", type=int, default=1200)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--width", type=int, default=16)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--seed", type=int, default=11)
    parser.add_argument("--precision", default="bf16-mixed", help="Lightning's word")
    parser.add_argument("--accelerator", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of rendered fields and the checkpoint"
    )
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    keep_freed_memory()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    images, labels = rendered(given.work, given.fields, given.seed)
    settings = TrainSettings(
        steps=given.steps,
        batch_size=given.batch_size,
        seed=given.seed,
        every=50,
        crops=CropSettings(size=112, scale=(0.5, 1.4), on_cells=0.6),
        colours=ColourSettings(),
    )
    torch.manual_seed(given.seed)
    network = create_network(NetworkRecipe(width=given.width, depth=given.depth))
    started = time.time()
    trained = train_network(
        network,
        list(zip(images, labels, strict=True)),
        settings,
        hardware=Hardware(accelerator=given.accelerator, precision=given.precision),
        folder=given.work / "training",
        progress=lambda step, total, text: (
            None
            if step % settings.every
            else print(f"step {step}/{total} {text} {time.time() - started:.0f} s", flush=True)
        ),
    )
    card = ModelCard(
        name="residual-unet-rendered-smears",
        recipe=network.recipe,
        data=f"{given.fields} rendered blood smears (stages.data.smears, seed {given.seed}), a slide each; no patient data",
        licence="Apache-2.0",
        training=settings.model_dump() | {"last_loss": round(trained.losses[-1], 4)},
        notes="Not for diagnosis. Inputs are white-balanced (segmentation.light) and scaled to cells of 60 px across.",
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, given.out, card)
    print(f"wrote {given.out} ({given.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
