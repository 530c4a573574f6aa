"""Deep features: what the backbone of the stage before says of an image (paper E's hybrids)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from segmentation.engine import pick_device
from segmentation.files import write_tensors
from segmentation.settings import Hardware
from stages.errors import ModelError
from stages.learners.classical.features.view import Floats, Image
from stages.learners.network.backbones import rebuild_backbone
from stages.learners.network.loading import backbone_fingerprint, load_state, match_state
from stages.learners.network.network import Network
from stages.learners.network.weights import WeightRecord
from stages.settings import HeadSettings

__all__ = ["BACKBONE_FILE", "DeepFeatures"]

BACKBONE_FILE = "backbone.safetensors"
_AT_ONCE = 16


class DeepFeatures:
    """A frozen backbone with its normalisation, in 32 bits: the same features on every machine that trains or predicts.

    Args:
        weights: Where the backbone came from.
        file: Weights of the stage that leaves it.
        pool: Global pooling, `"avg"` or `"max"`.
        size: Side of the images in px.
        hardware: What to compute on.
    """

    def __init__(
        self, weights: WeightRecord, file: Path, pool: str, size: int, hardware: Hardware | None = None
    ) -> None:
        self.weights = weights
        self.file = file
        self.pool = pool
        self.size = size
        self.hardware = hardware or Hardware()

    @cached_property
    def key(self) -> str:
        """The backbone, bit for bit, and how it is pooled."""
        return f"{backbone_fingerprint(self.file)}|{self.weights.mean}|{self.weights.std}|{self.pool}"

    @cached_property
    def _network(self) -> Network:
        backbone = rebuild_backbone(self.weights, self.pool, self.size)
        match_state(backbone, load_state(self.file), self.file.parent.name)
        network = Network(backbone, self.weights, HeadSettings(), ("", ""))  # whose head is not asked
        return network.to(pick_device(self.hardware)).eval()

    @property
    def width(self) -> int:
        """F."""
        return self._network.width

    @torch.inference_mode()
    def __call__(self, images: Image, told: Callable[[int, int], None] | None = None) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8.

        Args:
            images: Of the size that was said.
            told: Called with (done, N).
        """
        device = next(self._network.parameters()).device
        rows = [np.empty((0, self.width))]
        for start in range(0, len(images), _AT_ONCE):
            batch = torch.from_numpy(np.array(images[start : start + _AT_ONCE])).to(device)
            pixels = batch.permute(0, 3, 1, 2).float() / 255
            rows.append(self._network.features(pixels).double().cpu().numpy())
            if told:
                told(min(start + _AT_ONCE, len(images)), len(images))
        return np.concatenate(rows)

    def state(self) -> dict[str, Any]:
        """Return what `model.json` holds of it."""
        return {"weights": self.weights.model_dump(mode="json"), "pool": self.pool, "size": self.size}

    def save(self, folder: Path) -> None:
        """Write the backbone beside a model.

        Raises:
            WriteError: If it cannot be written.
        """
        state = {f"backbone.{key}": value.cpu() for key, value in self._network.backbone.state_dict().items()}
        write_tensors(folder / BACKBONE_FILE, state)

    @classmethod
    def load(cls, folder: Path, state: Mapping[str, Any]) -> Self:
        """Return what `state` and `save` wrote.

        Raises:
            ModelError: If the weights are not there.
        """
        if not (folder / BACKBONE_FILE).is_file():
            raise ModelError(
                f"Expected {folder} to hold a model, but its {BACKBONE_FILE} is not there; do train it again"
            )
        weights = WeightRecord.model_validate(state["weights"])
        return cls(weights, folder / BACKBONE_FILE, str(state["pool"]), int(state["size"]))
