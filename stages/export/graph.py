"""What is exported: a network with everything before and behind it that a graph can hold."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import torch
from torch import nn

from segmentation.tiles import flipped
from stages.errors import ModelError
from stages.export.resizing import resized
from stages.learners.model import Model
from stages.learners.network.model import NetworkModel
from stages.settings import PreprocessSettings

__all__ = ["INPUT", "OUTPUTS", "Whole", "about", "exported_program", "network_of", "outside"]

INPUT, OUTPUTS = "images", ("probabilities", "features")
_SIDES = 16, 12_000
_LEAST = 1e-12


class Whole(nn.Module):
    """Resizing, normalisation, network, mirror images, and the temperature of the calibration.

    Args:
        model: On a processor.
    """

    def __init__(self, model: NetworkModel) -> None:
        super().__init__()
        self.network = deepcopy(model.network).cpu().eval()
        self.size, self.fit = model.preprocess.settings.image_size, model.preprocess.settings.fit
        self.flips = model.flips
        self.temperature = model.calibration.certainty.temperature if model.calibration else 1.0

    def forward(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return calibrated probabilities (B, K) and features (B, F), float32, of images (B, H, W, 3) uint8 RGB."""
        votes, seen = [], []
        for _, view in flipped(resized(images, self.size, self.fit) / 255, self.flips):
            seen.append(self.network.features(view))
            votes.append(self.network.probabilities(self.network.head(seen[-1])))
        said = torch.stack(votes).mean(dim=0)
        return (said.clamp_min(_LEAST).log() / self.temperature).softmax(dim=1), seen[0]


def network_of(model: Model) -> NetworkModel:
    """Return a model that can be exported.

    Raises:
        ModelError: If it is no network.
    """
    if not isinstance(model, NetworkModel):
        raise ModelError(
            f"Expected a network to export, but got a model of kind {model.kind}; do export a stage that trained a network"
        )
    return model


def exported_program(
    module: nn.Module, example: torch.Tensor, sides: Any = None
) -> torch.export.ExportedProgram:
    """Return a graph of a module for any batch, height and width.

    Args:
        module: In evaluation mode.
        example: Images (2, H, W, 3) uint8.
        sides: Of torch.export, for height and width; 16 to 12,000 px if None.

    Raises:
        ModelError: If PyTorch cannot make one.
    """
    Dim = torch.export.Dim  # noqa: N806 - as PyTorch's own pages write it
    low, high = _SIDES
    height, width = sides or (Dim("height", min=low, max=high), Dim("width", min=low, max=high))
    try:
        with torch.inference_mode(False), torch.no_grad():
            return torch.export.export(
                module.eval(),
                (example,),
                dynamic_shapes=({0: Dim("batch", min=1, max=4096), 1: height, 2: width},),
            )
    except Exception as error:  # what its tracer raises is of many kinds
        raise ModelError(
            f"Expected the network to be one that `torch.export` can trace, but got: {str(error).splitlines()[0][:200]}; do choose another backbone"
        ) from error


def outside(settings: PreprocessSettings) -> list[str]:
    """Return the steps that an image goes through before the exported file gets it; nothing where bytes of a file will do."""
    steps = {
        "normalise": settings.normalise.method,
        "segment": settings.segment.method,
        "sharpen": settings.sharpen.method,
    }
    return [f"{name}: {method}" for name, method in steps.items() if method != "none"]


def about(model: NetworkModel, key: str) -> dict[str, str]:
    """Return what stands in an exported file beside its graph.

    Args:
        model: That is exported.
        key: Of its stage.
    """
    sure = model.calibration.certainty if model.calibration else None
    told = {
        "key": key,
        "classes": list(model.classes),
        "input": f"{INPUT}: (batch, height, width, 3) uint8 RGB, any size",
        "outputs": f"{OUTPUTS[0]}: (batch, {len(model.classes)}) calibrated, summing to 1; {OUTPUTS[1]}: (batch, {model.network.width})",
        "outside": outside(model.preprocess.settings),
        "inside": {
            "resize": model.preprocess.settings.fit, "size": model.preprocess.settings.image_size, "flips": model.flips,
            "mean": list(model.weights.mean), "std": list(model.weights.std), "temperature": sure.temperature if sure else 1.0,
        },
        "least": {name: one.least for name, one in zip(model.classes, sure.accepted, strict=True)} if sure else {},
        "unsure_below": sure.unsure_below if sure else None,
        "backbone": model.weights.backbone,
        "licence": model.weights.licence,
        "use": "research only; no medical device",
    }  # fmt: skip
    return {"mtl": json.dumps(told)}
