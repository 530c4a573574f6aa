"""Build a backbone, of timm or of torchvision, for the size of its images; and measure how wide its features are."""

from __future__ import annotations

import json
from functools import cache, lru_cache
from typing import Any, NamedTuple

import torch
from torch import nn

from stages.errors import ModelError
from stages.learners.network.names import TORCHVISION, load_timm

__all__ = [
    "Architecture",
    "Fit",
    "build",
    "count_work",
    "fit_size",
    "native_size",
    "torchvision_weights",
]


_REFUSALS = (TypeError, AssertionError, AttributeError, ValueError, NotImplementedError)
"""How timm's networks refuse an argument."""


class Fit(NamedTuple):
    """How a backbone takes images of a size.

    Attributes:
        width: Of the features.
        built_for: Size to construct with, where the weights depend on it; else None.
    """

    width: int
    built_for: int | None


class Architecture(NamedTuple):
    """What a backbone is built from.

    Attributes:
        name: As `find_backbone` gives it, but none of the hub.
        arguments: For timm's constructor beside the usual ones, as JSON.
    """

    name: str
    arguments: str = "{}"

    @property
    def library(self) -> str:
        """`timm` or `torchvision`."""
        return "timm" if load_timm().is_model(self.name) else "torchvision"

    @property
    def model(self) -> str:
        """Name within the library."""
        return self.name.removeprefix(TORCHVISION)


def build(architecture: Architecture, pool: str = "avg", size: int | None = None) -> nn.Module:
    """Build a backbone with random weights and without classifier.

    Args:
        architecture: What to build.
        pool: Global pooling, `"avg"` or `"max"`; transformers that cannot average keep their own.
        size: Side of its images in px; the native one if None.

    Returns:
        Images (B, 3, size, size) to features (B, F); F stands in its attribute `feature_width`.

    Raises:
        ModelError: If it cannot be built, or not for this size; the message names sizes that it takes.
    """
    fit = fit_size(architecture, pool, size or native_size(architecture))
    backbone = _construct(architecture, pool, fit.built_for)
    setattr(backbone, "feature_width", fit.width)  # noqa: B010 - a module knows none of that name
    return backbone


@cache
def fit_size(architecture: Architecture, pool: str, size: int) -> Fit:
    """Find how a backbone takes images of a size; its width is measured by a pass without numbers, on the meta device.

    Raises:
        ModelError: If it cannot be built, or not for this size; the message names sizes that it takes.
    """
    for built_for in _ways(architecture, size):
        tried = _try(architecture, pool, size, built_for)
        if isinstance(tried, int):
            return Fit(tried, built_for)
    raise _refusal(architecture, pool, size)


def count_work(architecture: Architecture, size: int) -> tuple[int, int]:
    """Return the parameters of a backbone, and the multiplications with addition of one image of a size.

    Raises:
        ModelError: If it cannot be built, or not for this size.
    """
    from torch.utils.flop_counter import FlopCounterMode

    backbone = _on_meta(architecture, "avg", fit_size(architecture, "avg", size).built_for)
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        backbone(torch.empty(1, 3, size, size, device="meta"))
    parameters = sum(parameter.numel() for parameter in backbone.parameters())
    return parameters, int(counter.get_total_flops()) // 2


def native_size(architecture: Architecture) -> int:
    """Return the side in px that the weights were trained at, as timm or torchvision says."""
    import timm

    if architecture.library == "torchvision":
        weights = torchvision_weights(architecture.model)
        return int(weights.transforms().crop_size[0]) if weights else 224
    asked = json.loads(architecture.arguments).get("img_size")
    if asked:
        return int(asked if isinstance(asked, int) else asked[-1])
    config = timm.get_pretrained_cfg(architecture.name)
    return int(config.input_size[-1]) if config else 224


def torchvision_weights(name: str) -> Any:
    """Return torchvision's record of the weights that papers used (its first ImageNet ones), or None where it has none."""
    from torchvision import models

    return next(iter(models.get_model_weights(name)), None)


def _ways(architecture: Architecture, size: int) -> tuple[int | None, ...]:
    """Return with which sizes to construct, the better first: some refuse their own argument, but take any image."""
    return (size, None) if _is_fixed(architecture, size) else (None,)


def _is_fixed(architecture: Architecture, size: int) -> bool:
    import timm

    if size == native_size(architecture):
        return False
    if architecture.library == "torchvision":
        return architecture.model.startswith(("vit_", "maxvit"))
    config = timm.get_pretrained_cfg(architecture.name)
    return bool(config and config.fixed_input_size)


@cache
def _try(architecture: Architecture, pool: str, size: int, built_for: int | None) -> int | str:
    """Return the width of the features, or what went wrong."""
    try:
        backbone = _on_meta(architecture, pool, built_for)
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            features = backbone(torch.empty(2, 3, size, size, device="meta"))
    except ModelError:
        raise
    except Exception as error:  # a network fails on a size in any way that its layers know
        return f"{type(error).__name__}: {error}".splitlines()[0]
    if not isinstance(features, torch.Tensor) or features.ndim != 2 or not features.numel():
        return "it does not give one vector an image"
    return int(features.shape[1])


