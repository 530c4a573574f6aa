from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation import masks
from segmentation.errors import MaskError
from segmentation.masks import ENCODINGS, cell_of, decode_mask, encode_mask, nucleus_of, read_mask

LABELS = np.array([[0, 1, 2], [2, 1, 0]], np.uint8)


@pytest.mark.parametrize("encoding", ["labels", "zheng", "bccd"])
@pytest.mark.parametrize("asked", ["auto", "same"])
def test_known_encodings_come_back(encoding: str, asked: str) -> None:
    values = encode_mask(LABELS, encoding)
    assert set(np.unique(values)) == set(ENCODINGS[encoding])
    decoded = decode_mask(values, encoding=encoding if asked == "same" else "auto")
    assert decoded.dtype == np.uint8
    np.testing.assert_array_equal(decoded, LABELS)


@pytest.mark.parametrize("foreground", [1, 2])
def test_two_levels_are_what_the_caller_says(foreground: int) -> None:
    expected = [[0, foreground]]
    for values in (np.array([[0, 255]], np.uint8), np.array([[False, True]])):
        np.testing.assert_array_equal(decode_mask(values, foreground=foreground), expected)
    np.testing.assert_array_equal(encode_mask(LABELS, "binary") > 0, LABELS > 0)


def test_the_error_names_the_values_that_do_not_belong() -> None:
    values = np.array([[0, 128, 255, 7, 7]], np.uint8)
    with pytest.raises(MaskError, match=r"but got 7 \(2 pixels\); name its encoding"):
        decode_mask(values)
    with pytest.raises(MaskError, match=r"0/155/255, but got 7, 128 \(3 pixels\)"):
        decode_mask(values, encoding="bccd")
    np.testing.assert_array_equal(decode_mask(values, snap=True), [[0, 1, 2, 0, 0]])


def test_snap_takes_the_level_with_most_pixels() -> None:
    values = np.array([[*[0] * 24, 155, 155, 155, 155, 200, 206, 255, 70]], np.uint8)
    np.testing.assert_array_equal(decode_mask(values, snap=True), [[*[0] * 24, 1, 1, 1, 1, 1, 2, 2, 0]])


@pytest.mark.parametrize("level", [112, 128, 155, 161, 171])
def test_every_value_goes_to_the_nearest_level_found(level: int) -> None:
    ramp = np.arange(256, dtype=np.uint8)
    values = np.concatenate([np.repeat([0, level, 255], [6000, 800, 500]), ramp]).astype(np.uint8)
    expected = [
        max((-abs(value - grey), label) for label, grey in enumerate((0, level, 255)))[1]
        for value in range(256)
    ]
    for found in (decode_mask(values[None], snap=True), decode_mask(values[None], encoding="grey")):
        np.testing.assert_array_equal(found[0, -256:], expected)
    with pytest.raises(MaskError, match="snap=True"):
        decode_mask(values[None])


def test_anti_aliased_edges_without_a_peak_are_no_cytoplasm() -> None:
    values = np.concatenate([np.zeros(2000), np.arange(20, 240, 10), np.full(900, 255)]).astype(np.uint8)
    decoded = decode_mask(values[None], snap=True)
    np.testing.assert_array_equal(decoded[0], np.where(values > 127, 2, 0))
    np.testing.assert_array_equal(decode_mask(values[None], snap=True, foreground=1)[0], values > 127)


