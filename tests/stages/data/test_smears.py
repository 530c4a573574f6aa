"""The renderer: what it writes must be true of the pixels, the same every time, and not solvable by colour."""

import csv
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import GroupKFold, cross_val_score

from stages.data.smears import CELL_TYPES, FAB, Field, RenderedTrees, make_slide, render_field, render_trees
from stages.errors import DataError

SMALL = {"fields": 8, "crops": 8, "slides": 4, "seed": 3}


@pytest.fixture(scope="module")
def trees(tmp_path_factory: pytest.TempPathFactory) -> RenderedTrees:
    return render_trees(tmp_path_factory.mktemp("smears") / "one", workers=1, **SMALL)


@pytest.fixture(scope="module")
def fields() -> list[Field]:
    return [render_field(FAB[index % 4], make_slide(11, index), index) for index in range(24)]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_same_arguments_give_the_same_pixels() -> None:
    first, second = (render_field("L2", make_slide(1, 2), 5, 200, 240) for _ in range(2))
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.instances, second.instances)
    assert first.cells == second.cells
    assert (first.image != render_field("L2", make_slide(1, 2), 6, 200, 240).image).any()
    assert make_slide(1, 2) == make_slide(1, 2) != replace(make_slide(1, 3), name="slide-002")


def test_public_names() -> None:
    assert CELL_TYPES == ("neutrophil", "lymphocyte", "monocyte", "eosinophil", "L1", "L2", "L3")
    assert FAB == ("normal", "L1", "L2", "L3")


def check_consistent(field: Field, height: int, width: int) -> None:
    inside = field.instances > 0
    assert field.image.shape == (height, width, 3)
    assert field.image.dtype == np.uint8
    assert not (field.nucleus & field.cytoplasm).any()
    np.testing.assert_array_equal(field.nucleus | field.cytoplasm, inside)
    assert not (field.red_cells & inside).any()
    assert set(np.unique(field.instances)) - {0} == {cell.instance for cell in field.cells}
    for cell in field.cells:
        x, y = (int(value) for value in cell.centroid)
        mine = field.instances == cell.instance
        found_rows, found_columns = np.nonzero(mine)
        assert mine[y, x]
        assert cell.area == mine.sum()
        assert cell.nucleus_area == (mine & field.nucleus).sum()
        assert cell.box == (
            found_columns.min(), found_rows.min(), found_columns.max() + 1, found_rows.max() + 1,
        )  # fmt: skip


@settings(max_examples=12, deadline=None)
@given(
    fab=st.sampled_from(FAB),
    height=st.integers(64, 300),
    width=st.integers(64, 300),
    seed=st.integers(0, 2**31),
    index=st.integers(0, 500),
    pixels_per_um=st.floats(2, 20),
)
def test_any_size_is_consistent(
    fab: str, height: int, width: int, seed: int, index: int, pixels_per_um: float
) -> None:
    field = render_field(fab, make_slide(seed, index), seed, height, width, pixels_per_um)
    check_consistent(field, height, width)
    assert field.cells


def test_largest_field() -> None:
    field = render_field("L1", make_slide(0, 1), 0, 1944, 2592)
    assert field.image.shape == (1944, 2592, 3)
    assert len(field.cells) > 10


def test_fields_hold_what_their_diagnosis_says(fields: list[Field]) -> None:
    for field in fields:
        check_consistent(field, 486, 648)
        blasts = [cell for cell in field.cells if cell.type in FAB]
        assert {cell.type for cell in blasts} == (set() if field.fab == "normal" else {field.fab})
        assert 2 <= len(field.cells) <= 12


def test_nuclei_are_darker_than_the_background(fields: list[Field]) -> None:
    for field in fields:
        green = field.image[..., 1].astype(float)
        empty = ~(field.nucleus | field.cytoplasm | field.red_cells)
        assert green[field.nucleus].mean() < green[empty].mean() - 15


