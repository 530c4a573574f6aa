"""Outlines of cells for other programs: GeoJSON as QuPath reads it, and COCO."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mtl.predict.drawing import colours_of
from mtl.predict.records import UNLIKE, CellSaid, FieldSaid

__all__ = ["Coco", "geojson"]

_CELL = "white cell"


def geojson(field: FieldSaid, classes: Sequence[str]) -> dict[str, Any]:
    """Return a FeatureCollection with a detection a cell: its polygon in px, classification and measurements.

    Args:
        field: An image.
        classes: Of stage 2; none where cells were only found.
    """
    colours = colours_of(classes)
    return {
        "type": "FeatureCollection",
        "features": [_feature(cell, colours) for cell in field.cells],
    }


def _feature(cell: CellSaid, colours: Mapping[str, tuple[int, int, int]]) -> dict[str, Any]:
    name = UNLIKE if cell.said and cell.said.unlike else cell.said.label if cell.said else _CELL
    ring = [list(point) for point in (*cell.outline, cell.outline[0])]
    measured: dict[str, float] = {"area px": cell.area_px, "nucleus area px": cell.nucleus_area_px}
    if cell.nucleus_to_cytoplasm is not None:
        measured["nucleus to cytoplasm"] = cell.nucleus_to_cytoplasm
    if cell.said is not None:
        measured |= {f"p {label}": value for label, value in cell.said.probabilities.items()}
        measured["unsure"] = float(cell.said.unsure)
        if cell.said.distance is not None:
            measured["distance to the training data"] = cell.said.distance
    return {
        "type": "Feature",
        "geometry": {"type": "Polygon", "coordinates": [ring]},
        "properties": {
            "objectType": "detection",
            "name": str(cell.cell),
            "classification": {"name": name, "color": list(colours[name])},
            "measurements": measured,
        },
    }


class Coco:
    """A COCO file of all images, made image by image, so that no more than its text is held.

    Args:
        classes: Of stage 2; none where cells were only found.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self.names = tuple(classes) or (_CELL,)
        self._images: list[str] = []
        self._cells: list[str] = []

    def add(self, field: FieldSaid) -> None:
        """Add an image and its cells."""
        number = len(self._images) + 1
        image = {"id": number, "file_name": field.image, "width": field.width, "height": field.height}
        self._images.append(json.dumps(image, ensure_ascii=False))
        for cell in field.cells:
            x0, y0, x1, y1 = cell.box
            told = {
                "id": len(self._cells) + 1,
                "image_id": number,
                "category_id": 1 + (self.names.index(cell.said.label) if cell.said else 0),
                "bbox": [x0, y0, x1 - x0, y1 - y0],
                "area": cell.area_px,
                "iscrowd": 0,
                "segmentation": [[value for point in cell.outline for value in point]],
            }
            if cell.said is not None:
                told |= {
                    "score": cell.said.probability,
                    "unsure": cell.said.unsure,
                    "unlike": cell.said.unlike,
                }
            self._cells.append(json.dumps(told))

    def to_text(self) -> str:
        """Return the file."""
        names = [json.dumps({"id": place, "name": name}) for place, name in enumerate(self.names, 1)]
        parts = {"images": self._images, "annotations": self._cells, "categories": names}
        return "{" + ",\n".join(f'"{key}": [{_lines(rows)}]' for key, rows in parts.items()) + "}\n"


def _lines(rows: Iterable[str]) -> str:
    return ",\n".join(rows)
