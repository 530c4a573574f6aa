"""Local directional patterns worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from drawn_textures import texture

from stages.classical_settings import ClassicalSettings
from stages.learners.classical.features import ldp
from stages.learners.classical.features.view import View

# The example of Jabid et al. (2010), Figure 2: responses and code of the middle pixel.
PAPER = np.array([[85, 32, 26], [53, 50, 10], [60, 38, 45]], np.uint8)


def test_the_papers_own_pixel() -> None:
    middle = ldp.responses(PAPER)[:, 1, 1]
    # East: 5 * (45 + 10 + 26) - 3 * (32 + 85 + 53 + 60 + 38), and so on round.
    assert middle.tolist() == [-399, -503, 97, 313, 537, 161, 97, -303]
    assert ldp.directional_patterns(PAPER)[1, 1] == 0b00010011  # 537, 503 and 399 are the largest in size


def test_an_edge_by_hand() -> None:
    # Right column bright: towards the east 5 * 30 - 3 * 0 = 150, north-east and south-east 5 * 20 - 3 * 10 = 70.
    image = np.array([[0, 0, 10], [0, 0, 10], [0, 0, 10]], np.uint8)
    assert ldp.responses(image)[:, 1, 1].tolist() == [150, 70, -10, -90, -90, -90, -10, 70]
    # 150 first; of four alike in size (90: directions 3, 4, 5) the earlier two.
    assert ldp.directional_patterns(image)[1, 1] == 0b00011001


def test_plain_ground_takes_the_first_directions() -> None:
    assert (ldp.directional_patterns(np.full((4, 5), 9, np.uint8)) == 0b111).all()


def test_every_pattern_has_three_ones_and_a_row_counts_them() -> None:
    view = View(texture())
    codes = ldp.directional_patterns(view.grey)
    assert {int(code).bit_count() for code in np.unique(codes)} == {3}
    row = dict(zip(ldp.columns(ClassicalSettings()), ldp.describe(view, ClassicalSettings()), strict=True))
    assert len(row) == 56
    assert sum(row.values()) == pytest.approx(1)
    inner = codes[1:-1, 1:-1]
    for code in np.unique(inner):
        assert row[f"pattern {code:08b}"] == pytest.approx((inner == code).mean())
