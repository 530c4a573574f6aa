"""Read weight files and fit them to a backbone, by name, by position, and with positions of another image size resampled."""

from __future__ import annotations

import hashlib
import math
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from stages.errors import ModelError

__all__ = ["State", "backbone_fingerprint", "load_state", "match_state", "stored_size", "unfit"]

State = dict[str, torch.Tensor]

_PREFIX = "backbone."
_PREFIX_TOKENS = range(6)
"""Class, distillation and register tokens that a position embedding may hold before its grid."""


def load_state(path: Path) -> State:
    """Read a state dict from a `.safetensors` file or a pickle of tensors (`weights_only=True`, nothing is run).

    Raises:
        ModelError: If the file is missing or holds no state dict.
    """
    from safetensors.torch import load_file

    if not path.is_file():
        raise ModelError(
            f"Expected `--weights` to be auto, none or a weight file, but {path} is not there; do check the path"
        )
    try:
        state: Any = (
            load_file(path)
            if path.suffix == ".safetensors"
            else torch.load(path, map_location="cpu", weights_only=True)
        )
    except Exception as error:  # a foreign file can fail in any way that its format knows
        raise ModelError(
            f"Expected {path} to hold a state dict, but it cannot be read; do give .safetensors or .pth"
        ) from error
    if isinstance(state, dict) and isinstance(state.get("state_dict"), dict):
        state = state["state_dict"]
    if (
        not isinstance(state, dict)
        or not state
        or not all(isinstance(value, torch.Tensor) for value in state.values())
    ):
        raise ModelError(
            f"Expected {path} to hold a state dict of tensors, but got something else; do save `model.state_dict()`"
        )
    return state


def match_state(module: nn.Module, state: State, what: str) -> None:
    """Load a state dict by name, else by position where order and shapes are the same; a classifier behind is left out.

    What belongs to positions of an image (position embeddings, relative biases) is resampled where the images had another size.

    Args:
        module: A backbone without classifier.
        state: Its weights, under timm's names (with or without the prefix `backbone.`) or in timm's order.
        what: How to call the file in an error.

    Raises:
        ModelError: If neither fits.
    """
    own = module.state_dict()
    named = {key.removeprefix(_PREFIX): value for key, value in state.items()}
    if all(key in named for key in own):
        fitted = {key: _resampled(key, named[key], value) for key, value in own.items()}
        if all(value is not None for value in fitted.values()):
            module.load_state_dict(fitted)
            return
    values = list(state.values())
    if len(values) >= len(own) and all(
        a.shape == b.shape for a, b in zip(own.values(), values, strict=False)
    ):
        module.load_state_dict(dict(zip(own, values, strict=False)))
        return
    missing = unfit(own, named) or "?"
    raise ModelError(
        f"Expected {what} to fit the backbone, but {missing} is missing or has another shape; do give weights of the same backbone"
    )


def unfit(own: State, state: State) -> str | None:
    """Return the name of a tensor that a state lacks, or has of a shape that cannot be resampled; None if all fit."""
    return next(
        (key for key in own if key not in state or _resampled(key, state[key], own[key]) is None), None
    )


def stored_size(module: nn.Module, state: State) -> int | None:
    """Return the side in px of the images that a transformer's position embedding was made for; None where it has none."""
    embedded = state.get("pos_embed", state.get(f"{_PREFIX}pos_embed"))
    embed = getattr(module, "patch_embed", None)
    patch = (
        None if hasattr(embed, "backbone") else getattr(embed, "patch_size", None)
    )  # of pixels, not of features
    own = module.state_dict().get("pos_embed")
    if embedded is None or own is None or patch is None or embedded.ndim != 3 or own.ndim != 3:
        return None
    grids = _grids(embedded.shape[1], own.shape[1])
    return grids[1] * int(patch[0]) if grids else None


def _resampled(key: str, value: torch.Tensor, own: torch.Tensor) -> torch.Tensor | None:
    """Return a value in the shape of the module's own, or None where that makes no sense."""
    from timm.layers.pos_embed import resample_abs_pos_embed, resample_abs_pos_embed_nhwc
    from timm.layers.pos_embed_rel import resize_rel_pos_bias_table

    shape, leaf = own.shape, key.rpartition(".")[2]
    fitted: torch.Tensor
    if value.shape == shape:
        return value
    if value.ndim != len(shape):
        return None
    if leaf.startswith("pos_embed") and value.ndim == 3 and value.shape[2] == shape[2]:
        grids = _grids(value.shape[1], shape[1])
        if grids is None:
            return None
        tokens, before, after = grids
        fitted = resample_abs_pos_embed(
            value, new_size=[after, after], old_size=[before, before], num_prefix_tokens=tokens
        )
        return fitted
    if leaf.startswith("pos_embed") and value.ndim == 4:
        if value.shape[3] == shape[3]:
            fitted = resample_abs_pos_embed_nhwc(value, new_size=list(shape[1:3]))
            return fitted
        if value.shape[:2] == shape[:2]:
            return functional.interpolate(value, size=shape[2:], mode="bicubic", antialias=True)
    if leaf == "relative_position_bias_table":
        window = (shape[-1] + 1) // 2 if len(shape) == 3 else (math.isqrt(shape[0]) + 1) // 2
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch, about the order of timm's values in memory
            fitted = resize_rel_pos_bias_table(
                value, new_window_size=(window, window), new_bias_shape=tuple(shape)
            )
        return fitted
    if leaf in ("rel_pos_h", "rel_pos_w", "height_rel", "width_rel") and value.shape[1] == shape[1]:
        return functional.interpolate(value.T[None], size=shape[0], mode="linear")[0].T
    if leaf == "attention_biases" and value.shape[0] == shape[0]:
        before, after = math.isqrt(value.shape[1]), math.isqrt(shape[1])
        if before**2 == value.shape[1] and after**2 == shape[1]:
            grid = value.view(1, -1, before, before)
            return functional.interpolate(grid, size=(after, after), mode="bicubic").flatten(2)[0]
    return None


def _grids(before: int, after: int) -> tuple[int, int, int] | None:
    """Return the tokens before two square grids of positions, and the sides of the grids."""
    for tokens in _PREFIX_TOKENS:
        one, other = math.isqrt(max(0, before - tokens)), math.isqrt(max(0, after - tokens))
        if one and other and one**2 == before - tokens and other**2 == after - tokens:
            return tokens, one, other
    return None


def backbone_fingerprint(path: Path) -> str:
    """Return the SHA-256 of a stage's backbone: names, types, shapes and bytes of its tensors, the head left out.

    Args:
        path: `weights.safetensors` of a stage.

    Raises:
        ModelError: If the file cannot be read.
    """
    total = hashlib.sha256()
    for name, value in sorted(load_state(path).items()):
        if name.startswith("backbone."):
            array = value.contiguous().numpy()
            total.update(f"{name}|{array.dtype}|{array.shape}|".encode())
            total.update(array.tobytes())
    return total.hexdigest()
