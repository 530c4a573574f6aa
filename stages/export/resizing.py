"""OpenCV's resizing of bytes as two matrix products, so that it can stand inside an exported graph.

`stages.data.store.resize` takes area interpolation when shrinking and cubic when growing; both are linear and separable. Weights are
counted in whole numbers until the last division. Where an image shrinks, one value in ten thousand is off by a level; where it grows,
few are; where one axis shrinks and the other grows, one in eight, because OpenCV rounds weights there.
"""

from __future__ import annotations

import torch

__all__ = ["resized"]

_CUBIC = -0.75


def resized(images: torch.Tensor, size: int, fit: str) -> torch.Tensor:
    """Return images as `stages.data.store.resize` makes them.

    Args:
        images: (B, H, W, 3) uint8, of any height and width.
        size: Side S in px.
        fit: `stretch`, `crop` or `pad`.

    Returns:
        (B, 3, S, S) float32, whole numbers from 0 to 255.
    """
    rows, columns = (torch.arange(images.shape[axis], device=images.device) for axis in (1, 2))
    height, width = rows[-1] + 1, columns[-1] + 1  # tensors: a graph may not branch on a size
    tall, wide = height, width
    if fit != "stretch":
        tall = wide = torch.minimum(height, width) if fit == "crop" else torch.maximum(height, width)
    rows, columns = _places(rows, height, tall), _places(columns, width, wide)
    area = (tall >= size) & (wide >= size) & (torch.maximum(tall, wide) > size)
    mixed = (torch.maximum(tall, wide) > size) & ~area
    down, across = _weights(rows, tall, size, area, mixed), _weights(columns, wide, size, area, mixed)
    shrunk = down @ images.flatten(2).float()
    shrunk = across @ shrunk.reshape(*shrunk.shape[:2], -1, 3)
    halves_even = area & ~((tall == 2 * size) & (wide == 2 * size))
    whole = torch.where(halves_even, shrunk.round(), (shrunk + 0.5).floor())
    return whole.clamp(0, 255).permute(0, 3, 1, 2)


def _places(own: torch.Tensor, length: torch.Tensor, span: torch.Tensor) -> torch.Tensor:
    """Return where pixels lie in the part that is resized, which may begin inside the image or before it."""
    inside = torch.div((length - span).clamp(min=0), 2, rounding_mode="floor")
    before = torch.div((span - length).clamp(min=0), 2, rounding_mode="floor")
    return own - inside + before


def _weights(
    places: torch.Tensor, span: torch.Tensor, size: int, area: torch.Tensor, mixed: torch.Tensor
) -> torch.Tensor:
    """Return what each of L pixels gives to each of S, (S, L)."""
    new, old = torch.arange(size, device=places.device)[:, None], places[None]
    kept = torch.minimum((new + 1) * span, (old + 1) * size) - torch.maximum(new * span, old * size)
    shares = kept.clamp(min=0).float() / span
    return torch.where(
        area, shares, torch.where(mixed, _linear(new, old, span, size), _cubic(new, old, span, size))
    )


def _linear(new: torch.Tensor, old: torch.Tensor, span: torch.Tensor, size: int) -> torch.Tensor:
    # What OpenCV calls area interpolation where one axis grows: linear, its weights those of areas.
    # In double precision as there, because a step may fall on the border of two pixels.
    ratio = size / span.double()
    first = (new * (1 / ratio)).floor()
    beyond = ((new + 1) - (first + 1) * ratio).float().clamp(min=0)
    part = beyond - beyond.floor()
    return _taps(first.long(), (1 - part, part), old, span)


def _cubic(new: torch.Tensor, old: torch.Tensor, span: torch.Tensor, size: int) -> torch.Tensor:
    place = (2 * new + 1) * span + size  # of the middle, times 2 S, one pixel further so that it is positive
    first = torch.div(place, 2 * size, rounding_mode="floor")
    part = (place - first * 2 * size).float() / (2 * size)
    a, far, near, other = _CUBIC, part + 1, part, 1 - part
    before = ((a * far - 5 * a) * far + 8 * a) * far - 4 * a
    own = ((a + 2) * near - (a + 3)) * near * near + 1
    after = ((a + 2) * other - (a + 3)) * other * other + 1
    return _taps(first - 2, (before, own, after, 1 - before - own - after), old, span)


def _taps(
    first: torch.Tensor, weights: tuple[torch.Tensor, ...], old: torch.Tensor, span: torch.Tensor
) -> torch.Tensor:
    found = torch.zeros_like(first * old, dtype=torch.float32)
    for step, weight in enumerate(weights):
        place = torch.minimum((first + step).clamp(min=0), span - 1)  # the border is repeated
        found = found + (place == old) * weight
    return found
