"""What a backbone's name means: an architecture of timm, one of torchvision, or a model of the Hugging Face hub."""

from __future__ import annotations

import difflib
import importlib
import re
from functools import cache
from types import ModuleType
from typing import Any

from stages.errors import ModelError

__all__ = ["HUB", "TORCHVISION", "find_backbone", "known_backbones", "load_timm"]

HUB = "hf-hub:"
TORCHVISION = "torchvision:"

_NOT_KEPT = dict.fromkeys(
    ("nasnetmobile", "nasnetamobile"),
    "neither has it: do take nasnetalarge (the same cells, 85 M parameters) or mnasnet_100 (of its size, searched, too)",
)
"""Named by a paper, and kept nowhere (keys without case, `-` and `_`)."""


def find_backbone(name: str) -> str:
    """Return the one name of a backbone: timm's, else torchvision's, or `hf-hub:OWNER/NAME`.

    Args:
        name: timm's name, with or without a tag (`resnet50.tv_in1k`), or one that timm has replaced (`xception`); torchvision's, with
            the prefix `torchvision:` where timm has one of that name, too; or a model of the hub that timm can read.

    Raises:
        ModelError: If there is none of that name; the message suggests the nearest.
    """
    timm = load_timm()
    if name.startswith(HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w.-]+)?", name.removeprefix(HUB)):
            raise ModelError(
                f"Expected `--backbone` to be hf-hub:OWNER/NAME, but got {name!r}; do copy both from the model's page"
            )
        return name
    plain = name.removeprefix(TORCHVISION)
    if plain == name and timm.is_model(name):
        return _present(name)
    if plain in _torchvision_names():
        return f"{TORCHVISION}{plain}" if timm.is_model(plain) else plain
    raise ModelError(
        f"Expected `--backbone` to be a model of timm or torchvision, but got {name!r}; {_hint(plain)}"
    )


def known_backbones() -> list[str]:
    """Return every name that needs no hub, timm's before what torchvision alone has."""
    timm = load_timm()
    known = timm.list_models()
    return [*known, *(name for name in _torchvision_names() if not timm.is_model(name))]


def load_timm() -> ModuleType:
    """Return timm, told of our own network."""
    importlib.import_module("stages.learners.network.spectral")
    return importlib.import_module("timm")


def _present(name: str) -> str:
    """Return timm's present name of a model."""
    import timm
    import torch

    base, _, tag = name.partition(".")
    if tag and name not in timm.list_pretrained(f"{base}.*"):
        known = " or ".join(one.partition(".")[2] for one in timm.list_pretrained(f"{base}.*")[:5])
        hint = f"do choose of {known}" if known else f"do give {base}"
        raise ModelError(
            f"Expected the weights of {base} to be of a tag that timm knows, but got {tag!r}; {hint}"
        )
    if timm.get_pretrained_cfg(base) is not None:
        return name
    # A name that timm has replaced: it knows neither weights nor normalisation of it (`xception` is `legacy_xception`).
    import warnings

    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        meant: Any = timm.create_model(base).pretrained_cfg
    found, tag = str(meant["architecture"]), meant["tag"]
    default = timm.get_pretrained_cfg(found)
    return found if default and default.tag == tag else f"{found}.{tag}"


def _hint(name: str) -> str:
    wanted = _squeezed(name)
    if wanted in _NOT_KEPT:
        return _NOT_KEPT[wanted]
    squeezed = {_squeezed(candidate): candidate for candidate in known_backbones()}
    near = [squeezed[key] for key in difflib.get_close_matches(wanted, squeezed, n=3, cutoff=0.6)]
    near = near or [name for key, name in squeezed.items() if wanted and key.startswith(wanted)][:3]
    return f"did you mean {' or '.join(near)}?" if near else "see `mtl backbones`"


def _squeezed(name: str) -> str:
    return name.lower().replace("-", "").replace("_", "")


@cache
def _torchvision_names() -> tuple[str, ...]:
    from torchvision import models

    return tuple(models.list_models(module=models))
