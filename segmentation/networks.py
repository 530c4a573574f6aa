"""Segmentation networks by name, behind one interface: images in [0, 1] of any size in, logits of that size out."""

from __future__ import annotations

import difflib
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from copy import deepcopy
from dataclasses import dataclass
from typing import Final, cast
from urllib.parse import urlparse

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segmentation.errors import ModelError
from segmentation.residual_unet import ResidualBlock, ResidualUNet

__all__ = [
    "CLASSES",
    "RESIDUAL_UNET",
    "NetworkRecipe",
    "SegmentationNetwork",
    "architectures",
    "create_network",
    "fused",
    "reachable",
]

RESIDUAL_UNET: Final = "residual-unet"
CLASSES: Final = ("background", "cytoplasm", "nucleus")
_SMP_MULTIPLE = 32


@dataclass(frozen=True)
class NetworkRecipe:
    """Everything that is needed to build a network before its weights are loaded.

    Attributes:
        architecture: `residual-unet`, or one of segmentation-models-pytorch such as `unet` or `fpn`.
        encoder: Name of the encoder, such as `resnet18`; only for segmentation-models-pytorch.
        width: Channels at full size; only for `residual-unet`.
        depth: Poolings; only for `residual-unet`.
        deep_supervision: Loss at coarser levels too; only for `residual-unet`.
        mean: Mean of red, green and blue that inputs are normalised by.
        std: Standard deviation of red, green and blue that inputs are normalised by.
    """

    architecture: str = RESIDUAL_UNET
    encoder: str | None = None
    width: int = 16
    depth: int = 4
    deep_supervision: bool = False
    mean: tuple[float, float, float] = (0.75, 0.70, 0.80)
    std: tuple[float, float, float] = (0.22, 0.25, 0.18)