@lru_cache(maxsize=1)
def _on_meta(architecture: Architecture, pool: str, built_for: int | None) -> nn.Module:
    # Nothing that is tried out may move the random numbers of what is trained.
    with torch.random.fork_rng(devices=[]):
        try:
            with torch.device("meta"):
                backbone = _construct(architecture, pool, built_for).eval()
        except NotImplementedError:  # some look at numbers while they are built
            backbone = _construct(architecture, pool, built_for).to("meta").eval()
    for layer in backbone.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(_refuse_nothing)
    return backbone


def _refuse_nothing(layer: nn.Module, _: tuple[torch.Tensor, ...], maps: torch.Tensor) -> None:
    # Without numbers, PyTorch before 2.14 lets a kernel be larger than its image, and goes on with maps of no size.
    if not maps.numel():
        raise RuntimeError(f"a kernel of {layer.kernel_size} px is larger than its image")


def _construct(architecture: Architecture, pool: str, built_for: int | None) -> nn.Module:
    if architecture.library == "torchvision":
        from stages.learners.network.torchvision_models import construct

        return construct(architecture.model, pool, built_for)
    return _timm_model(architecture, pool, built_for)


def _timm_model(architecture: Architecture, pool: str, built_for: int | None) -> nn.Module:
    import timm

    arguments: dict[str, Any] = {**json.loads(architecture.arguments), "num_classes": 0}
    if built_for:
        arguments["img_size"] = built_for
    model: nn.Module = timm.create_model(architecture.name, pretrained=False, **arguments)
    if _pooling(model) == pool:
        return model
    # Not at creation: a transformer built to average has its norm elsewhere, and no longer fits its own weights.
    try:
        model.reset_classifier(0, pool)  # type: ignore[operator]
        return model
    except _REFUSALS:
        try:  # encoders that have no classifier to set
            return timm.create_model(architecture.name, pretrained=False, **arguments, global_pool=pool)
        except _REFUSALS as error:
            if pool != "avg":
                raise _no_pool(architecture, pool) from error
    return model


def _pooling(model: nn.Module) -> str | None:
    own = getattr(model, "global_pool", None) or getattr(getattr(model, "head", None), "global_pool", None)
    return own if isinstance(own, str) else getattr(own, "pool_type", None)


def _no_pool(architecture: Architecture, pool: str) -> ModelError:
    return ModelError(
        f"Expected `head.pool` to be one that {architecture.name} offers, but got {pool!r}; do use 'avg'"
    )


def _refusal(architecture: Architecture, pool: str, size: int) -> ModelError:
    """Say which sizes a backbone takes, found by trying."""
    name, native = architecture.name, native_size(architecture)

    def takes(side: int) -> bool:
        return any(isinstance(_try(architecture, pool, side, way), int) for way in _ways(architecture, side))

    if not takes(native):
        reason = str(_try(architecture, pool, native, None))
        reason = reason if len(reason) < 120 else f"{reason[:117]}..."
        return ModelError(
            f"Expected `--backbone` to be one that starts, but {name} does not ({reason}); do choose another of `mtl backbones`"
        )
    expected = f"Expected `--image-size` to be {{}} for {name}, but got {size}; do give {{}}"
    # Some take every size from one on, and below it such as divide evenly.
    even = (each for each in (16, 32) if takes(_up(size, each)) and takes(_up(size, each) + each))
    step = next(even, native)
    if takes(native + 1) and takes(native + 3):
        least = _least(takes, size, native, 1)
        if _up(size, step) >= least:
            return ModelError(expected.format(f"at least {least}", f"--image-size {least} or more"))
    elif step == native:
        steps = (step for step in range(2, native) if native % step == 0)
        step = next((step for step in steps if takes(native + step) and takes(native + 3 * step)), native)
    if step == native:
        return ModelError(expected.format(native, f"--image-size {native}"))
    least = _least(takes, size // step * step, native, step) if size < native else step
    near = [
        side for side in (size // step * step, max(least, _up(size, step))) if side >= least and takes(side)
    ]
    text = f"a multiple of {step}" + (f", at least {least}," if size < least else "")
    return ModelError(expected.format(text, " or ".join(map(str, dict.fromkeys(near or [native])))))


def _up(size: int, step: int) -> int:
    return -(-size // step) * step


def _least(takes: Any, low: int, high: int, step: int) -> int:
    """Return the least side that is taken, of those that are `step` apart, by halving; `low` is not taken, `high` is."""
    if takes(low):
        return low
    while high - low > step:
        middle = low + (high - low) // (2 * step) * step
        low, high = (low, middle) if takes(middle) else (middle, high)
    return high
