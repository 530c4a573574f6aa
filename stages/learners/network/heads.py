"""Heads: what sits on a pooled backbone."""

from __future__ import annotations

from torch import nn

from stages.settings import HeadSettings

__all__ = ["build_head"]


def build_head(features: int, outputs: int, settings: HeadSettings) -> nn.Sequential:
    """Build dense layers with ReLU and dropout behind a pooled backbone (paper A, II-F; paper C's with batch norm).

    Args:
        features: Width F of the pooled features.
        outputs: Number of logits.
        settings: Hidden widths, dropout, batch normalisation.
    """
    layers: list[nn.Module] = []
    if settings.batch_norm:
        layers.append(nn.BatchNorm1d(features, eps=1e-3, momentum=0.01))
    width = features
    for hidden in settings.hidden:
        layers += [nn.Dropout(settings.dropout), nn.Linear(width, hidden), nn.ReLU()]
        width = hidden
    layers += [nn.Dropout(settings.dropout), nn.Linear(width, outputs)]
    return nn.Sequential(*layers)
