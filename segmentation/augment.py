"""Heavy changes of (image, labels) batches, so that a network crosses laboratories.

Colour changes work in optical density (log of incident over transmitted light), where stains add (Beer-Lambert): a matrix on
densities re-stains a smear and leaves its empty background white. Nuclei, cytoplasm and the rest are re-stained each by its
own matrix, as stainers and protocols differ in what they do to each (cf. stain augmentation, Tellez et al. 2019).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.nn import functional

__all__ = ["ColourSettings", "hue_turn", "recolour"]


@dataclass(frozen=True)
class ColourSettings:
    """How far colours, light and optics may change; 0 turns a change off.

    Attributes:
        stain: Spread of each channel's density of a whole image, in natural log.
        part: Spread of each class's own density, in natural log.
        cytoplasm: Largest factor, either way, on the density of cytoplasm, which is almost clear in neutrophils of some
            laboratories and almost as dark as the nucleus in blasts of others; 1 leaves it.
        red_cells: Largest factor on the density of what is no white cell, in a third of images: some laboratories' red
            cells are as dark as pale nuclei. 1 leaves it.
        hue: Largest turn of densities about the grey axis, in parts of a circle.
        mix: Spread of what one channel's density adds to another's.
        tint: Spread of the background's density.
        shade: Spread of uneven light, in density.
        gamma: Spread of the tone curve, in natural log.
        blur: Largest Gaussian blur, standard deviation in pixels.
        chroma: Part of images whose colour, not lightness, is blurred, as by JPEG or a cheap sensor.
        sharpen: Largest amount of unsharp masking.
        noise: Largest standard deviation of noise, of 1.
        jpeg: Part of images that are quantised as by JPEG.
        plates: Part of images with a rectangle as of a scale bar.
    """

    stain: float = 0.25
    part: float = 0.22
    cytoplasm: float = 2.2
    red_cells: float = 2.5
    hue: float = 0.04
    mix: float = 0.05
    tint: float = 0.02
    shade: float = 0.03
    gamma: float = 0.2
    blur: float = 1.6
    chroma: float = 0.3
    sharpen: float = 1.2
    noise: float = 0.05
    jpeg: float = 0.3
    plates: float = 0.1


def recolour(
    images: torch.Tensor, labels: torch.Tensor, settings: ColourSettings, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Change stains, light and optics of a batch; every image draws its own parameters.

    Args:
        images: (B, 3, H, W) float32, about [0, 1], background near white.
        labels: (B, H, W) int64 in 0, 1, 2.
        settings: What may change, and how far.
        generator: Source of all randomness, on the CPU.

    Returns:
        Images of the same shape, float32 in [0, 1], and labels, background where a plate covers them.
    """
    draw = _Draw(len(images), generator, images.device)
    density = -images.clamp(1 / 255, 1).log()
    density = _restained(density, labels, settings, draw)
    density = density + draw.normal(3) * settings.tint + _shade(density, settings, draw)
    # A tone curve is a power of intensity, so a factor on density.
    images = (-density * (draw.normal(1) * settings.gamma).exp()).exp()
    images = _optics(images, settings, draw)
    images = images + torch.randn(images.shape, generator=generator).to(images) * (
        draw.uniform(0, settings.noise) * draw.chance(0.6)
    )
    images = _jpeg(images.clamp(0, 1), settings, draw)
    return _plates(images.clamp(0, 1), labels, settings, draw)


class _Draw:
    # Per-image random numbers (B, n, 1, 1) from one generator.
    def __init__(self, count: int, generator: torch.Generator, device: torch.device) -> None:
        self.count, self.generator, self.device = count, generator, device

    def normal(self, channels: int) -> torch.Tensor:
        return (
            torch.randn(self.count, channels, 1, 1, generator=self.generator).clamp(-2.5, 2.5).to(self.device)
        )

    def uniform(self, low: float, high: float, channels: int = 1) -> torch.Tensor:
        drawn = torch.rand(self.count, channels, 1, 1, generator=self.generator)
        return (low + (high - low) * drawn).to(self.device)

    def chance(self, part: float) -> torch.Tensor:
        return (torch.rand(self.count, 1, 1, 1, generator=self.generator) < part).float().to(self.device)


def _matrix(settings: ColourSettings, draw: _Draw, spread: float, hue: float) -> torch.Tensor:
    # (B, 3, 3): channel gains around a common one, a little mixing, and a turn about the grey axis.
    gains = (draw.normal(1) * spread * 0.7 + draw.normal(3) * spread * 0.7).exp().view(-1, 3, 1)
    mixed = torch.eye(3, device=draw.device) + draw.normal(9).view(-1, 3, 3) * settings.mix
    return gains * (hue_turn(draw.uniform(-hue, hue).flatten() * 2 * math.pi) @ mixed)


def hue_turn(angle: torch.Tensor) -> torch.Tensor:
    """Return rotations (B, 3, 3) about the grey axis by angles (B,) in radians (Rodrigues' formula)."""
    cosine, sine = angle.cos().view(-1, 1, 1), angle.sin().view(-1, 1, 1)
    cross = torch.tensor(
        [[0.0, -1.0, 1.0], [1.0, 0.0, -1.0], [-1.0, 1.0, 0.0]], device=angle.device
    ) / math.sqrt(3)
    return cosine * torch.eye(3, device=angle.device) + (1 - cosine) / 3 + sine * cross


