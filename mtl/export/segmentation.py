"""What `mtl segment export` does: the network that segments as a file, with parity on a rendered smear."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from mtl.errors import FailedError
from mtl.export.command import TOLERANCE
from segmentation.files import make_folder
from segmentation.finders import weight_file
from segmentation.networks import SegmentationNetwork
from segmentation.weights import SHIPPED, load_network, read_card
from stages.export.engines import open_engine
from stages.export.formats import copy_export, save_graph
from stages.export.graph import exported_program
from stages.export.segmentation import OUTPUT, Pixels, about_pixels, multiples
from stages.learners.model import Image

__all__ = ["ExportedPixels", "export_pixels"]


@dataclass(frozen=True)
class ExportedPixels:
    """The exported network.

    Attributes:
        name: Of its card.
        file: Written.
        difference: Largest of a pixel's probability between the file and the network, on crops of a rendered smear.
        multiple: What sides must be divisible by.
    """

    name: str
    file: str
    difference: float
    multiple: int

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return asdict(self)

    def to_text(self) -> str:
        """Return a few lines for a person."""
        return (
            f"{self.name}: largest difference of a pixel's probability on a rendered smear {self.difference:.1e} (allowed {TOLERANCE:.0e}); "
            f"sides must be multiples of {self.multiple}\nWrote {self.file}"
        )


def export_pixels(weights: Path | None, form: str, out: Path) -> ExportedPixels:
    """Export a network that segments.

    Args:
        weights: Of `mtl segment train`; the shipped ones if None.
        form: `onnx`, `openvino` or `torch`.
        out: Folder that gets the file.

    Raises:
        ModelError: If the weights are none of a network that segments.
        MissingExportError: If what writes or runs the format is not installed.
        FailedError: If the file would answer otherwise than the network; nothing is written then.
    """
    path = weight_file(weights) if weights else SHIPPED
    network, card = load_network(path), read_card(path)
    with tempfile.TemporaryDirectory() as temporary:
        side = 4 * network.multiple
        example = torch.zeros(2, side, 2 * side, 3, dtype=torch.uint8)
        program = exported_program(Pixels(network), example, multiples(network))
        written = save_graph(program, form, Path(temporary), about_pixels(network, card), (OUTPUT,))
        run = open_engine(form, written)
        difference = max(
            float(np.abs(run(one[None])[0] - _pixels(network, one)).max()) for one in _crops(network.multiple)
        )
        if not difference <= TOLERANCE:
            raise FailedError(
                f"Expected the exported file to give the probabilities of {card.name} within {TOLERANCE:.0e}, but one differs by {difference:.1e}, and "
                "nothing was written; do report it, or choose another format"
            )
        make_folder(out)
        copied = copy_export(written, out)
    return ExportedPixels(card.name, str(copied), difference, network.multiple)


@torch.inference_mode()
def _pixels(network: SegmentationNetwork, image: Image) -> Any:
    batch = torch.from_numpy(image)[None].permute(0, 3, 1, 2).float() / 255
    return network(batch).softmax(dim=1).numpy()


def _crops(multiple: int) -> Iterator[Image]:
    from stages.data.smears import make_slide, render_field

    image = render_field("L2", make_slide(seed=0, index=2), seed=7, height=256, width=256).image
    for height, width in ((2, 3), (5, 4), (8, 8)):
        yield np.ascontiguousarray(image[: height * multiple, : width * multiple])
