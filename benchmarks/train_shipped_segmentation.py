"""Render smears, train the shipped segmentation network on them alone, and write weights and card.

    python benchmarks/train_shipped_segmentation.py --work /tmp/shipped-segmentation

No real image gives a gradient or chooses a weight: the last averaged weights are shipped. Resumes where it was stopped.
`benchmarks/segmentation_real.py --card` measures the result and writes the scores into the card.
"""

import argparse
import math
import time
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch

from segmentation.augment import ColourSettings
from segmentation.crops import CropSettings
from segmentation.networks import NetworkRecipe, create_network
from segmentation.training import TrainSettings, train_network
from segmentation.weights import SHIPPED, ModelCard, save_network
from stages.data.smears import make_slide, render_field

SIDE = 320
PIXELS_PER_UM = (
    3.3,
    9.5,
)  # a white cell of 12 um is 40 to 114 pixels across; crops magnify by 0.5 to 1.4 on top
DIAGNOSES = (("normal", 0.55), ("L1", 0.15), ("L2", 0.15), ("L3", 0.15))


def render(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Render fields, each of a slide of its own.

    Args:
        count: Fields N.
        seed: Seed of everything.

    Returns:
        (N, 320, 320, 3) uint8 RGB and (N, 320, 320) uint8 labels 0, 1, 2.
    """
    images = np.empty((count, SIDE, SIDE, 3), np.uint8)
    labels = np.empty((count, SIDE, SIDE), np.uint8)
    rng = np.random.default_rng([seed, 77])
    names, parts = zip(*DIAGNOSES, strict=True)
    started = time.time()
    for number in range(count):
        # Real fields are often more crowded than the renderer's default slides: red cells touch white ones everywhere.
        slide = replace(
            make_slide(seed, number),
            red_cover=float(rng.uniform(0.15, 0.75)),
            overlap=float(rng.uniform(0.0, 0.5)),
        )
        scale = math.exp(rng.uniform(*(math.log(limit) for limit in PIXELS_PER_UM)))
        field = render_field(str(rng.choice(names, p=parts)), slide, number, SIDE, SIDE, scale)
        images[number] = field.image
        labels[number] = field.cytoplasm + np.uint8(2) * field.nucleus
        if number % 200 == 199:
            print(f"rendered {number + 1}/{count} ({time.time() - started:.0f} s)", flush=True)
    return images, labels


def rendered(folder: Path, count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    file = folder / f"fields-{count}-{seed}.npz"
    if not file.exists():
        images, labels = render(count, seed)
        temporary = file.with_suffix(".tmp.npz")
        np.savez(temporary, images=images, labels=labels)
        temporary.replace(file)
    with np.load(file) as arrays:
        return arrays["images"], arrays["labels"]


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
    parser.add_argument("--precision", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument(
        "--work", type=Path, required=True, help="folder of rendered fields and the checkpoint"
    )
    parser.add_argument("--out", type=Path, default=SHIPPED)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.work.mkdir(parents=True, exist_ok=True)
    images, labels = rendered(given.work, given.fields, given.seed)
    settings = TrainSettings(
        steps=given.steps,
        batch_size=given.batch_size,
        precision=given.precision,
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
        device=given.device,
        checkpoint=given.work / "training.ckpt",
        progress=lambda step, loss, _: print(
            f"step {step} loss {loss:.4f} {time.time() - started:.0f} s", flush=True
        ),
    )
    card = ModelCard(
        name="residual-unet-rendered-smears",
        recipe=network.recipe,
        data=f"{given.fields} rendered blood smears (stages.data.smears, seed {given.seed}), a slide each; no patient data",
        licence="Apache-2.0",
        training=asdict(settings) | {"last_loss": round(trained.losses[-1], 4)},
        notes="Not for diagnosis. Inputs are white-balanced (segmentation.light) and scaled to cells of 60 px across.",
    )
    given.out.parent.mkdir(parents=True, exist_ok=True)
    save_network(network, given.out, card)
    print(f"wrote {given.out} ({given.out.stat().st_size / 1e6:.2f} MB)")


if __name__ == "__main__":
    main()
