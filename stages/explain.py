"""Where a network looked: Grad-CAM and occlusion (captum) on the image as the network saw it, and whether the maps mean anything.

A map that stays the same when the weights are shuffled shows the picture and not what was learned (Adebayo et al. 2018).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Lock

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stages.errors import ModelError
from stages.learners.model import Floats, Image, Model
from stages.learners.network.model import NetworkModel
from stages.learners.network.network import Network

__all__ = ["GRAD_CAM", "OCCLUSION", "Explainer", "Explanation", "side_by_side"]

GRAD_CAM, OCCLUSION = "Grad-CAM", "occlusion"
_WINDOW, _STRIDE = 3, 6  # parts of the image's side: 25 places
_AT_ONCE = 16
Map = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Explanation:
    """Where a network looked.

    Attributes:
        label: The class that is explained.
        image: As the network saw it, (S, S, 3) uint8 RGB.
        maps: By method, (S, S): what speaks for the class, 0 to 1; all 0 where nothing does.
    """

    label: str
    image: Image
    maps: Mapping[str, Map]


class Explainer:
    """Explains a model, on a copy of its network; threads take turns.

    Args:
        model: With a network.

    Raises:
        ModelError: If it has none.
    """

    def __init__(self, model: Model) -> None:
        if not isinstance(model, NetworkModel):
            raise ModelError(
                f"Expected a network to explain, but got a model of kind {model.kind}; do explain a stage that trained a network"
            )
        self.model = model
        self._network = copy.deepcopy(model.network).eval()
        self._lock = Lock()
        size = model.preprocess.settings.image_size
        self._layer = _last_map(self._network, torch.zeros(1, 3, size, size, device=model.device))

    def explain(self, image: Image, label: str | None = None) -> Explanation:
        """Explain one image (H, W, 3) uint8 RGB of any size.

        Args:
            image: As it comes from a file.
            label: The class to explain; the most probable one if None.
        """
        prepared = self.model.preprocess(image)
        return self.explain_prepared(prepared, label)

    def explain_prepared(self, prepared: Image, label: str | None = None) -> Explanation:
        """Explain one prepared image (S, S, 3) uint8 RGB; see `explain`."""
        classes = self.model.classes
        chosen = label or classes[int(self.model.prepared_probabilities(prepared[None])[0].argmax())]
        with self._lock:
            found = _maps(self._network, self._layer, prepared, classes.index(chosen))
        return Explanation(chosen, prepared, {name: _scaled(one) for name, one in found.items()})

    def sanity(self, explained: Sequence[Explanation], seed: int = 0) -> dict[str, float]:
        """Return how alike maps stay when all weights are shuffled, by method: 1 the same, 0 nothing in common.

        Args:
            explained: Of this explainer.
            seed: Of the shuffling.

        Returns:
            Mean absolute Spearman rank correlation over the images; NaN where maps are flat.
        """
        shuffled = _shuffled(self._network, seed)
        layer = _module(shuffled, self._layer_name())
        found: dict[str, list[float]] = {}
        for one in explained:
            other = _maps(shuffled, layer, one.image, self.model.classes.index(one.label))
            for name, own in one.maps.items():
                found.setdefault(name, []).append(_alike(own, _scaled(other[name])))
        return {name: _mean(values) for name, values in found.items()}

    def _layer_name(self) -> str | None:
        return next((name for name, one in self._network.named_modules() if one is self._layer), None)


def side_by_side(explained: Explanation, side: int = 224) -> Image:
    """Return the image and each map laid over it, in a row.

    Args:
        explained: What is shown.
        side: Of each picture in px.

    Returns:
        (side, about side x pictures, 3) uint8 RGB.
    """
    image = cv2.resize(explained.image, (side, side), interpolation=cv2.INTER_CUBIC)
    pictures = [image]
    for one in explained.maps.values():
        large = cv2.resize(one.astype(np.float32), (side, side), interpolation=cv2.INTER_LINEAR)
        heat = cv2.applyColorMap((large * 255).astype(np.uint8), cv2.COLORMAP_VIRIDIS)[:, :, ::-1]
        weight = 0.15 + 0.5 * large[..., None]
        pictures.append(np.asarray(image * (1 - weight) + heat * weight, np.uint8))
    gap = np.full((side, 4, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(row, axis=1)


def _maps(network: Network, layer: nn.Module | None, prepared: Image, target: int) -> dict[str, Map]:
    from captum.attr import LayerAttribution, LayerGradCam, Occlusion

    device = next(network.parameters()).device
    size = prepared.shape[0]
    pixels = torch.from_numpy(np.array(prepared)).permute(2, 0, 1)[None].to(device).float() / 255
    forward = _scores(network)
    found = {}
    if layer is not None:
        with torch.enable_grad():
            coarse = LayerGradCam(forward, layer).attribute(
                pixels.clone().requires_grad_(True), target=target, relu_attributions=True
            )
        fine = LayerAttribution.interpolate(coarse, (size, size), interpolate_mode="bilinear")
        found[GRAD_CAM] = fine.detach()[0, 0].double().cpu().numpy()
    window, stride = math.ceil(size / _WINDOW), math.ceil(size / _STRIDE)
    with torch.inference_mode():
        hidden = Occlusion(forward).attribute(
            pixels,
            sliding_window_shapes=(3, window, window),
            strides=(3, stride, stride),
            baselines=pixels.mean(dim=(2, 3), keepdim=True).expand_as(pixels),
            target=target,
            perturbations_per_eval=_AT_ONCE,
        )
    found[OCCLUSION] = hidden[0].mean(dim=0).double().cpu().numpy()
    return found


def _scores(network: Network) -> Callable[[torch.Tensor], torch.Tensor]:
    def forward(images: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = network(images)
        return torch.cat([-logits, logits], dim=1) if logits.shape[1] == 1 else logits

    return forward


def _last_map(network: Network, images: torch.Tensor) -> nn.Module | None:
    """Return the last module of the backbone that gives maps (B, C, h, h); None where tokens (B, N, C) follow: a transformer."""
    called: list[tuple[nn.Module, tuple[int, ...]]] = []

    def note(module: nn.Module, _: object, found: object) -> None:
        if isinstance(found, torch.Tensor):
            called.append((module, tuple(found.shape)))

    handles = [module.register_forward_hook(note) for module in network.backbone.modules()]
    try:
        with torch.inference_mode():
            network(images)
    finally:
        for handle in handles:
            handle.remove()
    maps = [place for place, (_, size) in enumerate(called) if len(size) == 4 and size[2] == size[3] > 1]
    if not maps or any(len(size) == 3 for _, size in called[maps[-1] :]):
        return None
    return called[maps[-1]][0]


def _shuffled(network: Network, seed: int) -> Network:
    # Shuffled and not drawn anew: sizes stay what the layers behind expect.
    other = copy.deepcopy(network)
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for value in other.parameters():
            order = torch.randperm(value.numel(), generator=random).to(value.device)
            value.copy_(value.flatten()[order].view_as(value))
    return other


def _module(network: Network, name: str | None) -> nn.Module | None:
    return None if name is None else network.get_submodule(name)


def _scaled(one: Map) -> Map:
    positive = np.maximum(one, 0)
    top = float(positive.max())
    return positive / top if top > 0 else positive


def _alike(one: Map, other: Map) -> float:
    from scipy.stats import spearmanr

    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return abs(float(spearmanr(one.ravel(), other.ravel()).statistic))


def _mean(values: Floats | Sequence[float]) -> float:
    known = np.asarray(values, np.float64)
    known = known[np.isfinite(known)]
    return float(known.mean()) if len(known) else float("nan")
