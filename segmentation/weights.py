"""Weight files of segmentation networks: safetensors, with a JSON card beside them that says what they are.

The shipped model is `segmentation/shipped/rendered-smears.safetensors`; it was trained on rendered smears alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from safetensors import SafetensorError
from safetensors.torch import load_file, save

from segmentation.errors import ModelError
from segmentation.files import sha256_of, write_bytes, write_json
from segmentation.networks import NetworkRecipe, SegmentationNetwork, create_network

__all__ = ["SHIPPED", "ModelCard", "load_network", "load_shipped", "read_card", "save_network", "write_card"]

SHIPPED: Final = Path(__file__).parent / "shipped" / "rendered-smears.safetensors"


@dataclass(frozen=True)
class ModelCard:
    """What a weight file is.

    Attributes:
        name: Name of the model.
        recipe: How the network is built; normalisation included.
        data: What it was trained on, in a sentence.
        licence: Licence of the weights.
        sha256: Of the weight file; empty until it is written.
        training: Settings of the training.
        scores: Measured scores, by data set.
        notes: What else a user should know.
    """

    name: str
    recipe: NetworkRecipe
    data: str
    licence: str
    sha256: str = ""
    training: Mapping[str, Any] = field(default_factory=dict)
    scores: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""


def save_network(network: SegmentationNetwork, path: Path, card: ModelCard, half: bool = True) -> ModelCard:
    """Write weights and card; both are whole or absent.

    Args:
        network: The network.
        path: File of the weights, `.safetensors`; the card lies beside it as `.json`.
        card: What the weights are; its recipe and checksum are filled in here.
        half: Store float16, half the size of float32.

    Returns:
        The card as written.

    Raises:
        WriteError: If they cannot be written.
    """
    tensors = {
        name: (value.half() if half and value.is_floating_point() else value).contiguous().cpu()
        for name, value in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    data = save(tensors)
    written = replace(card, recipe=network.recipe, sha256=hashlib.sha256(data).hexdigest())
    write_card(written, path)
    write_bytes(path, data)
    return written


def read_card(path: Path) -> ModelCard:
    """Read the card beside a weight file.

    Args:
        path: The weight file.

    Raises:
        ModelError: If the card is missing or does not read.
    """
    place = path.with_suffix(".json")
    try:
        fields = json.loads(place.read_text("utf-8"))
        recipe: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value
            for key, value in fields.pop("recipe").items()
        }
        return ModelCard(recipe=NetworkRecipe(**recipe), **fields)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"Expected {place} to be the card of {path.name}, but got: {error}; do copy both files together"
        ) from error


def load_network(path: Path, device: str = "cpu") -> SegmentationNetwork:
    """Build the network of a card and load its weights, after their checksum has been verified.

    Args:
        path: The weight file; its card lies beside it.
        device: Where the network shall be.

    Returns:
        The network in evaluation mode.

    Raises:
        ModelError: If a file is missing, damaged, or does not fit the card.
    """
    card = read_card(path)
    try:
        found = sha256_of(path)
    except OSError as error:
        raise ModelError(
            f"Expected {path} to be a weight file, but got: {error}; do check the path"
        ) from error
    if found != card.sha256:
        raise ModelError(
            f"Expected {path.name} to have sha256 {card.sha256[:12]}..., but got {found[:12]}...; "
            "the file is damaged or another: do copy it again together with its card"
        )
    network = create_network(card.recipe)
    try:
        tensors = {name: value.float() for name, value in load_file(path).items()}
        missing, unexpected = network.load_state_dict(tensors, strict=False)
    except (SafetensorError, RuntimeError) as error:
        raise ModelError(
            f"Expected {path.name} to fit its card, but got: {error}; do copy both anew"
        ) from error
    lost = [name for name in missing if not name.endswith("num_batches_tracked")]
    if lost or unexpected:
        raise ModelError(
            f"Expected {path.name} to fit its card, but got other tensors, such as {(*lost, *unexpected)[0]}"
        )
    return network.to(device).eval()


def load_shipped(device: str = "cpu") -> SegmentationNetwork:
    """Load the model that comes with the package: trained on rendered smears, offline, Apache-2.0.

    Args:
        device: Where the network shall be.
    """
    return load_network(SHIPPED, device)


def write_card(card: ModelCard, path: Path) -> None:
    """Write a card beside the weight file `path`, whole or not at all."""
    write_json(path.with_suffix(".json"), card)
