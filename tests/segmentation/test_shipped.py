"""The shipped network, on smears it has not seen."""

from pathlib import Path

import numpy as np
import pytest

from segmentation.cells import find_cells, keep_cells, main_cell
from segmentation.crops import read_image
from segmentation.masks import cell_of, nucleus_of, read_mask
from segmentation.predict import Segmenter
from segmentation.weights import load_shipped
from stages.data.smears import make_slide, render_field


@pytest.fixture(scope="module")
def segmenter() -> Segmenter:
    return Segmenter(load_shipped())


def _dice(one: np.ndarray, other: np.ndarray) -> float:
    return 2 * int((one & other).sum()) / int(one.sum() + other.sum())


@pytest.mark.parametrize(("fab", "pixels_per_um"), [("normal", 6.0), ("L1", 12.0), ("L2", 3.0), ("L3", 8.0)])
def test_rendered_fields_of_any_scale(segmenter: Segmenter, fab: str, pixels_per_um: float) -> None:
    field = render_field(fab, make_slide(4321, 0), 99, 360, 420, pixels_per_um)
    labels = segmenter.labels(field.image)
    assert _dice(nucleus_of(labels), field.nucleus) > 0.9
    assert _dice(cell_of(labels), field.nucleus | field.cytoplasm) > 0.9


def test_cells_of_a_rendered_field_are_counted(segmenter: Segmenter) -> None:
    field = render_field("L1", make_slide(4321, 1), 5, 480, 640, 8.0)
    found = segmenter.cells(field.image).cells
    assert len(found) == pytest.approx(len(field.cells), abs=max(1, len(field.cells) // 5))


@pytest.mark.realdata
@pytest.mark.parametrize(("name", "nucleus", "cell"), [("Dataset 1", 0.91, 0.90), ("Dataset 2", 0.94, 0.88)])
def test_real_cells(segmenter: Segmenter, name: str, nucleus: float, cell: float, realdata: Path) -> None:
    folder = realdata / "wbc" / name
    scores = []
    for path in sorted(folder.glob("*.bmp"))[:: 12 if name == "Dataset 1" else 3]:
        image = read_image(path)
        truth = read_mask(path.with_suffix(".png"), encoding="zheng", snap=True)
        labels = segmenter.labels(image)
        cells = find_cells(labels)
        main = main_cell(cells)
        assert main is not None
        kept = keep_cells(labels, cells, [main])
        scores.append((_dice(nucleus_of(kept), nucleus_of(truth)), _dice(cell_of(kept), cell_of(truth))))
    means = np.mean(scores, axis=0)
    assert means[0] > nucleus
    assert means[1] > cell
