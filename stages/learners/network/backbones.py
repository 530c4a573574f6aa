"""Backbones by their name, with the weights that are asked for and the record of them."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import nn

from segmentation.files import sha256_of, write_tensors
from stages.errors import ModelError
from stages.learners.network.architectures import (
    Architecture,
    build,
    count_work,
    fit_size,
    native_size,
    torchvision_weights,
)
from stages.learners.network.catalogue import CATALOGUE, BackboneRecord
from stages.learners.network.hub import embedded_file, fetch, hub_config, source_of
from stages.learners.network.loading import load_state, match_state, stored_size, unfit
from stages.learners.network.names import HUB, find_backbone
from stages.learners.network.weights import EMBEDDED, WeightRecord

__all__ = [
    "check_backbone",
    "create_backbone",
    "describe_backbone",
    "imagenet_backbone",
    "rebuild_backbone",
]


def create_backbone(
    name: str, weights: str | Path = "auto", pool: str = "avg", size: int | None = None
) -> tuple[nn.Module, WeightRecord]:
    """Create a backbone without its classifier.

    Args:
        name: timm's such as `"inception_resnet_v2"`, torchvision's or `"hf-hub:OWNER/NAME"`; see `find_backbone`.
        weights: `"auto"` (the embedded package, else the hub), `"none"` (random), or a weight file.
        pool: Global pooling, `"avg"` or `"max"`.
        size: Side of its images in px; that of the weights if None.

    Returns:
        A module from images (B, 3, size, size) float32, normalised by the record, to features (B, F) float32, where F stands in its
        attribute `feature_width`; and the record.

    Raises:
        ModelError: If the name is unknown, the weights cannot be had or do not fit, or the size is none that it takes.
    """
    name = find_backbone(name)
    local = None if str(weights) in ("auto", "none") else Path(weights)
    if local:
        state = load_state(local)
        record = _record(name, local, source=f"file:{local.name}", licence="as the file's owner says")
        return _loaded(record, local, state, f"`--weights` {local.name}", pool, size)
    if str(weights) == "none":
        record = _record(name, source="none", licence="", sha256="")
        return rebuild_backbone(record, pool, size), record.model_copy(update={"pretrained_on": ()})
    file = embedded_file(name)
    if file:
        embedded = EMBEDDED[name]
        checksum = sha256_of(file)
        if checksum != embedded.sha256:
            raise ModelError(
                f"Expected {file.name} to have sha256 {embedded.sha256[:12]}..., but got {checksum[:12]}...; "
                f"do reinstall {embedded.package}"
            )
        record = _record(name, source=f"package:{embedded.package}", licence=embedded.licence)
        return _loaded(record, file, load_state(file), file.name, pool, size)
    record = _record(name, source="none", licence="")  # of the hub: first what it is, then its weights
    file, source = fetch(name)
    record = record.model_copy(update={"source": source.name, "licence": record.licence or source.licence})
    return _loaded(record, file, load_state(file), source.name, pool, size)


def rebuild_backbone(record: WeightRecord, pool: str, size: int | None = None) -> nn.Module:
    """Build the backbone of a record with random weights; see `create_backbone`."""
    return build(_architecture(record), pool, size)


def imagenet_backbone(name: str, weights: str, path: Path, seed: int) -> WeightRecord:
    """Verify the ImageNet weights of a backbone and put them into a run: W0 -> W1 (paper A, II-E, eq. 1).

    Args:
        name: See `create_backbone`.
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


def check_backbone(name: str, sizes: Collection[tuple[int, str]]) -> None:
    """Refuse a name, or a size that its backbone does not take, before anything is read.

    Args:
        name: See `create_backbone`; of a model of the hub nothing is asked before its record is here.
        sizes: Sides in px, each with the global pooling.

    Raises:
        ModelError: One line that names the sizes that it takes.
    """
    name = find_backbone(name)
    if name.startswith(HUB):
        return
    architecture = Architecture(name)
    native = native_size(architecture)
    for size, pool in sorted(sizes):
        if fit_size(architecture, pool, size).built_for is None:
            continue
        with torch.device("meta"):
            own, theirs = (build(architecture, pool, side).state_dict() for side in (size, native))
        if unfit(own, theirs):
            raise ModelError(
                f"Expected `--image-size` to be {native} for {name}, whose weights mix positions, but got {size}; do give --image-size {native}"
            )