@pytest.mark.parametrize("values", [(0, 80), (0, 200), (0, 60, 90, 120, 180, 255), (0, 300), (0, -5)])
def test_what_has_no_levels_is_not_rounded(values: tuple[int, ...]) -> None:
    with pytest.raises(MaskError, match=r"but got"):
        decode_mask(np.array([values * 10]), snap=True)


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2), (0, 2)])
def test_labels_are_no_grey_levels(values: tuple[int, ...]) -> None:
    mask = np.array([values * 10], np.uint8)
    np.testing.assert_array_equal(decode_mask(mask, snap=True), mask)
    with pytest.raises(MaskError, match="0/128/255"):
        decode_mask(mask, encoding="grey")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.zeros((2, 2, 2), np.uint8), r"\(H, W\), but got \(2, 2, 2\)"),
        (np.zeros((0, 3), np.uint8), r"\(H, W\), but got \(0, 3\)"),
        (np.full((2, 2), 0.5), "whole numbers, but got float64"),
        (np.arange(12, dtype=np.uint8).reshape(2, 2, 3), "grey, but got colours"),
        (np.array([[-1, 0]]), "but got -1"),
    ],
)
def test_what_is_no_mask_is_refused(values: np.ndarray, message: str) -> None:
    with pytest.raises(MaskError, match=message):
        decode_mask(values)


def test_size_mismatch_and_unknown_names_are_errors() -> None:
    with pytest.raises(MaskError, match=r"5 x 3 \(height x width\), but got 2 x 3"):
        decode_mask(LABELS, shape=(5, 3))
    with pytest.raises(MaskError, match="one of auto, grey, labels"):
        decode_mask(LABELS, encoding="rgb")  # type: ignore[arg-type]
    with pytest.raises(MaskError, match="`foreground`"):
        decode_mask(LABELS, foreground=3)


def test_files_of_every_mode(tmp_path: Path) -> None:
    values = encode_mask(LABELS)
    grey = Image.fromarray(values)
    palette = Image.frombytes("P", (3, 2), LABELS.tobytes())
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0])
    images = {"grey": grey, "rgb": grey.convert("RGB"), "rgba": grey.convert("RGBA"), "palette": palette}
    for name, image in images.items():
        image.save(tmp_path / f"{name}.png")
        np.testing.assert_array_equal(read_mask(tmp_path / f"{name}.png", shape=(2, 3)), LABELS)
    Image.fromarray(LABELS > 0).save(tmp_path / "bits.png")
    np.testing.assert_array_equal(read_mask(tmp_path / "bits.png", foreground=1), LABELS > 0)
    (tmp_path / "text.png").write_text("no image")
    with pytest.raises(MaskError, match="a mask image"):
        read_mask(tmp_path / "text.png")
    with pytest.raises(MaskError, match=r"grey\.png: Expected `mask` to hold the values 0/155/255"):
        read_mask(tmp_path / "grey.png", encoding="bccd")


def test_parts() -> None:
    np.testing.assert_array_equal(nucleus_of(LABELS), LABELS == 2)
    np.testing.assert_array_equal(cell_of(LABELS), LABELS > 0)


@pytest.mark.realdata
def test_real_masks(realdata: Path) -> None:
    for index in (1, 2):
        masks = [
            read_mask(path, encoding="zheng", snap=True)
            for path in (realdata / "wbc" / f"Dataset {index}").glob("*.png")
        ]
        assert masks
        assert all(set(np.unique(mask)) == {0, 1, 2} for mask in masks)


@pytest.mark.parametrize("rows", [1, 3, 512])
def test_bands_of_rows_give_what_numpy_gives(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    monkeypatch.setattr(masks, "_ROWS", rows)
    rng = np.random.default_rng(rows)
    numbers = rng.integers(0, 9, (10, 7)).astype(np.int32)
    where = rng.random(numbers.shape) < 0.5
    table = rng.integers(0, 99, 9).astype(np.int32)
    np.testing.assert_array_equal(masks.count_values(numbers), np.bincount(numbers.ravel()))
    np.testing.assert_array_equal(
        masks.count_values(numbers, where), np.bincount(numbers[where], minlength=numbers.max() + 1)
    )
    np.testing.assert_array_equal(masks.look_up(table, numbers), table[numbers])
    assert masks.look_up(table > 50, numbers).dtype == bool


def test_nothing_is_counted_in_nothing() -> None:
    assert masks.count_values(np.zeros((0, 5), np.int32)).tolist() == [0]
