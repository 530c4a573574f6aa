"""Loss of segmentation: cross-entropy, weighted at borders where wished, plus soft Dice."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

__all__ = ["border_weights", "cross_entropy_dice", "levels_loss", "soft_dice_loss"]


def soft_dice_loss(probabilities: torch.Tensor, labels: torch.Tensor, smooth: float = 1.0) -> torch.Tensor:
    """Return 1 - soft Dice, mean over the classes but the background, over the whole batch.

    The union is that of squares (Milletari et al., V-Net, 2016). The batch counts as one image: a crop without cells
    would otherwise weigh as much as one with ten.

    Args:
        probabilities: (B, K, H, W) float32.
        labels: (B, H, W) int64.
        smooth: Pixels added to both sides, so that an absent class costs nothing.
    """
    target = functional.one_hot(labels, probabilities.shape[1]).permute(0, 3, 1, 2).to(probabilities)
    shared = (probabilities * target).sum(dim=(0, 2, 3))
    total = probabilities.square().sum(dim=(0, 2, 3)) + target.sum(dim=(0, 2, 3))
    dice: torch.Tensor = (2 * shared + smooth) / (total + smooth)
    return 1 - dice[1:].mean()


def border_weights(labels: torch.Tensor, weight: float, reach: int = 2) -> torch.Tensor:
    """Return per-pixel weights, `1 + weight` within `reach` pixels of a change of label and 1 elsewhere.

    Args:
        labels: (B, H, W) int64.
        weight: Extra weight of borders.
        reach: Pixels.

    Returns:
        (B, H, W) float32.
    """
    values = labels.to(torch.float32).unsqueeze(1)
    side = 2 * reach + 1
    highest = functional.max_pool2d(values, side, 1, reach)
    lowest = -functional.max_pool2d(-values, side, 1, reach)
    return 1 + weight * (highest > lowest).to(torch.float32).squeeze(1)


def cross_entropy_dice(logits: torch.Tensor, labels: torch.Tensor, border: float = 0.0) -> torch.Tensor:
    """Return cross-entropy plus soft Dice loss.

    Args:
        logits: (B, K, H, W).
        labels: (B, H, W) int64.
        border: Extra weight of pixels near borders in the cross-entropy; 0 weighs all alike.
    """
    logits = logits.to(torch.float32)
    each = functional.cross_entropy(logits, labels, reduction="none")
    if border:
        weights = border_weights(labels, border)
        entropy = (each * weights).sum() / weights.sum()
    else:
        entropy = each.mean()
    return entropy + soft_dice_loss(logits.softmax(dim=1), labels)


def levels_loss(levels: Sequence[torch.Tensor], labels: torch.Tensor, border: float = 0.0) -> torch.Tensor:
    """Return the loss over all supervised levels; each coarser one weighs half of the one before.

    Args:
        levels: Logits (B, K, H / 2**k, W / 2**k), the finest first.
        labels: (B, H, W) int64.
        border: See `cross_entropy_dice`; of the finest level alone.
    """
    loss = cross_entropy_dice(levels[0], labels, border)
    total = 1.0
    for number, logits in enumerate(levels[1:], start=1):
        weight = 0.5**number
        step = labels.shape[1] // logits.shape[2]
        loss = loss + weight * cross_entropy_dice(logits, labels[:, step // 2 :: step, step // 2 :: step])
        total += weight
    return loss / total
