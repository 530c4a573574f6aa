"""What an image goes through: masks are made once, change the pictures as asked, and alike for a store and for one image."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segmentation.cache import cache_folder
from segmentation.errors import ModelError, ParameterError
from segmentation.networks import NetworkRecipe, create_network
from segmentation.weights import ModelCard, save_network
from stages.assemble import Assembled, assemble, make_task
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.preprocess import Preprocess, apply_mask
from stages.settings import PreprocessSettings
from stages.splits.methods import holdout


def prepare(method: str = "none", use: str = "black", **more: object) -> Preprocess:
    values = {"segment": {"method": method, "use": use}, "image_size": 32, **more}
    return Preprocess(PreprocessSettings.model_validate(values))


def crops(rendered: Path, limit: int | None = None) -> Assembled:
    chosen = DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2", limit=limit)
    return assemble(chosen, near_duplicates=False)


@pytest.mark.parametrize(
    "method", ["residual_unet", "white-cells", "hsv", "channel-mixer", "otsu-saturation", "k-means"]
)
def test_every_method_finds_the_blast_of_a_rendered_crop(rendered: Path, method: str) -> None:
    for sample in crops(rendered, limit=2).samples:
        image = load_rgb(sample)
        side = min(image.shape[:2])
        black = prepare(method, fit="crop", image_size=side)(image)
        assert black.shape == (side, side, 3)
        if method in ("hsv", "channel-mixer"):
            continue  # a fixed interval or level is right for its own stain and lamp alone
        kept = black.any(axis=2)
        assert 0.01 < kept.mean() < 0.9
        middle = slice(side // 3, -side // 3)
        assert kept[middle, middle].mean() > kept.mean()


@pytest.mark.parametrize("method", ["none", "otsu-saturation"])
@pytest.mark.parametrize("use", ["black", "crop", "blue"])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_a_store_holds_what_each_image_gives_alone(
    rendered: Path, tmp_path: Path, method: str, use: str, fit: str
) -> None:
    data = crops(rendered, limit=2)
    samples = list(data.samples)
    for number, (top, left) in enumerate(((40, 0), (0, 70))):  # upright and lying images
        pixels = load_rgb(samples[number])
        path = tmp_path / f"{number}.png"
        Image.fromarray(pixels[top:, left:]).save(path)
        samples[number] = Sample(path=path, name=path.name, label=samples[number].label, dataset="x")
    one = prepare(method, use, fit=fit)
    store = one.store(samples, f"{tmp_path}")
    for row, sample in zip(store, samples, strict=True):
        np.testing.assert_array_equal(row, one(load_rgb(sample)))


def test_masks_are_made_once_and_serve_every_use(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = crops(rendered, limit=2)
    told: list[tuple[int, int]] = []
    key = f"{data.fingerprint} once"
    black = prepare("otsu-saturation").store(
        data.samples, key, lambda done, total: told.append((done, total))
    )
    assert told == [(number, len(data.samples)) for number in range(1, len(data.samples) + 1)]
    monkeypatch.setattr(Preprocess, "_find", property(lambda _: pytest.fail("the masks are in the cache")))
    cut = prepare("otsu-saturation", "crop").store(data.samples, key)
    assert not np.array_equal(black, cut)


def test_damaged_masks_of_the_cache_are_made_again(rendered: Path) -> None:
    data = crops(rendered, limit=2)
    key = f"{data.fingerprint} damaged"
    before = np.array(prepare("otsu-saturation").store(data.samples, key))
    for folder in ("masks", "stores"):
        newest = max((cache_folder() / folder).iterdir(), key=lambda path: path.stat().st_mtime_ns)
        newest.write_bytes(newest.read_bytes()[:100])
    np.testing.assert_array_equal(prepare("otsu-saturation").store(data.samples, key), before)


def test_an_image_that_cannot_be_segmented_is_named(rendered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ParameterError("nothing to see")

    data = crops(rendered, limit=1)
    monkeypatch.setattr(Preprocess, "_find", fail)
    with pytest.raises(DataError, match="nothing to see") as caught:
        prepare("otsu-saturation").store(data.samples, "broken")
    assert data.samples[0].path.name in str(caught.value)


def test_weights_travel_and_others_are_not_taken_for_them(tmp_path: Path) -> None:
    for width in (2, 3):
        recipe = NetworkRecipe(width=width, depth=2)
        card = ModelCard("tiny", recipe, "nothing", "Apache-2.0")
        save_network(create_network(recipe), tmp_path / f"{width}.safetensors", card)
    segment = {"method": "residual_unet", "weights": str(tmp_path / "2.safetensors")}
    own = Preprocess(PreprocessSettings.model_validate({"segment": segment}))
    (tmp_path / "model").mkdir()
    own.save(tmp_path / "model")
    identity = own.identity
    (tmp_path / "2.safetensors").unlink()
    copy = Preprocess.of_model(own.settings, own.fitted, tmp_path / "model")
    assert copy.identity == identity
    copy.check()
    for suffix in ("safetensors", "json"):
        other = (tmp_path / f"3.{suffix}").read_bytes()
        (tmp_path / "model" / f"segmentation.{suffix}").write_bytes(other)
    assert copy.identity != identity
    with pytest.raises(ModelError, match=r"2\.safetensors"):
        own.check()


def test_the_network_that_segments_is_part_of_what_the_result_depends_on() -> None:
    assert prepare("none").identity == prepare("otsu-saturation").identity == ""
    assert len(prepare("residual_unet").identity) == 64


def test_a_stage_learns_from_the_segmented_images(rendered: Path) -> None:
    data = crops(rendered)
    split = holdout(data.samples, seed=0)
    plain, black, crop = (
        make_task(data, split, prepare(method, use)).images
        for method, use in (("none", "black"), ("otsu-saturation", "black"), ("otsu-saturation", "crop"))
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
    mask = mask > 0
    cut = apply_mask(image, mask, "crop")
    assert (cut[..., 0] == 255).sum() == mask.sum()
    black = apply_mask(image, mask, "black")
    if mask.any():
        assert not black[~mask].any()
    else:
        np.testing.assert_array_equal(black, image)
        np.testing.assert_array_equal(cut, image)