def test_blasts_follow_the_fab_criteria(fields: list[Field]) -> None:
    areas: dict[str, list[float]] = {kind: [] for kind in CELL_TYPES}
    shares: dict[str, list[float]] = {kind: [] for kind in CELL_TYPES}
    solidity: dict[str, list[float]] = {kind: [] for kind in CELL_TYPES}
    for field in fields:
        for cell in field.cells:
            x0, y0, x1, y1 = cell.box
            if x0 == 0 or y0 == 0 or x1 == 648 or y1 == 486:
                continue
            areas[cell.type].append(cell.area / 100)
            shares[cell.type].append(cell.nucleus_area / cell.area)
            nucleus = ((field.instances == cell.instance) & field.nucleus).astype(np.uint8)
            outline = max(cv2.findContours(nucleus, 0, 1)[0], key=cv2.contourArea)
            solidity[cell.type].append(cv2.contourArea(outline) / cv2.contourArea(cv2.convexHull(outline)))
    assert np.mean(areas["L1"]) < 0.7 * np.mean(areas["L2"])
    assert np.mean(areas["L1"]) < 0.7 * np.mean(areas["L3"])
    # L1 and L3 are uniform, L2 is not.
    assert np.std(areas["L2"]) / np.mean(areas["L2"]) > 1.5 * np.std(areas["L1"]) / np.mean(areas["L1"])
    assert np.mean(shares["L1"]) > np.mean(shares["L3"]) > np.mean(shares["neutrophil"])
    assert np.mean(shares["L1"]) > np.mean(shares["L2"])
    # Clefts and lobes take a nucleus out of its convex hull.
    assert np.mean(solidity["L2"]) < np.mean(solidity["L1"]) - 0.03
    assert np.mean(solidity["neutrophil"]) < np.mean(solidity["lymphocyte"]) - 0.03


def test_white_cells_cover_as_much_in_every_class(fields: list[Field]) -> None:
    cover = {fab: np.mean([(f.instances > 0).mean() for f in fields if f.fab == fab]) for fab in FAB}
    assert max(cover.values()) < 1.8 * min(cover.values())


def test_colour_does_not_give_the_class_away() -> None:
    found, labels, groups = [], [], []
    for index in range(64):
        slide, fab = index % 32, FAB[index % 4]
        image = render_field(fab, make_slide(2, slide), index, 243, 324, 5.0).image
        hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
        counts = cv2.calcHist([hsv], [0, 1, 2], None, [8, 8, 8], [0, 180, 0, 256, 0, 256]).ravel()
        found.append(counts / counts.sum())
        labels.append(fab)
        groups.append(slide)
    forest = RandomForestClassifier(100, random_state=0)
    scores = cross_val_score(forest, np.asarray(found), labels, groups=groups, cv=GroupKFold(4))
    assert scores.mean() < 0.65


def test_trees_look_like_all_idb(trees: RenderedTrees) -> None:
    table = rows(trees.all_idb1 / "fab.csv")
    assert [row["fab"] for row in table] == list(FAB) * 2
    assert [row["image"] for row in table[:2]] == ["Im001_0.jpg", "Im002_1.jpg"]
    by_slide: dict[str, set[str]] = {}
    for row in table:
        by_slide.setdefault(row["slide"], set()).add(row["fab"])
        assert row["image"].endswith("_0.jpg") == (row["fab"] == "normal")
        assert cv2.imread(str(trees.all_idb1 / "im" / row["image"])).shape == (486, 648, 3)
    assert all(len(fabs) == 1 for fabs in by_slide.values())
    record = json.loads((trees.all_idb1.parent / "rendered.json").read_text())
    assert record["what"] == "Rendered smears, not patient data"


