"""Pictures of where the networks of a run looked on a smear, and whether that means anything."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from mtl.predict.predictor import Looked, Predictor
from segmentation.cells import cut_cell
from stages.errors import ModelError
from stages.explain import Explainer, Explanation, side_by_side
from stages.learners.model import Model

__all__ = ["Explained"]

Pixels = npt.NDArray[np.uint8]
_SIDE, _CELLS, _CAPTION = 224, 4, 22


class Explained:
    """Explains what a predictor says.

    Args:
        predictor: Of a run with networks; stages without one are left out.
    """

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._field, self._cell = (_explainer(model) for model in (predictor.fields, predictor.cells))

    def picture(self, looked: Looked) -> Pixels | None:
        """Return a row for the field and one for each of its surest cells; None where nothing can be explained."""
        rows = []
        if self._field is not None and looked.said.said is not None:
            said = looked.said.said
            rows.append(_row(self._field.explain(looked.image, said.label), f"field: {said.answer}"))
        if self._cell is not None:
            told = [cell for cell in looked.said.cells if cell.said is not None]
            surest = sorted(told, key=lambda cell: -(cell.said.probability if cell.said else 0))[:_CELLS]
            for cell in surest:
                crop = cut_cell(looked.image, cell.box, self._predictor.frame)
                answer = cell.said.answer if cell.said else ""
                label = cell.said.label if cell.said else None
                rows.append(_row(self._cell.explain(crop, label), f"cell {cell.cell}: {answer}"))
        if not rows:
            return None
        wide = max(row.shape[1] for row in rows)
        return np.concatenate(
            [np.pad(row, ((0, 0), (0, wide - row.shape[1]), (0, 0)), constant_values=255) for row in rows]
        )

    def sanity(self, images: list[Pixels]) -> dict[str, dict[str, float]]:
        """Return how alike maps stay when all weights are shuffled, by what is explained and by method; 0 is good.

        Args:
            images: Some fields.
        """
        found = {}
        if self._field is not None and images:
            found["fields"] = self._field.sanity([self._field.explain(image) for image in images])
        if self._cell is not None and images:
            frame = self._predictor.frame
            seen = [(image, self._predictor.seer.see(image).cells.cells) for image in images]
            crops = [cut_cell(image, cells[0].box, frame) for image, cells in seen if cells]
            if crops:
                found["cells"] = self._cell.sanity([self._cell.explain(crop) for crop in crops])
        return found


def _explainer(model: Model | None) -> Explainer | None:
    try:
        return None if model is None else Explainer(model)
    except ModelError:  # it has no network
        return None


def _row(explained: Explanation, title: str) -> Pixels:
    row = side_by_side(explained, _SIDE)
    text = f"{title} (seen, {', '.join(explained.maps)} for {explained.label})"
    strip = Image.new("RGB", (row.shape[1], _CAPTION), (255, 255, 255))
    ImageDraw.Draw(strip).text((4, 3), text, fill=(40, 40, 40), font=ImageFont.load_default(13))
    return np.asarray(cv2.vconcat([np.asarray(strip), row]), np.uint8)
