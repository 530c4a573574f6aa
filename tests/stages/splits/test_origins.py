from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.data.catalogue import read_dataset
from stages.data.images import load_rgb
from stages.data.sample import Sample
from stages.errors import DataError
from stages.splits.chains import check_chain, split_chain, tie_stages
from stages.splits.methods import block_holdout, holdout, kfold
from stages.splits.origins import Origin, locate_crops, stated_origins, tie_crops
from stages.splits.split import Part, Split, check_split, group_of

Images = npt.NDArray[np.uint8]


def slide(seed: int, height: int = 300, width: int = 420) -> Images:
    noise = np.random.default_rng(seed).normal(size=(height, width, 3)).astype(np.float32)
    smooth = cv2.GaussianBlur(noise, (0, 0), 6)
    return (255 * (smooth - smooth.min()) / np.ptp(smooth)).astype(np.uint8)


def listed(pictures: Mapping[str, Images], dataset: str, folder: Path) -> list[Sample]:
    folder.mkdir(exist_ok=True)
    for name, picture in pictures.items():
        assert cv2.imwrite(str(folder / name), picture[..., ::-1])
    return [
        Sample(folder / name, name, "ab"[i % 2], dataset, order=i) for i, name in enumerate(sorted(pictures))
    ]


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 300 - 97), st.integers(0, 420 - 97), st.integers(0, 4))
def test_a_planted_crop_is_found_to_the_pixel(y: int, x: int, at: int) -> None:
    fields = {f"f{i}": slide(i) for i in range(5)}
    pictures = {"c": fields[f"f{at}"][y : y + 97, x : x + 97], **fields}
    rows = {name: Sample(Path(name), name, "a", "x") for name in pictures}
    found = locate_crops([rows["c"]], [rows[name] for name in fields], lambda sample: pictures[sample.name])
    assert found["c"] == Origin(f"f{at}", x, y, pytest.approx(1.0))


def test_what_came_from_no_field_is_not_guessed() -> None:
    fields = {f"f{i}": slide(i) for i in range(3)}
    crops = {
        "elsewhere": slide(9)[:97, :97],
        "black": np.zeros((97, 97, 3), np.uint8),
        "larger": slide(8, 500, 500),
        "faded": cv2.addWeighted(fields["f1"][50:147, 60:157], 0.5, slide(7)[:97, :97], 0.5, 0),
    }
    pictures = {**fields, **crops, "plain": np.full((300, 420, 3), 255, np.uint8)}
    rows = {name: Sample(Path(name), name, "a", "x") for name in pictures}
    places = [rows[name] for name in (*fields, "plain")]
    assert locate_crops([rows[name] for name in crops], places, lambda sample: pictures[sample.name]) == {}


def test_the_cache_is_used_and_follows_the_content(tmp_path: Path) -> None:
    fields = listed({f"f{i}.png": slide(i) for i in range(3)}, "all-idb1", tmp_path / "im")
    crops = listed({"c.png": slide(1)[40:137, 80:177]}, "all-idb2", tmp_path / "img")
    steps: list[tuple[int, int]] = []
    first = locate_crops(crops, fields, load_rgb, tmp_path / "cache", lambda *step: steps.append(step))
    assert first["c.png"].field == "f1.png"
    assert steps == [(i + 1, 6) for i in range(6)]

    def never(sample: Sample) -> Images:
        raise AssertionError(sample.name)

    assert locate_crops(crops, fields, never, tmp_path / "cache") == first
    (kept,) = (tmp_path / "cache").iterdir()
    kept.write_text("{broken")
    assert locate_crops(crops, fields, load_rgb, tmp_path / "cache") == first
    crops = listed({"c.png": slide(2)[40:137, 80:177]}, "all-idb2", tmp_path / "other")
    assert locate_crops(crops, fields, load_rgb, tmp_path / "cache")["c.png"].field == "f2.png"


def test_rendered_crops_are_found_in_the_fields_that_they_were_cut_from(rendered: Path) -> None:
    crops = read_dataset("all-idb2", rendered / "ALL-IDB2")
    fields = read_dataset("all-idb1", rendered / "ALL-IDB1")
    with (rendered / "ALL-IDB2" / "crops.csv").open() as stream:
        stated = {row["image"]: row["field"] for row in csv.DictReader(stream)}
    found = locate_crops(crops, fields, load_rgb)
    file = {sample.name: sample.path.name for sample in fields}
    assert {crop.path.name: file[found[crop.name].field] for crop in crops} == stated
    # With every other field missing, its crops are missing too and none goes to another field.
    some = {sample.path.name for sample in fields[::2]}
    found = locate_crops(crops, fields[::2], load_rgb)
    assert {crop.path.name: file[found[crop.name].field] for crop in crops if crop.name in found} == {
        crop: field for crop, field in stated.items() if field in some
    }


def rows(count: int, dataset: str, groups: int | None = None) -> list[Sample]:
    return [
        Sample(
            Path(f"{dataset}/{i}"), f"{i:03}", "ab"[i % 2], dataset,
            None if groups is None else f"{dataset}-slide{i % groups}", order=i,
        )
        for i in range(count)
    ]  # fmt: skip


