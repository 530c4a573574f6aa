"""Strict decoding, masks and fingerprints, on files written here."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segmentation.masks import read_mask
from stages.data.images import MAX_SIDE, content_key, load_mask, load_rgb
from stages.data.sample import Sample
from stages.errors import DataError

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(0, 256, (40, 50, 3), np.uint8)


def sample(path: Path, **more: object) -> Sample:
    return Sample(path=path, name=path.name, label="a", dataset="folder", **more)  # type: ignore[arg-type]


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_rgb(sample(path))
    text = str(caught.value)
    assert "\n" not in text
    assert text.isprintable()
    assert text.startswith("Expected `")
    assert "; do " in text
    return text


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif", "PNG"])
def test_lossless_formats_come_back_exactly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(PIXELS).save(path)
    np.testing.assert_array_equal(load_rgb(sample(path)), PIXELS)


def test_a_crop_is_cut_and_must_lie_inside(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)
    crop = load_rgb(sample(path, crop=(3, 4, 20, 30)))
    np.testing.assert_array_equal(crop, PIXELS[4:30, 3:20])
    for bad in ((0, 0, 51, 10), (5, 5, 5, 9), (-1, 0, 3, 3)):
        with pytest.raises(DataError, match="holds the crop"):
            load_rgb(sample(path, crop=bad))


@pytest.mark.parametrize(
    ("mode", "suffix", "says"),
    [
        ("L", "png", "8-bit greyscale"),
        ("L", "jpg", "8-bit greyscale"),
        ("LA", "png", "transparency"),
        ("P", "png", "palette"),
        ("P", "bmp", "palette"),
        ("1", "png", "black-and-white"),
        ("RGBA", "png", "RGBA"),
        ("CMYK", "jpg", "CMYK"),
        ("CMYK", "tif", "CMYK"),
        ("I;16", "png", "16-bit"),
        ("I;16", "tif", "16-bit"),
        ("F", "tif", "floating-point"),
        ("YCbCr", "tif", "YCbCr"),
        ("LAB", "tif", "LAB"),
    ],
)
def test_other_modes_are_named_with_the_way_to_convert(
    tmp_path: Path, mode: str, suffix: str, says: str
) -> None:
    path = tmp_path / f"a.{suffix}"
    grey = Image.fromarray(PIXELS[..., 0])
    if mode == "I;16":
        image = Image.fromarray(PIXELS[..., 0].astype(np.uint16) * 257)
    elif mode in ("F", "LAB"):
        image = grey.convert("F") if mode == "F" else Image.frombytes("LAB", (50, 40), PIXELS.tobytes())
    else:
        image = Image.fromarray(PIXELS).convert(mode)
    image.save(path)
    text = error_of(path)
    assert says in text
    assert "convert it to 8-bit RGB" in text


def test_16_bit_rgb_is_not_cut_down_in_silence(tmp_path: Path) -> None:
    import tifffile

    deep = PIXELS.astype(np.uint16) * 257
    tiff = tmp_path / "a.tif"
    tifffile.imwrite(tiff, deep, photometric="rgb")
    packed = tmp_path / "b.tif"
    tifffile.imwrite(packed, deep, photometric="rgb", compression="zlib")
    png = tmp_path / "a.png"
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    png.write_bytes(_png(50, 40, 16, 2, rows))
    for path in (tiff, packed, png):
        assert "16-bit" in error_of(path)


def _png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_a_tiff_of_several_pages_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    page = Image.fromarray(PIXELS)
    page.save(path, save_all=True, append_images=[page])
    assert "several pages" in error_of(path)


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
def test_truncated_files_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    whole = tmp_path / f"whole.{suffix}"
    Image.fromarray(np.tile(PIXELS, (4, 4, 1))).save(whole)
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole.read_bytes()[: int(share * whole.stat().st_size)])
    assert "cut." in error_of(path)


@given(
    junk=st.binary(max_size=200),
    start=st.sampled_from([b"", b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"II*\0", b"BM"]),
)
@settings(max_examples=60, deadline=None)
def test_junk_never_raises_anything_but_a_data_error(
    tmp_path_factory: pytest.TempPathFactory, junk: bytes, start: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "junk.jpg"
    path.write_bytes(start + junk)
    error_of(path)


@pytest.mark.parametrize("size", [(1, 1), (15, 100), (100, 15)])
def test_tiny_images_are_refused(tmp_path: Path, size: tuple[int, int]) -> None:
    path = tmp_path / "a.png"
    Image.new("RGB", size).save(path)
    assert f"{size[0]}x{size[1]} px" in error_of(path)


def test_huge_images_are_refused_before_their_pixels_are_decoded(tmp_path: Path) -> None:
    for side in (20_000, MAX_SIDE + 1):
        path = tmp_path / f"{side}.png"
        path.write_bytes(_png(side, side, 8, 2, b"")) if side > 15_000 else Image.new("RGB", (side, 16)).save(
            path
        )
        assert str(MAX_SIDE) in error_of(path)


def test_missing_files_folders_and_odd_names(tmp_path: Path) -> None:
    assert "got nothing" in error_of(tmp_path / "none.png")
    assert "Expected `" in error_of(tmp_path)
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9\n.png"))
    text = error_of(odd)
    assert "caf\\xe9\\n.png" in text
    text.encode()


def test_permission_is_told_from_damage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(PIXELS).save(path)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Image, "open", refuse)
    assert "permissions" in error_of(path)


@pytest.mark.parametrize("middle", [128, 155, 161])
@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_masks_of_three_levels(tmp_path: Path, middle: int, mode: str) -> None:
    codes = np.zeros((40, 50), np.uint8)
    codes[5:30, 5:30] = 1
    codes[10:20, 10:20] = 2
    grey = np.array([0, middle, 255], np.uint8)[codes]
    grey[5, 5:10] = middle // 3  # anti-aliased towards the background
    codes[5, 5:10] = 0
    path = tmp_path / "m.png"
    Image.fromarray(grey).convert(mode).save(path)
    np.testing.assert_array_equal(load_mask(path, (40, 50)), codes)
    np.testing.assert_array_equal(read_mask(path, snap=True), codes)


@pytest.mark.parametrize("mode", ["L", "1"])
def test_binary_masks_are_nuclei(tmp_path: Path, mode: str) -> None:
    codes = np.zeros((40, 50), np.uint8)
    codes[5:30, 5:30] = 2
    path = tmp_path / "m.png"
    Image.fromarray(np.where(codes == 2, 255, 0).astype(np.uint8)).convert(mode).save(path)
    np.testing.assert_array_equal(load_mask(path, (40, 50)), codes)


def test_an_empty_mask_is_background(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.new("L", (50, 40)).save(path)
    assert not load_mask(path, (40, 50)).any()


@pytest.mark.parametrize("values", [(0, 1), (0, 1, 2), (0, 80), (0, 200), (0, 60, 90, 120, 180, 255)])
def test_other_mask_values_are_refused(tmp_path: Path, values: tuple[int, ...]) -> None:
    path = tmp_path / "m.png"
    grey = np.array(values, np.uint8)[np.arange(2000) % len(values)].reshape(40, 50)
    Image.fromarray(grey).save(path)
    with pytest.raises(DataError, match="0/128/255 or 0/155/255"):
        load_mask(path, (40, 50))


def test_a_mask_must_fit_and_be_grey(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.new("L", (50, 40)).save(path)
    with pytest.raises(DataError, match="40x50 px as its image"):
        load_mask(path, (50, 40))
    Image.fromarray(PIXELS).save(path)
    with pytest.raises(DataError, match="a colour image"):
        load_mask(path, (40, 50))
    Image.fromarray(PIXELS).convert("RGBA").save(path)
    with pytest.raises(DataError, match="RGBA"):
        load_mask(path, (40, 50))


def test_the_fingerprint_follows_content_and_not_place(tmp_path: Path) -> None:
    keys = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        path = tmp_path / folder / "x.png"
        Image.fromarray(PIXELS).save(path)
        keys.append(content_key([sample(path)]))
    assert keys[0] == keys[1]
    path = tmp_path / "b" / "x.png"
    assert content_key([sample(path, group="g")]) != keys[0]
    assert content_key([sample(path, mask=path)]) != keys[0]
    Image.fromarray(255 - PIXELS).save(path)
    assert content_key([sample(path)]) != keys[0]
    with pytest.raises(DataError, match="got nothing"):
        content_key([sample(tmp_path / "none.png")])


@given(st.lists(st.text(max_size=5), min_size=1, max_size=4))
@settings(max_examples=40, deadline=None)
def test_fields_of_the_fingerprint_cannot_run_into_each_other(
    tmp_path_factory: pytest.TempPathFactory, labels: list[str]
) -> None:
    path = tmp_path_factory.getbasetemp() / "key.png"
    if not path.exists():
        Image.fromarray(PIXELS).save(path)
    one = [Sample(path, "n", "".join(labels), "folder", group="g")]
    two = [Sample(path, "n" + labels[0], "".join(labels[1:]), "folder", group="g")]
    assert (content_key(one) == content_key(two)) == (labels[0] == "")


def test_a_damaged_image_of_the_cache_is_rendered_again_and_not_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path))
    folder = tmp_path / "rendered" / "8-8-4"
    (folder / "im").mkdir(parents=True)
    (folder / "im" / "a.png").write_bytes(b"")
    sample = Sample(folder / "im" / "a.png", "a.png", "a", "x")
    with pytest.raises(DataError, match="an empty file") as caught:
        load_rgb(sample)
    assert f"do remove the folder `{folder}` to have it rendered again" in str(caught.value)