def test_masks_and_centroids_agree(trees: RenderedTrees) -> None:
    cells = rows(trees.all_idb1 / "cells.csv")
    for row in rows(trees.all_idb1 / "fab.csv"):
        stem = Path(row["image"]).stem
        mask, red, instances = (
            cv2.imread(str(trees.all_idb1 / "masks" / f"{stem}{end}.png"), cv2.IMREAD_UNCHANGED)
            for end in ("", "_rbc", "_cells")
        )
        assert set(np.unique(mask)) == {0, 155, 255}
        assert set(np.unique(red)) <= {0, 255}
        assert instances.dtype == np.uint16
        np.testing.assert_array_equal(mask > 0, instances > 0)
        lines = (trees.all_idb1 / "xyc" / f"{stem}.xyc").read_text().splitlines()
        points = [tuple(int(value) for value in line.split(" ")) for line in lines]
        blasts = [c for c in cells if c["image"] == row["image"] and c["type"] in FAB]
        assert points == [(int(c["x"]), int(c["y"])) for c in blasts]
        assert bool(points) == (row["fab"] != "normal")
        assert [instances[y, x] for x, y in points] == [int(c["instance"]) for c in blasts]


def test_crops_are_cut_from_the_written_fields(trees: RenderedTrees) -> None:
    table = rows(trees.all_idb2 / "crops.csv")
    assert len(table) == len(list((trees.all_idb2 / "img").iterdir())) == 8
    assert sum(row["image"].endswith("_1.tif") for row in table) == 4
    for row in table:
        assert row["image"].endswith("_1.tif") == (row["type"] in FAB)
        crop = tifffile.imread(trees.all_idb2 / "img" / row["image"])
        field = cv2.imread(str(trees.all_idb1 / "im" / row["field"]))[..., ::-1]
        x, y = int(row["x"]), int(row["y"])
        np.testing.assert_array_equal(crop, field[y - 128 : y + 129, x - 128 : x + 129])


def test_workers_do_not_change_the_bytes(trees: RenderedTrees, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    other = render_trees(
        tmp_path / "two", workers=2, progress=lambda done, total: calls.append((done, total)), **SMALL
    )
    assert contents(other.all_idb1.parent) == contents(trees.all_idb1.parent)
    assert calls == [(done, 8) for done in range(1, 9)]


def test_the_same_rendering_is_not_made_twice(trees: RenderedTrees) -> None:
    def fail(done: int, total: int) -> None:
        raise AssertionError(f"rendered {done} of {total} again")

    assert render_trees(trees.all_idb1.parent, progress=fail, **SMALL) == trees


def test_another_folder_is_never_overwritten(trees: RenderedTrees, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="another rendering"):
        render_trees(trees.all_idb1.parent, **{**SMALL, "seed": 4})
    (tmp_path / "thesis.txt").write_text("precious")
    with pytest.raises(DataError, match="something else"):
        render_trees(tmp_path, **SMALL)
    assert (tmp_path / "thesis.txt").read_text() == "precious"


def test_an_interrupted_render_leaves_nothing(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_trees(tmp_path / "half", workers=1, progress=stop, **SMALL)
    assert list(tmp_path.iterdir()) == []


def test_too_many_crops_say_how_many_there_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="Expected `crops` to be at most"):
        render_trees(tmp_path / "few", fields=4, crops=400, slides=4, height=320, width=320, workers=1)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("fields", 0), ("crops", -1), ("slides", 3), ("seed", -1), ("workers", 0), ("height", 63), ("width", 2593),
     ("height", 300)],
)  # fmt: skip
def test_bad_tree_arguments(name: str, value: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"Expected `{name}` to be"):
        render_trees(tmp_path / "x", **{name: value})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "value"),
    [("height", 1945), ("width", 10), ("pixels_per_um", 1.0), ("seed", -1), ("fab", "L4")],
)
def test_bad_field_arguments(name: str, value: object) -> None:
    arguments = {"fab": "L1", "slide": make_slide(0, 0), "seed": 0, name: value}
    with pytest.raises(DataError, match=f"Expected `{name}` to be"):
        render_field(**arguments)  # type: ignore[arg-type]


def test_bad_slide_arguments() -> None:
    with pytest.raises(DataError, match="Expected `index` to be"):
        make_slide(0, -1)
