"""A small network that looks at pixels by convolutions and at their cosine spectrum by a recurrent layer (after Shah et al. 2019).

Shah, Nawaz, Jalil & Khan, *Classification of Normal and Leukemic Blast Cells in B-ALL Cancer Using a Combination of Convolutional and
Recurrent Neural Networks* (C-NMC challenge). Their widths are not stated; these are ours. It has no pretrained weights: `--weights none`.
timm knows it as `dct_cnn_rnn` once this module is imported.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from timm.models import generate_default_cfgs, register_model
from torch import nn

__all__ = ["SpectralNet", "cosine_matrix", "dct_cnn_rnn"]

_KEPT = 32
_WIDTHS = (32, 64, 128, 128)
_RECURRENT = 128

default_cfgs = generate_default_cfgs(
    {
        "dct_cnn_rnn.untrained": {
            "input_size": (3, 128, 128),
            "num_classes": 0,
            "pool_size": None,
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "first_conv": "pixels.0.0",
            "classifier": "",
        }
    }
)


def cosine_matrix(size: int, kept: int, like: torch.Tensor) -> torch.Tensor:
    """Return the first rows of the orthonormal DCT-II of `size` samples, (min(kept, size), size), of the type and device of `like`."""
    frequency = torch.arange(min(kept, size), device=like.device, dtype=torch.float32)[:, None]
    place = torch.arange(size, device=like.device, dtype=torch.float32) + 0.5
    rows = torch.cos(math.pi / size * frequency * place) * math.sqrt(2 / size)
    return torch.cat([rows[:1] / math.sqrt(2), rows[1:]]).to(like.dtype)


class SpectralNet(nn.Module):
    """Images (B, 3, H, W), 32 px a side at least, to features (B, 256): half of the convolutions, half of the recurrent layer.

    The recurrent layer reads the spectrum's lowest 32 x 32 coefficients of each channel row by row, from slow to fast down the image.

    Args:
        pool: Global pooling of the convolutions, `"avg"` or `"max"`.
    """

    def __init__(self, pool: str = "avg") -> None:
        super().__init__()
        layers: list[nn.Module] = []
        before = 3
        for width in _WIDTHS:
            convolution = nn.Conv2d(before, width, 3, stride=2, padding=1, bias=False)
            layers.append(nn.Sequential(convolution, nn.BatchNorm2d(width), nn.ReLU(inplace=True)))
            before = width
        self.pixels = nn.Sequential(*layers)
        self.spectrum = nn.LSTM(3 * _KEPT, _RECURRENT, batch_first=True)
        self.global_pool = pool
        self.num_features = before + _RECURRENT

    def reset_classifier(self, num_classes: int, global_pool: str | None = None) -> None:
        """Set the pooling; there is no classifier to set.

        Raises:
            ValueError: If it is neither `avg` nor `max`.
        """
        if global_pool not in (None, "avg", "max"):
            raise ValueError(
                f"Expected `global_pool` to be avg or max, but got {global_pool!r}; do choose one"
            )
        self.global_pool = global_pool or self.global_pool

    def spectra(self, images: torch.Tensor) -> torch.Tensor:
        """Return the spectra of images (B, 3, H, W), (B, 32, 96): the log of the size of a coefficient, with its sign."""
        down, across = (cosine_matrix(side, _KEPT, images) for side in images.shape[2:])
        coefficients = down @ images @ across.T
        logs = coefficients.sign() * coefficients.abs().log1p()
        return logs.permute(0, 2, 1, 3).flatten(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Return features (B, 256)."""
        maps = self.pixels(images)
        seen = maps.mean(dim=(2, 3)) if self.global_pool == "avg" else maps.amax(dim=(2, 3))
        heard, _ = self.spectrum(self.spectra(images))
        return torch.cat([seen, heard[:, -1]], dim=1)


@register_model
def dct_cnn_rnn(pretrained: bool = False, *, global_pool: str = "avg", **_: Any) -> SpectralNet:
    """Return the network with random weights; there are no others."""
    model = SpectralNet(global_pool)
    model.pretrained_cfg = default_cfgs["dct_cnn_rnn"].default.to_dict()
    return model
