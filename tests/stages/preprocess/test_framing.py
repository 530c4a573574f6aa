"""How wide an image is around its cell, of cells whose size we know."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from segmentation.files import write_image
from stages.data.sample import Sample
from stages.preprocess.framing import cell_frame


def drawn(path: Path, side: int, radius: int) -> Sample:
    image = np.full((side, side, 3), (236, 228, 232), np.uint8)
    cv2.circle(image, (side // 2, side // 2), radius, (190, 160, 205), -1)
    cv2.circle(image, (side // 2, side // 2), round(radius * 0.8), (95, 45, 140), -1)
    write_image(path, image)
    return Sample(path, path.name, "a", "drawn")


@pytest.mark.parametrize(("side", "radius"), [(200, 40), (160, 60), (120, 50)])
def test_the_side_in_parts_of_the_cell(tmp_path: Path, side: int, radius: int) -> None:
    samples = [drawn(tmp_path / f"{number}.png", side, radius) for number in range(5)]
    assert cell_frame(samples) == pytest.approx(side / (2 * radius + 1), rel=0.12)


def test_one_odd_image_does_not_decide(tmp_path: Path) -> None:
    samples = [drawn(tmp_path / f"{number}.png", 200, 40) for number in range(4)]
    assert cell_frame([*samples, drawn(tmp_path / "odd.png", 200, 95)]) == pytest.approx(200 / 81, rel=0.12)


def test_without_cells_nothing_is_said(tmp_path: Path) -> None:
    write_image(tmp_path / "glass.png", np.full((100, 100, 3), 230, np.uint8))
    glass = Sample(tmp_path / "glass.png", "glass.png", "a", "drawn")
    assert cell_frame([glass, glass]) is None
