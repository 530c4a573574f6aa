"""GeoJSON and COCO against the label mask that they outline, drawn again by Pillow."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageDraw
from scipy import ndimage

from mtl.predict.drawing import colours_of
from mtl.predict.export import Coco, geojson
from mtl.predict.predictor import Looked, Predictor
from mtl.predict.settings import PredictSmears
from stages.data.images import decode_rgb

CHEAP = PredictSmears.model_validate({"segment": {"method": "white-cells"}})
CLASSES = ("normal", "lymphoblast")


@pytest.fixture(scope="module")
def looked(tiny_run: Path, rendered: Path) -> list[Looked]:
    """Three fields with what was seen in them."""
    predictor = Predictor(tiny_run, CHEAP)
    paths = sorted((rendered / "ALL-IDB1" / "im").iterdir())[:3]
    return [predictor.look(decode_rgb(path), path.name, path.stem) for path in paths]


def drawn(line: list[list[float]], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Pixels whose middles lie in a polygon or on it; the middle of pixel (0, 0) is (0.5, 0.5)."""
    canvas = Image.new("1", (shape[1], shape[0]))
    ImageDraw.Draw(canvas).polygon([(x - 0.5, y - 0.5) for x, y in line], fill=1, outline=1)
    return np.asarray(canvas)


def largest(mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """The mask's largest part, its holes filled, as an outline shows it."""
    parts, _ = ndimage.label(mask, np.ones((3, 3)))
    biggest = parts == 1 + np.argmax(np.bincount(parts.ravel())[1:])
    return np.asarray(ndimage.binary_fill_holes(biggest))


def test_every_polygon_is_the_mask_of_its_cell(looked: list[Looked]) -> None:
    seen = 0
    for one in looked:
        features = geojson(one.said, CLASSES)["features"]
        assert len(features) == len(np.unique(one.seen.cells.instances)) - 1
        for feature in features:
            assert (feature["type"], feature["geometry"]["type"]) == ("Feature", "Polygon")
            (ring,) = feature["geometry"]["coordinates"]
            assert ring[0] == ring[-1]
            mask = one.seen.cells.instances == int(feature["properties"]["name"])
            assert feature["properties"]["measurements"]["area px"] == mask.sum()
            polygon, cell = drawn(ring, mask.shape), largest(mask)
            assert (polygon & cell).sum() / (polygon | cell).sum() > 0.93  # smoothed by 0.7 px
            seen += 1
    assert seen > 4


def test_geojson_is_json_that_says_the_answers(looked: list[Looked]) -> None:
    for one in looked:
        told = json.loads(json.dumps(geojson(one.said, CLASSES), allow_nan=False))
        assert told["type"] == "FeatureCollection"
        for feature, cell in zip(told["features"], one.said.cells, strict=True):
            assert cell.said is not None
            name = feature["properties"]["classification"]["name"]
            assert name == ("unlike the training data" if cell.said.unlike else cell.said.label)
            assert tuple(feature["properties"]["classification"]["color"]) == colours_of(CLASSES)[name]
            measured = feature["properties"]["measurements"]
            assert sum(measured[f"p {label}"] for label in CLASSES) == pytest.approx(1)


def test_coco_boxes_areas_and_numbers_are_those_of_the_masks(looked: list[Looked]) -> None:
    coco = Coco(CLASSES)
    for one in looked:
        coco.add(one.said)
    told = json.loads(coco.to_text())
    assert [image["file_name"] for image in told["images"]] == [one.said.image for one in looked]
    numbers = [cell["id"] for cell in told["annotations"]]
    assert numbers == list(range(1, 1 + len(numbers)))
    categories = {one["id"]: one["name"] for one in told["categories"]}
    rest = iter(told["annotations"])
    for image, one in zip(told["images"], looked, strict=True):
        assert (image["height"], image["width"]) == one.image.shape[:2]
        for cell in one.said.cells:
            annotation = next(rest)
            assert annotation["image_id"] == image["id"]
            assert cell.said is not None
            assert categories[annotation["category_id"]] == cell.said.label
            rows, columns = np.nonzero(one.seen.cells.instances == cell.cell)
            x, y, wide, tall = annotation["bbox"]
            assert (x, y) == (columns.min(), rows.min())
            assert (x + wide, y + tall) == (columns.max() + 1, rows.max() + 1)
            assert annotation["area"] == len(rows)
            (line,) = annotation["segmentation"]
            assert len(line) % 2 == 0
            assert len(line) >= 6
    assert next(rest, None) is None


def test_cells_without_a_stage_2_are_white_cells(tiny_run: Path, looked: list[Looked]) -> None:
    predictor = Predictor(tiny_run, CHEAP.model_copy(update={"stage": "fields"}))
    said = predictor.look(looked[0].image, "a", "a").said
    names = {one["properties"]["classification"]["name"] for one in geojson(said, ())["features"]}
    assert names == {"white cell"}
    coco = Coco(())
    coco.add(said)
    told = json.loads(coco.to_text())
    assert [one["name"] for one in told["categories"]] == ["white cell"]
    assert {one["category_id"] for one in told["annotations"]} == {1}


def test_a_file_of_no_image_is_still_coco() -> None:
    assert json.loads(Coco(CLASSES).to_text()) == {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "normal"}, {"id": 2, "name": "lymphoblast"}],
    }


@pytest.mark.parametrize("count", [1, 2, 5, 8, 15, 40])
def test_every_class_has_a_colour_of_its_own(count: int) -> None:
    names = [f"class {number}" for number in range(count)]
    colours = colours_of(names)
    assert len({colours[name] for name in names}) == count