def _restained(
    density: torch.Tensor, labels: torch.Tensor, settings: ColourSettings, draw: _Draw
) -> torch.Tensor:
    parts = functional.one_hot(labels, 3).permute(0, 3, 1, 2).to(density)
    parts = functional.avg_pool2d(functional.pad(parts, (1, 1, 1, 1), mode="replicate"), 3, 1)
    flat = density.flatten(2)
    whole = _matrix(settings, draw, settings.stain, settings.hue)
    result = torch.zeros_like(density)
    # Red cells, which label 0 holds, are grey, pink, brown or teal by laboratory; nuclei are violet in all of them,
    # and a network that were shown teal ones could no longer tell them from dark red cells.
    for label, (more, turn) in enumerate(((1.6, 4.5), (1.2, 1.2), (1.0, 0.8))):
        own = _matrix(settings, draw, settings.part * more, settings.hue * turn)
        own = own * _darkening(label, settings, draw).view(-1, 1, 1)
        result = result + parts[:, label : label + 1] * torch.bmm(own @ whole, flat).view_as(density)
    return result.clamp_min(0.0)


def _darkening(label: int, settings: ColourSettings, draw: _Draw) -> torch.Tensor:
    if label == 1:
        reach = math.log(settings.cytoplasm)
        return draw.uniform(-reach, reach).exp()
    if label == 0:
        return (draw.uniform(0, math.log(settings.red_cells)) * draw.chance(1 / 3)).exp()
    return torch.ones(draw.count, 1, 1, 1, device=draw.device)


def _shade(density: torch.Tensor, settings: ColourSettings, draw: _Draw) -> torch.Tensor:
    coarse = torch.randn(draw.count, 3, 4, 4, generator=draw.generator).to(density)
    coarse = coarse.mean(dim=1, keepdim=True) + 0.4 * coarse
    return settings.shade * functional.interpolate(
        coarse, density.shape[2:], mode="bicubic", align_corners=True
    )


def _gaussian(images: torch.Tensor, sigma: torch.Tensor, reach: int = 4) -> torch.Tensor:
    # One separable pass a direction, every image with its own width (B,), as grouped convolutions.
    offsets = torch.arange(-reach, reach + 1, device=images.device, dtype=torch.float32)
    kernel = (-(offsets**2) / (2 * sigma.view(-1, 1).clamp_min(0.05) ** 2)).exp()
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).repeat_interleave(images.shape[1], dim=0)
    flat = images.reshape(1, -1, *images.shape[2:])
    flat = functional.pad(flat, (reach, reach, reach, reach), mode="replicate")
    flat = functional.conv2d(flat, kernel.view(-1, 1, 1, 2 * reach + 1), groups=flat.shape[1])
    flat = functional.conv2d(flat, kernel.view(-1, 1, 2 * reach + 1, 1), groups=flat.shape[1])
    return flat.view_as(images)


def _optics(images: torch.Tensor, settings: ColourSettings, draw: _Draw) -> torch.Tensor:
    wide = _gaussian(images, draw.uniform(0.7, 2.5).flatten())
    grey, wide_grey = images.mean(dim=1, keepdim=True), wide.mean(dim=1, keepdim=True)
    colour = draw.chance(settings.chroma)
    images = images + colour * ((wide - wide_grey) - (images - grey))
    sharp = draw.uniform(0, settings.sharpen) * draw.chance(0.3)
    images = images + sharp * (images - wide)
    blurred = _gaussian(images, draw.uniform(0.2, settings.blur).flatten())
    return torch.lerp(images, blurred, draw.chance(0.5))


def _jpeg(images: torch.Tensor, settings: ColourSettings, draw: _Draw) -> torch.Tensor:
    # Quantised 8x8 cosine coefficients, coarser the higher their frequency: what JPEG does but for its tables.
    chosen = draw.chance(settings.jpeg)
    height, width = images.shape[2] // 8 * 8, images.shape[3] // 8 * 8
    if not bool(chosen.any()) or not height or not width:
        return images
    index = torch.arange(8, device=images.device, dtype=torch.float32)
    basis = ((2 * index[None] + 1) * index[:, None] * math.pi / 16).cos() * 0.5
    basis[0] *= math.sqrt(0.5)
    whole = images[..., :height, :width]
    blocks = whole.unfold(2, 8, 8).unfold(3, 8, 8)
    step = draw.uniform(0.01, 0.05).unsqueeze(-1).unsqueeze(-1) * (1 + (index[None] + index[:, None]) / 3)
    coefficients = ((basis @ blocks @ basis.T) / step).round() * step
    decoded = (basis.T @ coefficients @ basis).permute(0, 1, 2, 4, 3, 5).reshape(whole.shape)
    changed = images.clone()
    changed[..., :height, :width] = decoded
    return torch.lerp(images, changed, chosen)


def _plates(
    images: torch.Tensor, labels: torch.Tensor, settings: ColourSettings, draw: _Draw
) -> tuple[torch.Tensor, torch.Tensor]:
    chosen = torch.rand(draw.count, generator=draw.generator) < settings.plates
    height, width = labels.shape[1:]
    for number in chosen.nonzero().flatten().tolist():
        size = torch.rand(4, generator=draw.generator)
        tall, wide = int(4 + size[0] * height / 6), int(8 + size[1] * width / 3)
        top, left = int(size[2] * max(height - tall, 1)), int(size[3] * max(width - wide, 1))
        if number % 2:
            top, left = height - tall, width - wide
        images[number, :, top : top + tall, left : left + wide] = 1.0
        middle = top + tall // 2
        images[number, :, middle : middle + 2, left + 2 : left + wide - 2] = 0.0
        labels[number, top : top + tall, left : left + wide] = 0
    return images, labels