class SegmentationNetwork(nn.Module):
    """Normalisation, padding and network in one module.

    Args:
        body: Images (B, 3, H, W), normalised, H and W multiples of `multiple`, to logits (B, K, H, W).
        recipe: What the body was built from.
        multiple: What heights and widths must be divisible by.
    """

    def __init__(self, body: nn.Module, recipe: NetworkRecipe, multiple: int) -> None:
        super().__init__()
        self.body = body
        self.recipe = recipe
        self.multiple = multiple
        self.mean: torch.Tensor
        self.std: torch.Tensor
        self.register_buffer("mean", torch.tensor(recipe.mean).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(recipe.std).view(1, 3, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return logits (B, K, H, W) of images (B, 3, H, W) float32 in [0, 1], of any height and width."""
        height, width = images.shape[2:]
        logits: torch.Tensor = self.body(self._prepared(images))
        return logits[..., :height, :width]

    def forward_levels(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Return logits of every supervised level, the finest first; H and W must be multiples of `multiple`."""
        if isinstance(self.body, ResidualUNet):
            return self.body.forward_levels(self._prepared(images))
        return [self.forward(images)]

    def _prepared(self, images: torch.Tensor) -> torch.Tensor:
        normalised = (images - self.mean) / self.std
        return pad_to_multiple(normalised, self.multiple).contiguous(memory_format=torch.channels_last)


def pad_to_multiple(images: torch.Tensor, multiple: int) -> torch.Tensor:
    """Pad (B, C, H, W) at the bottom and right to multiples by reflection, in steps where one image is too small.

    Args:
        images: (B, C, H, W).
        multiple: What height and width shall be divisible by.

    Returns:
        (B, C, H', W') with H' and W' the next multiples.
    """
    down, right = -images.shape[2] % multiple, -images.shape[3] % multiple
    while down or right:
        # Reflection cannot exceed the image; a single row or column has nothing to reflect and is repeated.
        now_down, now_right = min(down, images.shape[2] - 1), min(right, images.shape[3] - 1)
        if now_down or now_right:
            images = functional.pad(images, (0, now_right, 0, now_down), mode="reflect")
        down, right = down - now_down, right - now_right
        once = int(down > 0 and images.shape[2] == 1), int(right > 0 and images.shape[3] == 1)
        if any(once):
            images = functional.pad(images, (0, once[1], 0, once[0]), mode="replicate")
            down, right = down - once[0], right - once[1]
    return images


def fused(network: SegmentationNetwork) -> SegmentationNetwork:
    """Return a copy for inference with batch norms folded into the convolutions before them: the same function, faster.

    Args:
        network: The network; only `residual-unet` has what can be folded here, others are copied as they are.
    """
    copied = deepcopy(network).eval()
    for block in copied.modules():
        if isinstance(block, ResidualBlock):
            block.first = fuse_conv_bn_eval(block.first, cast(nn.BatchNorm2d, block.first_norm))
            block.second = fuse_conv_bn_eval(block.second, cast(nn.BatchNorm2d, block.second_norm))
            block.first_norm = block.second_norm = nn.Identity()
            if isinstance(block.shortcut, nn.Sequential):
                block.shortcut = fuse_conv_bn_eval(*block.shortcut)
    return copied


def architectures() -> tuple[str, ...]:
    """Return the names that `create_network` knows."""
    import segmentation_models_pytorch as smp

    return (RESIDUAL_UNET, *sorted(smp.MODEL_ARCHITECTURES_MAPPING))


def create_network(recipe: NetworkRecipe, encoder_weights: str | None = None) -> SegmentationNetwork:
    """Build a network with random weights, or with an encoder trained elsewhere.

    Args:
        recipe: Architecture and its parameters.
        encoder_weights: Weights of the encoder, such as `imagenet`; they may be downloaded. None downloads nothing.

    Returns:
        The network with three classes, in training mode.

    Raises:
        ModelError: If the architecture or encoder is unknown.
    """
    if recipe.architecture == RESIDUAL_UNET:
        if recipe.encoder is not None or encoder_weights is not None:
            raise ModelError(
                f"Expected `encoder` to be absent for {RESIDUAL_UNET}, but got {recipe.encoder or encoder_weights!r}; "
                "do name another architecture, such as unet, to choose an encoder"
            )
        body = ResidualUNet(recipe.width, recipe.depth, len(CLASSES), recipe.deep_supervision)
        return SegmentationNetwork(body, recipe, body.multiple)

    if recipe.architecture not in architectures():
        raise ModelError(
            f"Expected `architecture` to be one of {', '.join(architectures())}, but got {recipe.architecture!r}; "
            "do choose one of them"
        )
    model = _trained_elsewhere(recipe, encoder_weights) if encoder_weights else _smp_model(recipe, None)
    return SegmentationNetwork(model, recipe, _SMP_MULTIPLE)


def _trained_elsewhere(recipe: NetworkRecipe, weights: str) -> nn.Module:
    from huggingface_hub import constants

    with _at_hand_alone() as reached:
        try:
            return _smp_model(recipe, weights)
        except ModelError:
            raise
        except (SafetensorError, RuntimeError) as error:
            raise ModelError(
                f"Expected the {weights} weights of {recipe.encoder} in {constants.HF_HUB_CACHE} to be whole, but they are damaged; "
                "do delete their folder there and run again"
            ) from error
        except Exception as error:  # the hub client raises errors of several libraries
            why = (
                f"their download failed ({type(error).__name__})" if reached else "the hub cannot be reached"
            )
            raise ModelError(
                f"Expected the {weights} weights of {recipe.encoder or 'resnet18'}, but {why}; do connect to the network, copy "
                f"{constants.HF_HUB_CACHE} of a machine that has them, or leave --encoder-weights out"
            ) from error


def _smp_model(recipe: NetworkRecipe, weights: str | None) -> nn.Module:
    import segmentation_models_pytorch as smp

    encoder = recipe.encoder or "resnet18"
    if encoder not in smp.encoders.encoders and not encoder.startswith("t"):  # tu-... is any of timm
        raise _unknown_encoder(recipe, "there is none")
    try:
        model = smp.create_model(recipe.architecture, encoder, weights, in_channels=3, classes=len(CLASSES))
    except OSError:  # of the hub; some of its errors are a ValueError, too
        raise
    except (KeyError, ValueError) as error:
        raise _unknown_encoder(recipe, str(error).strip("'\"")) from error
    return cast(nn.Module, model)


def _unknown_encoder(recipe: NetworkRecipe, reason: str) -> ModelError:
    import segmentation_models_pytorch as smp

    near = difflib.get_close_matches(str(recipe.encoder), smp.encoders.get_encoder_names(), 5, 0.3)
    return ModelError(
        f"Expected `encoder` to be one that {recipe.architecture} takes, but got {recipe.encoder!r} ({reason[:60]}); "
        f"do choose one, such as {', '.join(near or ['resnet18', 'efficientnet-b0'])}"
    )


def reachable(endpoint: str, timeout: float = 5.0) -> bool:
    """Say whether a server answers, or may answer by a proxy.

    Args:
        endpoint: Its address.
        timeout: Seconds to wait.
    """
    if urllib.request.getproxies():
        return True
    address = urlparse(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False


@contextmanager
def _at_hand_alone() -> Iterator[bool]:
    """Let the client of the Hugging Face hub take what is on this machine where the hub cannot be reached, and ask for nothing.

    Yields:
        Whether the hub can be reached.
    """
    from huggingface_hub import constants

    found, before = reachable(constants.ENDPOINT), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not found
    try:
        yield found and not before
    finally:
        constants.HF_HUB_OFFLINE = before