def test_crops_take_the_group_of_their_field_and_fields_of_twin_crops_become_one() -> None:
    crops = [replace(one, group="twins") if i in (3, 4) else one for i, one in enumerate(rows(6, "crops"))]
    fields = rows(4, "fields", 4)
    tied, grounds = tie_crops(crops, fields, {"000": "000", "003": "001", "004": "002"})
    assert tied[0].group == grounds[0].group == "fields-slide0"
    assert len({tied[3].group, tied[4].group, grounds[1].group, grounds[2].group}) == 1
    assert tied[1].group is None
    assert grounds[3].group == "fields-slide3"
    assert tie_crops([], fields, {}) == ([], fields)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 1000), st.integers(8, 20), st.sampled_from(["holdout", "block", "kfold"]))
def test_a_crop_and_its_field_are_on_one_side_whatever_the_method(seed: int, count: int, method: str) -> None:
    random = np.random.default_rng(seed)
    origins = {f"{i:03}": f"{int(random.integers(count * 2)):03}" for i in range(60) if random.random() < 0.8}
    crops, fields = tie_crops(rows(60, "crops"), rows(count * 2, "fields"), origins)
    stages = {2: crops, 3: fields}

    def make(number: int, forced: Mapping[str, Part] | None) -> Split:
        if number == 3 and method == "block":
            return block_holdout(stages[number], seed=seed, forced=forced)
        if method == "kfold":
            return kfold(stages[number], folds=4, fold=seed % 4, seed=seed, forced=forced)
        return holdout(stages[number], seed=seed, forced=forced)

    splits = split_chain(stages, 3, make)
    parts = {number: split.part_of() for number, split in splits.items()}
    for crop, field in origins.items():
        if crop in parts[2] and field in parts[3]:
            assert parts[2][crop] == parts[3][field]
    for number, split in splits.items():
        check_split(split, stages[number], whole_test=number == 3)


def test_stages_that_see_one_data_set_differently_do_not_leak() -> None:
    whole = rows(60, "same")
    # Stage 2 sees the cluster of three and names it after the first; stage 3 sees only two of them.
    two = [replace(one, group="same:000") if i in (0, 20, 40) else one for i, one in enumerate(whole)]
    three = [replace(one, group="same:020") if i in (20, 40) else one for i, one in enumerate(whole)][1:]
    splits = split_chain(
        {2: two, 3: three}, 3, lambda number, forced: holdout({2: two, 3: three}[number], forced=forced)
    )
    first, second = (splits[number].part_of() for number in (2, 3))
    assert all(first[name] == part for name, part in second.items())
    assert first["000"] == second["020"] == second["040"]


def test_cells_cut_out_of_a_file_go_with_it() -> None:
    fields = rows(40, "bccd")
    cells = [
        replace(one, name=f"{one.name}#0,0,9,9", dataset="cells", crop=(0, 0, 9, 9), group=one.name)
        for one in fields
    ]
    stages = {2: cells, 3: fields}
    splits = split_chain(
        stages, 3, lambda number, forced: holdout(stages[number], seed=number, forced=forced)
    )
    parts = splits[3].part_of()
    assert all(part == parts[name.split("#")[0]] for name, part in splits[2].part_of().items())


def test_images_of_one_archive_are_not_one_picture() -> None:
    frames = [Sample(Path("all.npz"), f"all.npz#{i}", "ab"[i % 2], "x", frame=i) for i in range(20)]
    assert tie_stages({2: frames}) == {2: frames}


def test_lists_given_back_that_leak_between_stages_are_refused() -> None:
    crops, fields = rows(40, "x", 10), rows(40, "x", 10)
    mine = {2: holdout(crops, seed=1), 3: holdout(fields, seed=2)}
    with pytest.raises(DataError, match=r"of stage 2 in \w+ but .* of stage 3 in \w+: the split leaks"):
        split_chain({2: crops, 3: fields}, 3, lambda number, forced: mine[number])
    check_chain({2: mine[2], 3: mine[2]}, {2: crops, 3: fields})


def test_the_target_is_one_of_the_stages() -> None:
    with pytest.raises(DataError, match="target"):
        split_chain({2: rows(9, "x")}, 3, lambda number, forced: holdout(rows(9, "x")))


def test_groups_without_a_name_do_not_meet_across_data_sets() -> None:
    assert group_of(rows(1, "one")[0]) != group_of(rows(1, "two")[0])


@pytest.mark.parametrize(("y", "x"), [(0, 0), (0, 323), (203, 0), (203, 323), (90, 201)])
def test_corners_and_compressed_crops_are_found(y: int, x: int) -> None:
    fields = {f"f{i}": slide(i) for i in range(3)}
    crop = cv2.convertScaleAbs(fields["f2"][y : y + 97, x : x + 97], alpha=0.85, beta=10)
    crop = np.asarray(
        cv2.imdecode(cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_COLOR),
        np.uint8,
    )
    pictures = {"c": crop, **fields}
    rows = {name: Sample(Path(name), name, "a", "x") for name in pictures}
    found = locate_crops([rows["c"]], [rows[name] for name in fields], lambda sample: pictures[sample.name])[
        "c"
    ]
    assert (found.field, found.x, found.y) == ("f2", x, y)
    assert found.score > 0.97


def test_a_table_of_origins_may_come_from_a_spreadsheet(tmp_path: Path) -> None:
    (tmp_path / "crops.csv").write_text("Image,Field,note\r\nc.tif,f.jpg,\r\n", "utf-8-sig")
    assert stated_origins(tmp_path) == {"c.tif": "f.jpg"}
    (tmp_path / "crops.csv").write_bytes(b"image,field\n\xff\xfe,b\n")
    with pytest.raises(DataError, match=r"crops\.csv") as caught:
        stated_origins(tmp_path)
    assert "\n" not in str(caught.value)