def describe_backbone(name: str) -> BackboneRecord:
    """Return what is known of a backbone; what the catalogue lacks is asked of its library and counted.

    Raises:
        ModelError: If it is unknown, cannot be built, or is of the hub and its configuration cannot be had.
    """
    name = find_backbone(name)
    if name in CATALOGUE:
        return CATALOGUE[name]
    record, source = _record(name, source="none", licence=""), source_of(name)
    parameters, macs = count_work(_architecture(record), record.input_size)
    return BackboneRecord(
        name, "", "", record.input_size, parameters, macs,
        record.licence or (source.licence if source else ""), source.name if source else "",
        record.mean, record.std, record.architecture,
    )  # fmt: skip


def _architecture(record: WeightRecord) -> Architecture:
    return Architecture(record.architecture or record.backbone, json.dumps(record.arguments, sort_keys=True))


def _loaded(
    record: WeightRecord, file: Path, state: dict[str, torch.Tensor], what: str, pool: str, size: int | None
) -> tuple[nn.Module, WeightRecord]:
    """Return the backbone with its weights, and the record with their checksum and size."""
    backbone = rebuild_backbone(record, pool, size)
    trained = stored_size(backbone, state) or record.input_size
    if size is None and trained != record.input_size:
        backbone = rebuild_backbone(record, pool, trained)
    match_state(backbone, state, what)
    return backbone, record.model_copy(update={"sha256": sha256_of(file), "input_size": trained})


def _record(name: str, beside: Path | None = None, **told: str) -> WeightRecord:
    """Return the record of a name: what is built, and what its weights expect of images."""
    known = CATALOGUE.get(name)
    told = {"backbone": name, "sha256": "", **told}
    more: dict[str, Any] = {"pretrained_on": known.seen} if known else {}
    if name.startswith(HUB):
        more |= _hub_record(name, beside)
        more["licence"] = told["licence"] or more["licence"]
    else:
        more |= _library_record(name)
    return WeightRecord.model_validate({**told, **more})


def _library_record(name: str) -> dict[str, Any]:
    import timm

    architecture = Architecture(name)
    size = native_size(architecture)
    if architecture.library == "timm":
        config: Any = timm.get_pretrained_cfg(name)
        return {"mean": config.mean, "std": config.std, "input_size": size} if config else {}
    if architecture.model in ("googlenet", "inception_v3"):
        # Their weights are TensorFlow's: torchvision turns its own normalisation back inside the network, which ours leaves out.
        return {"mean": (0.5,) * 3, "std": (0.5,) * 3, "input_size": size}
    weights = torchvision_weights(architecture.model)
    if weights is None:
        return {"input_size": size}
    expected = weights.transforms()
    return {"mean": tuple(expected.mean), "std": tuple(expected.std), "input_size": size}


def _hub_record(name: str, beside: Path | None) -> dict[str, Any]:
    known = CATALOGUE.get(name)
    if known and known.architecture:
        same = ("architecture", "mean", "std", "input_size", "licence")
        return {key: getattr(known, key) for key in same}
    import timm

    told = hub_config(name, beside)
    if not timm.is_model(told["architecture"]):
        raise ModelError(
            f"Expected {name} to be of an architecture of timm, but it says {told['architecture']!r}; do choose another, or a newer timm"
        )
    config = told["pretrained_cfg"]
    more = {key: tuple(config[key]) for key in ("mean", "std") if config.get(key)}
    size = config.get("input_size")
    return {
        "architecture": told["architecture"],
        "arguments": dict(told["model_args"]),
        "licence": str(config.get("license") or ""),
        **({"input_size": int(size[-1])} if size else {}),
        **more,
    }
