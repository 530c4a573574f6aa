"""What preprocessing finds on the training part: nothing else is looked at, and it is what the functions below find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segmentation.threshold import fit_hsv, measure, move, pool
from stages.assemble import Assembled, assemble, make_task
from stages.data.images import content_key, load_rgb
from stages.data.sample import Sample
from stages.data.smears.masked import render_masked
from stages.data_settings import DataSettings
from stages.errors import DataError
from stages.preprocess import Fitted, Preprocess
from stages.preprocess.sharpen import sharpness
from stages.settings import PreprocessSettings
from stages.splits.methods import holdout

EVERYTHING = {
    "normalise": {"method": "reinhard"},
    "segment": {"method": "hsv", "settings": {"fit": "own"}, "use": "blue"},
    "sharpen": {"method": "unsharp-adaptive", "sigma": 1.5, "quantile": 0.9},
    "image_size": 48,
}


def preprocess(**values: object) -> Preprocess:
    return Preprocess(PreprocessSettings.model_validate({"image_size": 48, **values}))


@pytest.fixture(scope="module")
def masked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Sample, ...]:
    """Eight rendered fields with masks of their own, two classes."""
    folder = tmp_path_factory.mktemp("masked")
    images, labels = render_masked(8, 5, side=96)
    samples = []
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        path, mask = folder / f"{number}.png", folder / "masks" / f"{number}.png"
        mask.parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(path)
        Image.fromarray(np.array([0, 128, 255], np.uint8)[label]).save(mask)
        samples.append(Sample(path, path.name, str(number % 2), "fields", mask=mask))
    return tuple(samples)


def crops(rendered: Path) -> Assembled:
    chosen = DataSettings(dataset="all-idb2", root=rendered / "ALL-IDB2")
    return assemble(chosen, near_duplicates=False)


@pytest.mark.parametrize("name", ["grey-world", "flat-field", "reinhard", "macenko"])
def test_the_target_is_pooled_over_the_training_images(masked: tuple[Sample, ...], name: str) -> None:
    fitted = preprocess(normalise={"method": name}).fit(masked[:4], name).fitted
    own = [measure(load_rgb(sample), name) for sample in masked[:4]]
    np.testing.assert_array_equal(fitted.colour, pool([one for one in own if one is not None], name))
    assert fitted.images == 4
    assert Fitted.model_validate_json(fitted.model_dump_json()) == fitted


def test_bounds_are_fitted_on_normalised_images_and_their_masks(masked: tuple[Sample, ...]) -> None:
    fitted = preprocess(**EVERYTHING).fit(masked[:5], "bounds").fitted
    images = [move(load_rgb(sample), "reinhard", np.array(fitted.colour)) for sample in masked[:5]]
    nuclei = [np.array(Image.open(sample.mask or "")) == 255 for sample in masked[:5]]
    told = fit_hsv(images, nuclei).model_dump(exclude={"small"})
    assert fitted.bounds == told
    # The aim is what nine in ten of them reach; the width grows with what resizing takes away.
    assert fitted.sharpness == np.quantile([sharpness(image, 1.5 * 2) for image in images], 0.9)


def test_masks_in_a_folder_are_found_by_name_and_those_of_other_parts_are_not_read(
    masked: tuple[Sample, ...], tmp_path: Path
) -> None:
    own = preprocess(segment={"method": "hsv", "settings": {"fit": "own"}})
    for sample in masked[:2]:
        (tmp_path / sample.name).write_bytes((sample.mask or Path()).read_bytes())
    (tmp_path / masked[7].name).write_bytes(b"no mask, and of an image that is tested on")
    asked = preprocess(segment={"method": "hsv", "settings": {"fit": str(tmp_path)}})
    found = asked.fit(masked[:5], "folder").fitted
    assert found.bounds == own.fit(masked[:2], "own").fitted.bounds
    with pytest.raises(DataError, match=r"have masks of their name in .*; do name"):
        asked.fit(masked[3:5], "folder")
    before = asked.key
    (tmp_path / masked[0].name).write_bytes((masked[1].mask or Path()).read_bytes())
    assert asked.key != before


def test_masks_that_are_not_there_are_asked_for(masked: tuple[Sample, ...], tmp_path: Path) -> None:
    with pytest.raises(DataError, match="have masks of their own"):
        preprocess(**EVERYTHING).fit([replace(sample, mask=None) for sample in masked], "none")
    with pytest.raises(DataError, match="folder of masks"):
        preprocess(segment={"method": "hsv", "settings": {"fit": str(tmp_path)}}).check()


def test_macenko_says_where_no_training_image_shows_two_stains(tmp_path: Path) -> None:
    Image.new("RGB", (40, 40), "white").save(tmp_path / "white.png")
    blank = [Sample(tmp_path / "white.png", "white.png", "a", "x")]
    with pytest.raises(DataError, match="two stains in some training image, but got none in 1"):
        preprocess(normalise={"method": "macenko"}).fit(blank, "blank")


def test_what_is_tested_on_changes_nothing(masked: tuple[Sample, ...], tmp_path: Path) -> None:
    """Images of the test part are swapped for others: what was fitted stays, to the bit."""

    def fitted(samples: Sequence[Sample]) -> Fitted:
        data = Assembled((), tuple(samples), ("0", "1"), content_key(samples), "image", (), {})
        split = replace(holdout(samples, seed=0), train=names[:5], validation=names[5:6], test=names[6:])
        return make_task(data, split, preprocess(**EVERYTHING)).preprocess.fitted

    names = tuple(sample.name for sample in masked)
    others = []
    for sample in masked[6:]:
        path = tmp_path / sample.name
        Image.fromarray(255 - load_rgb(sample)).save(path)
        others.append(replace(sample, path=path))
    before = fitted(masked)
    assert before == fitted([*masked[:6], *others])
    swapped = [replace(masked[0], path=others[0].path), *masked[1:]]
    assert fitted(swapped) != before


def test_the_store_of_another_split_is_another(rendered: Path) -> None:
    data = crops(rendered)
    asked = preprocess(normalise={"method": "grey-world"})
    first, second = (make_task(data, holdout(data.samples, seed=seed), asked) for seed in (0, 1))
    assert first.preprocess.fitted != second.preprocess.fitted
    assert first.preprocess.key != second.preprocess.key
    assert not np.array_equal(first.images, second.images)
    plain = preprocess()
    assert make_task(data, holdout(data.samples, seed=0), plain).preprocess is plain


def test_the_training_part_is_measured_once(
    masked: tuple[Sample, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[int, int]] = []
    asked = preprocess(normalise={"method": "reinhard"})
    once = asked.fit(masked[:3], "once", lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    monkeypatch.setattr("stages.preprocess.fitting.load_rgb", lambda _: pytest.fail("it is in the cache"))
    assert asked.fit(masked[:3], "once").fitted == once.fitted


def test_a_store_holds_what_each_image_gives_alone_with_everything_on(masked: tuple[Sample, ...]) -> None:
    one = preprocess(**EVERYTHING).fit(masked[:5], "alone")
    store = one.store(masked, "alone")
    again = Preprocess(one.settings, Fitted.model_validate_json(one.fitted.model_dump_json()))
    for row, sample in zip(store, masked, strict=True):
        np.testing.assert_array_equal(row, again(load_rgb(sample)))
    assert not store[..., :2].any()
    assert store[..., 2].any()
