"""What a frozen backbone says of an image at several depths: middle layers see texture and nuclei, last ones ImageNet's things."""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from stages.errors import ModelError
from stages.learners.model import Floats, Image
from stages.learners.network.network import Network, depth_groups

__all__ = ["DepthFeatures", "grey_world", "layers_between"]

_AT_ONCE = 16
_GROUND = 170.0
"""Grey level that grey-world moves the mean of every channel to; smears are bright."""


def grey_world(images: Image) -> Image:
    """Return images whose channels have one mean each: what a stain's or a lamp's tint adds is taken away.

    Every image by itself, so a test image needs no others (Buchsbaum 1980).

    Args:
        images: (N, H, W, 3) uint8 RGB.

    Returns:
        (N, H, W, 3) uint8.
    """
    mean = images.mean(axis=(1, 2), keepdims=True, dtype=np.float32).clip(1)
    moved: Image = (images * (np.float32(_GROUND) / mean)).clip(0, 255).astype(np.uint8)
    return moved


_VIEWS: dict[str, Callable[[Image], Image]] = {"plain": lambda images: images, "grey-world": grey_world}


def layers_between(backbone: nn.Module, first: float, last: float) -> list[str]:
    """Return the names of the layers whose output ends a depth group between two depths, the shallowest first.

    Args:
        backbone: Of `stages.learners.network.backbones`.
        first: From where, 0 is the first group.
        last: To where, 1 is the last group.

    Raises:
        ModelError: If the backbone has no layer there that holds a whole group.
    """
    known = dict(backbone.named_modules())
    names = [_common(group) for group in depth_groups(backbone)]
    count = max(len(names) - 1, 1)
    chosen = [
        name for place, name in enumerate(names) if name in known and name and first <= place / count <= last
    ]
    if not chosen:
        raise ModelError(
            f"Expected `stacked.depths` to hold a layer of {type(backbone).__name__}, but {first:g} to {last:g} holds none; do widen it"
        )
    return chosen


def _common(names: Sequence[str]) -> str:
    """Return the innermost module that holds all parameters of these names."""
    return posixpath.commonpath([name.replace(".", "/") for name in names]).replace("/", ".")


class DepthFeatures:
    """Mean and standard deviation over the field of every channel of several layers, for every view.

    Args:
        network: Gives backbone and normalisation; on the device that it shall compute on.
        layers: Names of layers of the backbone.
        views: `plain` or `grey-world`, in the order of the features.
    """

    def __init__(self, network: Network, layers: Sequence[str], views: Sequence[str]) -> None:
        self.network = network.eval()
        self.layers = tuple(layers)
        self.views = tuple(views)
        self._known: dict[bytes, Floats] = {}

    def remember(self, images: Image, features: Floats) -> None:
        """Keep the features (N, F) of images (N, S, S, 3), so that they are not computed again while this object lives."""
        self._known |= {_digest(image): row for image, row in zip(images, features, strict=True)}

    @torch.inference_mode()
    def __call__(self, images: Image, told: Callable[[int, int], None] | None = None) -> Floats:
        """Return features (N, F) of prepared images (N, S, S, 3) uint8, computed in 32 bits.

        Args:
            images: As the preprocessing leaves them.
            told: Called with (done, N).
        """
        if not len(images):
            return np.empty((0, self(np.zeros((1, *images.shape[1:]), np.uint8)).shape[1]))
        rows = [self._known.get(_digest(image)) for image in images] if self._known else [None] * len(images)
        todo = [place for place, row in enumerate(rows) if row is None]
        for start in range(0, len(todo), _AT_ONCE):
            places = todo[start : start + _AT_ONCE]
            batch = np.array(images[places])
            found = np.concatenate([self._described(_VIEWS[view](batch)) for view in self.views], axis=1)
            for place, row in zip(places, found.astype(np.float64), strict=True):
                rows[place] = row
            if told:
                told(len(images) - len(todo) + start + len(batch), len(images))
        return np.stack([row for row in rows if row is not None])

    def _described(self, images: Image) -> npt.NDArray[np.float32]:
        found: list[torch.Tensor] = []

        def keep(_module: nn.Module, _given: Any, output: torch.Tensor) -> None:
            found.append(_pooled(output))
            if len(found) == len(self.layers):
                raise _Enough  # deeper layers are not asked

        layers = dict(self.network.backbone.named_modules())
        hooks = [layers[name].register_forward_hook(keep) for name in self.layers]
        device = next(self.network.parameters()).device
        try:
            self.network.features(torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float() / 255)
        except _Enough:
            pass
        finally:
            for hook in hooks:
                hook.remove()
        described: npt.NDArray[np.float32] = torch.cat(found, dim=1).cpu().numpy()
        return described


def _digest(image: Image) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).digest()


class _Enough(Exception):  # noqa: N818 - no error: it ends a pass through the backbone early
    pass


def _pooled(output: torch.Tensor) -> torch.Tensor:
    # (B, C, H, W) of convolutions, (B, T, C) of transformers.
    flat = output.flatten(2) if output.ndim == 4 else output.transpose(1, 2)
    return torch.cat([flat.mean(dim=2), flat.std(dim=2, correction=0)], dim=1)
