"""Backbones that timm does not have, from torchvision, with the names of its weights."""

from __future__ import annotations

from typing import Any

from torch import nn

from stages.errors import ModelError

__all__ = ["construct"]

_MORE: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "transform_input": False, "init_weights": True},
    "inception_v3": {"aux_logits": False, "transform_input": False, "init_weights": True},
}
"""Without second outputs, and without a normalisation of its own: the weight record has it."""

_SIZE_ARGUMENT = {"vit": "image_size", "maxvit": "input_size"}


def construct(name: str, pool: str, built_for: int | None) -> nn.Module:
    """Return a model of torchvision whose last dense layer is gone.

    Args:
        name: torchvision's.
        pool: `"avg"` or `"max"`.
        built_for: Side of its images where it is fixed, else None.

    Raises:
        ModelError: If it has no pooling layer that could be another one.
    """
    from torchvision import models

    more = dict(_MORE.get(name, {}))
    if built_for:
        more[_SIZE_ARGUMENT[name.partition("_")[0]]] = (
            built_for if name.startswith("vit") else (built_for, built_for)
        )
    model: nn.Module = models.get_model(name, weights=None, **more)
    if name.startswith("squeezenet"):
        # Its classifier is a convolution over the field; what it stands on is pooled here.
        model.classifier = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
    else:
        last = [key for key, layer in model.named_modules() if isinstance(layer, nn.Linear)][-1]
        parent, _, child = last.rpartition(".")
        setattr(model.get_submodule(parent), child, nn.Identity())
    if pool == "max":
        _pool_by_maximum(name, model)
    return model


def _pool_by_maximum(name: str, model: nn.Module) -> None:
    pools = [key for key, layer in model.named_modules() if isinstance(layer, nn.AdaptiveAvgPool2d)]
    # Squeeze-and-excitation averages, too, inside the network.
    pools = [key for key in pools if key in ("avgpool", "classifier.0")]
    if not pools:
        raise ModelError(f"Expected `head.pool` to be one that {name} offers, but got 'max'; do use 'avg'")
    parent, _, child = pools[-1].rpartition(".")
    size = model.get_submodule(pools[-1]).output_size
    setattr(model.get_submodule(parent), child, nn.AdaptiveMaxPool2d(size))  # type: ignore[arg-type]
