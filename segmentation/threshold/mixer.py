"""Channels mixed or isolated: paper A (Maaliw et al. 2022), whose threshold of 98 is kept as written."""

from __future__ import annotations

import numpy as np

from segmentation.errors import MaskError
from segmentation.masks import NUCLEUS, Labels, Mask
from segmentation.threshold.image import Floats, RGBImage, blur, otsu_level
from segmentation.threshold.parameters import Parameters, flag, number
from segmentation.threshold.parts import tidy

__all__ = ["BlueChannel", "ChannelMixer", "blue_channel", "channel_mixer", "isolate", "mix_channels"]


class ChannelMixer(Parameters):
    """Settings of `channel_mixer`; the defaults are the paper's."""

    red: float = number(0.88, -2, 2, "share of red in the grey image")
    green: float = number(0.41, -2, 2, "share of green")
    blue: float = number(0.20, -2, 2, "share of blue")
    level: float = number(98.0, 0, 255, "grey level below which a pixel is nucleus")
    keep_luminosity: bool = flag(
        False, "divide by the sum of shares, as an option of editors does; the paper does not say"
    )
    otsu: bool = flag(False, "find the level by Otsu's method instead")
    small: float = number(0.2, 0, 1, "parts under this share of the largest part's area are dropped")


class BlueChannel(Parameters):
    """Settings of `blue_channel`."""

    sigma: float = number(1.0, 0, 10, "smoothing in pixels")
    small: float = number(0.2, 0, 1, "parts under this share of the largest part's area are dropped")


def mix_channels(
    image: RGBImage,
    red: float = 0.88,
    green: float = 0.41,
    blue: float = 0.20,
    *,
    keep_luminosity: bool = False,
) -> Floats:
    """Return the grey image of a monochrome channel mixer, (H, W) float32, cut off at 0 and 255 as editors do.

    Args:
        image: (H, W, 3) uint8 RGB.
        red: Share of red.
        green: Share of green.
        blue: Share of blue.
        keep_luminosity: Divide by the sum of the shares, so that white stays white and nothing is cut off.
    """
    mixed = image.astype(np.float32) @ np.array([red, green, blue], np.float32)
    total = red + green + blue
    if keep_luminosity and total > 0:
        mixed /= total
    return np.clip(mixed, 0, 255)


def channel_mixer(image: RGBImage, parameters: ChannelMixer) -> Labels:
    """Return what is darker than a level in the mixed image, as nucleus.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Shares and level.

    Returns:
        (H, W) uint8 of 0 and 2. Dark red cells are taken for nuclei.
    """
    mixed = mix_channels(
        image, parameters.red, parameters.green, parameters.blue, keep_luminosity=parameters.keep_luminosity
    )
    mask: Mask = mixed <= otsu_level(mixed) if parameters.otsu else mixed < parameters.level
    if parameters.otsu and mixed.min() == mixed.max():
        mask = np.zeros(mixed.shape, bool)
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)


def blue_channel(image: RGBImage, parameters: BlueChannel) -> Labels:
    """Return where blue's share of all light is high (Otsu), as nucleus.

    Args:
        image: (H, W, 3) uint8 RGB.
        parameters: Smoothing and tidying.

    Returns:
        (H, W) uint8 of 0 and 2.
    """
    light = image.astype(np.float32)
    share = blur(light[..., 2] / np.maximum(light.sum(axis=-1), 1), parameters.sigma)
    share[light.sum(axis=-1) == 0] = 0
    mask: Mask = share > otsu_level(share)
    return tidy(mask, parameters.small).astype(np.uint8) * np.uint8(NUCLEUS)


def isolate(image: RGBImage, mask: Mask, *, blue_only: bool = False) -> RGBImage:
    """Return what a mask covers on black: how paper A hands blasts on.

    Args:
        image: (H, W, 3) uint8 RGB.
        mask: (H, W) bool.
        blue_only: Keep the blue channel alone.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    if mask.shape != image.shape[:2]:
        raise MaskError(
            f"Expected `mask` to be as large as its image, {image.shape[:2]}, but got {mask.shape}; give the image's own mask."
        )
    kept = np.where(mask[..., None], image, np.uint8(0))
    if blue_only:
        kept[..., :2] = 0
    return kept
