"""Random changes of whole batches, seeded by (seed, epoch, batch): the same again after a resume, new every epoch."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch.nn import functional

from segmentation.augment import hue_turn
from stages.settings import AugmentSettings

__all__ = ["augment", "cutmix", "mix", "mixup"]

_LUMA = (0.299, 0.587, 0.114)


def augment(images: torch.Tensor, settings: AugmentSettings, generator: torch.Generator) -> torch.Tensor:
    """Return changed images; every image draws its own parameters.

    Args:
        images: (B, 3, S, S) float32 in [0, 1].
        settings: What may change, and how far.
        generator: Source of all randomness, on the CPU.

    Returns:
        Images of the same shape, float32 in [0, 1].
    """
    if settings.strength != 1:
        reaches = {
            name: getattr(settings, name) * settings.strength
            for name in ("scale", "brightness", "contrast", "saturation", "hue", "channel")
        }
        settings = settings.model_copy(update=reaches)
    images = _geometry(images, settings, generator)
    return _colour(images, settings, generator).clamp_(0, 1)


def mix(
    images: torch.Tensor, targets: torch.Tensor, settings: AugmentSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Mix images and targets as the settings say: by mixup, by CutMix, by one of them if both are on, or not at all.

    Args:
        images: (B, 3, S, S).
        targets: (B, K) probabilities.
        settings: Their `mixup` and `cutmix`.
        generator: Source of all randomness, on the CPU.
    """
    cuts = settings.cutmix > 0
    if cuts and settings.mixup:
        cuts = bool(torch.randint(2, (1,), generator=generator))
    if cuts:
        return cutmix(images, targets, settings.cutmix, generator)
    return mixup(images, targets, settings.mixup, generator) if settings.mixup else (images, targets)


def mixup(
    images: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend every image and its target with those of a random partner (Zhang et al. 2018).

    Args:
        images: (B, 3, S, S).
        targets: (B, K) probabilities.
        alpha: Of Beta(alpha, alpha); one weight a batch.
        generator: Source of all randomness, on the CPU.
    """
    weight = _beta(alpha, generator)
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    return weight * images + (1 - weight) * images[partner], weight * targets + (1 - weight) * targets[
        partner
    ]


def cutmix(
    images: torch.Tensor, targets: torch.Tensor, alpha: float, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste a rectangle of a random partner into every image; targets are blended by area (Yun et al. 2019).

    Args:
        images: (B, 3, H, W).
        targets: (B, K) probabilities.
        alpha: Of Beta(alpha, alpha), the share of area that stays; one rectangle a batch, cut off at the border.
        generator: Source of all randomness, on the CPU.
    """
    height, width = images.shape[-2:]
    side = math.sqrt(1 - _beta(alpha, generator))
    centre = torch.rand(2, generator=generator)
    partner = torch.randperm(len(images), generator=generator).to(images.device)
    top, bottom = _span(float(centre[0]), side, height)
    left, right = _span(float(centre[1]), side, width)
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images[partner, :, top:bottom, left:right]
    pasted = (bottom - top) * (right - left) / (height * width)
    return mixed, (1 - pasted) * targets + pasted * targets[partner]


def _span(centre: float, side: float, length: int) -> tuple[int, int]:
    return max(round((centre - side / 2) * length), 0), min(round((centre + side / 2) * length), length)


def _beta(alpha: float, generator: torch.Generator) -> float:
    seed = int(torch.randint(2**62, (1,), generator=generator))
    return float(np.random.default_rng(seed).beta(alpha, alpha))


def _uniform(count: int, reach: float, generator: torch.Generator, channels: int = 1) -> torch.Tensor:
    return (torch.rand(count, channels, 1, 1, generator=generator) * 2 - 1) * reach


def _geometry(images: torch.Tensor, settings: AugmentSettings, generator: torch.Generator) -> torch.Tensor:
    count = len(images)
    angle = _uniform(count, math.radians(settings.rotate), generator).flatten()
    zoom = 1 + _uniform(count, settings.scale, generator, channels=1 + settings.anisotropic).view(count, -1)
    shift = _uniform(count, 2 * settings.shift, generator, channels=2).view(count, 2)
    flip = torch.ones(count, 2)
    if settings.flip != "none":
        drawn = torch.randint(0, 2, (count, 2), generator=generator) * 2.0 - 1
        allowed = torch.tensor([settings.flip != "vertical", settings.flip != "horizontal"])
        flip = torch.where(allowed, drawn, flip)
    if not (settings.rotate or settings.scale or settings.shift):
        return _flip_only(images, flip)
    cosine, sine = torch.cos(angle)[:, None] / zoom, torch.sin(angle)[:, None] / zoom
    matrix = torch.stack(
        [
            torch.stack([cosine[:, 0] * flip[:, 0], -sine[:, -1] * flip[:, 1], shift[:, 0]], dim=1),
            torch.stack([sine[:, 0] * flip[:, 0], cosine[:, -1] * flip[:, 1], shift[:, 1]], dim=1),
        ],
        dim=1,
    ).to(images)
    grid = functional.affine_grid(matrix, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _flip_only(images: torch.Tensor, flip: torch.Tensor) -> torch.Tensor:
    flip = flip.to(images.device)
    images = torch.where(flip[:, 0].view(-1, 1, 1, 1) < 0, images.flip(3), images)
    return torch.where(flip[:, 1].view(-1, 1, 1, 1) < 0, images.flip(2), images)


def _colour(images: torch.Tensor, settings: AugmentSettings, generator: torch.Generator) -> torch.Tensor:
    # Gains, saturation and hue are all linear in RGB, so one 3x3 matrix an image does them in a single pass.
    count = len(images)
    luma = torch.tensor(_LUMA)
    saturation = 1 + _uniform(count, settings.saturation, generator).view(count, 1, 1)
    matrix = saturation * torch.eye(3) + (1 - saturation) * luma.expand(3, 3)
    matrix = hue_turn(_uniform(count, settings.hue, generator).flatten() * 2 * math.pi) @ matrix
    gains = 1 + _uniform(count, settings.channel, generator, channels=3).view(count, 3, 1)
    brightness = 1 + _uniform(count, settings.brightness, generator).view(count, 1, 1)
    matrix = (matrix * gains * brightness).to(images)
    changed = torch.bmm(matrix, images.flatten(2)).view_as(images)
    contrast = 1 + _uniform(count, settings.contrast, generator).to(images)
    centre = changed.mean(dim=(1, 2, 3), keepdim=True)
    return centre + (changed - centre) * contrast
