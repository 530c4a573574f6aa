"""Backbones by their timm name, and where their weights come from."""

from __future__ import annotations

import difflib
import importlib
import socket
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from torch import nn

from segmentation.files import sha256_of, write_tensors
from stages.errors import ModelError
from stages.learners.network.weights import EMBEDDED, EmbeddedWeights, WeightRecord

__all__ = ["create_backbone", "find_backbone", "imagenet_backbone", "load_state", "match_state"]

State = dict[str, torch.Tensor]


def find_backbone(name: str) -> str:
    """Return timm's name of a backbone.

    Raises:
        ModelError: If timm has none of that name; the message suggests the nearest.
    """
    import timm

    if timm.is_model(name):
        return name
    known = timm.list_models()
    squeezed = {candidate.replace("_", ""): candidate for candidate in known}
    wanted = name.lower().replace("-", "").replace("_", "")
    near = [squeezed[key] for key in difflib.get_close_matches(wanted, squeezed, n=3, cutoff=0.6)]
    hint = f"did you mean {' or '.join(near)}?" if near else "see `timm.list_models()`"
    raise ModelError(f"Expected `--backbone` to be a timm model, but got {name!r}; {hint}")


def create_backbone(
    name: str, weights: str | Path = "auto", pool: str = "avg"
) -> tuple[nn.Module, WeightRecord]:
    """Create a backbone without its classifier.

    Args:
        name: timm name, such as `"inception_resnet_v2"`.
        weights: `"auto"` (the embedded package, else the hub), `"none"` (random), or a weight file.
        pool: Global pooling, `"avg"` or `"max"`.

    Returns:
        A module from images (B, 3, H, W) float32, normalised by the record, to features (B, F) float32; and the record.

    Raises:
        ModelError: If the name is unknown or the weights cannot be had or do not fit.
    """
    import timm

    name = find_backbone(name)
    backbone: nn.Module
    try:
        backbone = timm.create_model(name, pretrained=False, num_classes=0, global_pool=pool)
    except (TypeError, AssertionError) as error:
        if pool == "avg":
            raise
        raise ModelError(
            f"Expected `head.pool` to be one that {name} offers, but got {pool!r}; do use 'avg'"
        ) from error
    if str(weights) == "none":
        return backbone, _record(name, "none", "", "")
    if str(weights) != "auto":
        path = Path(weights)
        match_state(backbone, load_state(path), f"`--weights` {path.name}")
        return backbone, _record(name, f"file:{path.name}", "as the file's owner says", sha256_of(path))
    embedded = EMBEDDED.get(name)
    file = _embedded_file(embedded) if embedded else None
    if embedded and file:
        checksum = sha256_of(file)
        if checksum != embedded.sha256:
            raise ModelError(
                f"Expected {file.name} to have sha256 {embedded.sha256[:12]}..., but got {checksum[:12]}...; "
                f"do reinstall {embedded.package}"
            )
        match_state(backbone, load_state(file), file.name)
        return backbone, _record(name, f"package:{embedded.package}", embedded.licence, checksum)
    return backbone, _load_from_hub(name, backbone)


def imagenet_backbone(name: str, weights: str, path: Path, seed: int) -> WeightRecord:
    """Verify the ImageNet weights of a backbone and put them into a run: W0 -> W1 (paper A, II-E, eq. 1).

    Args:
        name: timm name.
        weights: `auto`, `none` or a file.
        path: Gets the weights.
        seed: Of random weights where there are none.

    Raises:
        ModelError: If the weights cannot be had or do not fit.
    """
    torch.manual_seed(seed)
    backbone, record = create_backbone(name, weights)
    write_tensors(path, {f"backbone.{key}": value for key, value in backbone.state_dict().items()})
    return record


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

    Args:
        module: A backbone without classifier.
        state: Its weights, under timm's names (with or without the prefix `backbone.`) or in timm's order.
        what: How to call the file in an error.

    Raises:
        ModelError: If neither fits.
    """
    own = module.state_dict()
    prefix = "backbone."
    named = {key.removeprefix(prefix): value for key, value in state.items()}
    if all(key in named and named[key].shape == value.shape for key, value in own.items()):
        module.load_state_dict({key: named[key] for key in own})
        return
    values = list(state.values())
    if len(values) >= len(own) and all(
        a.shape == b.shape for a, b in zip(own.values(), values, strict=False)
    ):
        module.load_state_dict(dict(zip(own, values, strict=False)))
        return
    missing = next((key for key in own if key not in named or named[key].shape != own[key].shape), "?")
    raise ModelError(
        f"Expected {what} to fit the backbone, but {missing} is missing or has another shape; do give weights of the same backbone"
    )


def _record(name: str, source: str, licence: str, checksum: str) -> WeightRecord:
    import timm

    told = {"backbone": name, "source": source, "licence": licence, "sha256": checksum}
    config = timm.get_pretrained_cfg(name)
    if config is None:
        return WeightRecord.model_validate(told)
    more = {"mean": config.mean, "std": config.std, "input_size": config.input_size[-1]}
    return WeightRecord.model_validate(told | more)


def _embedded_file(embedded: EmbeddedWeights) -> Path | None:
    try:
        module = importlib.import_module(embedded.package.replace("-", "_"))
    except ImportError:
        return None
    path = Path(str(module.__file__)).parent / embedded.file
    return path if path.is_file() else None


def _load_from_hub(name: str, backbone: nn.Module) -> WeightRecord:
    import timm
    from huggingface_hub import constants, hf_hub_download, try_to_load_from_cache

    config = timm.get_pretrained_cfg(name)
    repository = config.hf_hub_id if config else None
    if config is None or not repository:
        raise ModelError(
            f"Expected weights of {name} on the hub, but there are none; do give --weights PATH or --weights none"
        )
    file = "model.safetensors"
    cached = try_to_load_from_cache(repository, file)
    if not isinstance(cached, str):
        if not _reachable(constants.ENDPOINT):
            raise ModelError(
                f"Expected the ImageNet weights of {name}, but the hub cannot be reached; do download {file} of "
                f"{constants.ENDPOINT}/{repository} elsewhere and give --weights PATH, or start untrained with --weights none"
            )
        try:
            cached = hf_hub_download(repository, file)
        except Exception as error:  # the hub client raises errors of several libraries
            raise ModelError(
                f"Expected the ImageNet weights of {name} from {repository}, but the download failed ({type(error).__name__}); "
                "do try again, or give --weights PATH or --weights none"
            ) from error
    match_state(backbone, load_state(Path(cached)), f"{repository}/{file}")
    return _record(name, f"hub:{repository}", str(config.license), sha256_of(Path(cached)))


def _reachable(endpoint: str, timeout: float = 5.0) -> bool:
    # The hub client retries for a minute where no network is; a person wants the sentence at once.
    import urllib.request

    if urllib.request.getproxies():
        return True
    address = urlparse(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False
