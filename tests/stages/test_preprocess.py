"""Segmentation before learning: masks are made once, and change the pictures as asked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import stages.preprocess as segmented
from stages.assemble import assemble, make_task
from stages.data.images import load_rgb
from stages.preprocess import apply_mask, preparation
from stages.settings import DataSettings, SegmentSettings, StageSettings
from stages.splits.methods import holdout


def chosen(method: str, use: str = "black") -> SegmentSettings:
    return SegmentSettings.model_validate({"method": method, "use": use})


@pytest.mark.parametrize("method", ["residual_unet", "threshold", "hsv", "rgb", "otsu"])
def test_every_method_finds_the_blast_of_a_rendered_crop(
    rendered: Path, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    data = assemble(
        DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2", limit=2), near_duplicates=False
    )
    prepare = preparation(data.samples, f"{data.fingerprint}{method}", chosen(method))
    assert prepare is not None
    for sample in data.samples:
        image = load_rgb(sample)
        black = prepare.function(sample, image)
        assert black.shape == image.shape
        kept = black.any(axis=2)
        np.testing.assert_array_equal(black[kept], image[kept])
        if method == "hsv":
            continue  # a fixed interval is right for its own stain alone
        assert 0.01 < kept.mean() < 0.9
        middle = (
            slice(image.shape[0] // 3, -image.shape[0] // 3),
            slice(image.shape[1] // 3, -image.shape[1] // 3),
        )
        assert kept[middle].mean() > kept.mean()
    monkeypatch.setattr(segmented, "_segmenter", lambda method: pytest.fail("the masks are in the cache"))
    assert preparation(data.samples, f"{data.fingerprint}{method}", chosen(method, "crop")) is not None


def test_nothing_is_segmented_unless_asked(rendered: Path) -> None:
    data = assemble(
        DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2", limit=2), near_duplicates=False
    )
    assert preparation(data.samples, data.fingerprint, chosen("none")) is None


def test_a_stage_learns_from_the_segmented_images(rendered: Path) -> None:
    data = assemble(DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2"), near_duplicates=False)
    split = holdout(data.samples, seed=0)
    plain, black, crop = (
        make_task(
            data,
            split,
            StageSettings(data=DataSettings(dataset="all-idb2"), image_size=32, segment=chosen(method, use)),
        ).images
        for method, use in (("none", "black"), ("otsu", "black"), ("otsu", "crop"))
    )
    assert plain.shape == black.shape == crop.shape
    assert (black == 0).all(axis=3).mean() > 0.2 > (plain == 0).all(axis=3).mean()
    assert not np.array_equal(plain, crop)


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_a_crop_holds_every_pixel_of_the_mask(height: int, width: int, data: st.DataObject) -> None:
    mask = np.array(
        data.draw(
            st.lists(
                st.lists(st.sampled_from([0, 255]), min_size=width, max_size=width),
                min_size=height,
                max_size=height,
            )
        ),
        np.uint8,
    )
    image = np.arange(1, height * width * 3 + 1, dtype=np.uint32).astype(np.uint8).reshape(height, width, 3)
    image[..., 0] = np.where(mask > 0, 255, 1)
    cut = apply_mask(image, mask, "crop")
    assert (cut[..., 0] == 255).sum() == (mask > 0).sum()
    black = apply_mask(image, mask, "black")
    if mask.any():
        assert not black[mask == 0].any()
    else:
        assert black is image
        assert cut is image
