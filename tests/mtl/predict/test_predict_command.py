"""`mtl predict` on a tiny run: what is written fits together, stops and goes on, and what is bad is one line."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from conftest import called

import mtl
from mtl.errors import ConfigError, RunError
from mtl.predict import command
from mtl.predict.command import predict_images
from mtl.predict.predictor import Predictor
from mtl.predict.records import FieldSaid
from mtl.predict.settings import PredictSmears

CHEAP = PredictSmears.model_validate({"segment": {"method": "white-cells"}})


@pytest.fixture(scope="module")
def fields(rendered: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two patients of two fields each, one file that is no image, and glass without a cell."""
    folder = tmp_path_factory.mktemp("fields")
    known = sorted((rendered / "ALL-IDB1" / "im").iterdir())[:4]
    for number, path in enumerate(known):
        place = folder / f"P{number % 2}"
        place.mkdir(exist_ok=True)
        shutil.copy(path, place / path.name)
    cv2.imwrite(str(folder / "P1" / "glass.png"), np.full((120, 160, 3), 230, np.uint8))
    (folder / "P0" / "broken.jpg").write_bytes(b"no image")
    return folder


@pytest.fixture(scope="module")
def done(tiny_run: Path, fields: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    out = tmp_path_factory.mktemp("out") / "predicted"
    return out, predict_images(fields, tiny_run, out, CHEAP)


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_tables_json_and_pictures_say_the_same(done: tuple[Path, Any]) -> None:
    out, result = done
    said = json.loads((out / "predictions.json").read_text())
    cells, fields, patients = (table(out / f"{name}.csv") for name in ("cells", "fields", "patients"))
    assert result.images == len(fields) == len(said["fields"]) == 5
    assert result.cells == len(cells) == sum(len(field["cells"]) for field in said["fields"]) > 4
    assert [row["group"] for row in patients] == ["P0", "P1"]
    assert sum(int(row["cells"]) for row in patients) == len(cells)
    assert set(result.failed) == {"P0/broken.jpg"}
    assert result.empty == 1
    for field, told in zip(fields, said["fields"], strict=True):
        own = [row for row in cells if row["image"] == field["image"]]
        assert int(field["cells"]) == len(own) == len(told["cells"])
        counted = [row for row in own if row["unlike"] == "0"]
        assert int(field["counted_cells"]) == len(counted)
        assert int(field["blasts"]) == sum(row["label"] == "lymphoblast" for row in counted)
        assert field["label"] == max(told["said"]["probabilities"], key=told["said"]["probabilities"].get)
    for row in patients:
        own = [field for field in fields if field["group"] == row["group"]]
        assert int(row["blasts"]) == sum(int(field["blasts"]) for field in own)
        assert int(row["fields"]) == len(own)
        if row["blast_part"]:
            assert 0 <= float(row["blast_low"]) <= float(row["blast_part"]) <= float(row["blast_high"]) <= 1


def test_outlines_are_those_of_the_cells(done: tuple[Path, Any]) -> None:
    out, _ = done
    coco = json.loads((out / "coco.json").read_text())
    cells = table(out / "cells.csv")
    assert len(coco["annotations"]) == len(cells)
    assert [one["name"] for one in coco["categories"]] == ["normal", "lymphoblast"]
    names = {one["id"]: one["file_name"] for one in coco["images"]}
    for told, row in zip(coco["annotations"], cells, strict=True):
        assert names[told["image_id"]] == row["image"]
        line = np.array(told["segmentation"][0], np.float32).reshape(-1, 2)
        x0, y0, wide, tall = told["bbox"]
        assert (line >= (x0, y0)).all()
        assert (line <= (x0 + wide, y0 + tall)).all()
        # The polygon runs through the middles of the outermost pixels and is smoothed a little.
        assert cv2.contourArea(line) == pytest.approx(told["area"], rel=0.2)
    for path in (out / "geojson").rglob("*.geojson"):
        for feature in json.loads(path.read_text())["features"]:
            (ring,) = feature["geometry"]["coordinates"]
            assert ring[0] == ring[-1]
            assert len(ring) > 3
            assert feature["properties"]["objectType"] == "detection"
            assert len(feature["properties"]["classification"]["color"]) == 3
            assert feature["properties"]["measurements"]["area px"] > 0


def test_overlays_show_the_image_and_a_legend(done: tuple[Path, Any], fields: Path) -> None:
    out, _ = done
    for path in (fields / "P0").glob("Im*"):
        drawn, image = cv2.imread(str(out / "overlays" / "P0" / f"{path.stem}.png")), cv2.imread(str(path))
        assert drawn.shape[0] > image.shape[0]
        assert drawn.shape[1] == image.shape[1]
        assert (drawn[: image.shape[0]] != image).any()
        assert (drawn[image.shape[0] :] < 100).any()  # letters


def test_python_says_what_the_command_wrote(done: tuple[Path, Any], fields: Path, tiny_run: Path) -> None:
    out, _ = done
    path = next((fields / "P0").glob("Im*"))
    record = json.loads((out / "records" / "P0" / f"{path.stem}.json").read_text())["field"]
    said = mtl.Predictor(tiny_run, CHEAP).predict(path)
    again = FieldSaid.model_validate(record)
    assert said.model_copy(update={"image": again.image, "output": again.output}) == again
    assert said.said is not None
    alone = mtl.load(tiny_run).predict(path)
    assert said.said.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
    assert (said.said.within, said.said.unlike) == (alone.within, alone.unlike)


def test_it_stops_and_goes_on(
    tiny_run: Path, fields: Path, tmp_path: Path, done: tuple[Path, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    out, real = tmp_path / "out", command.in_order

    def stopped(*args: Any, **more: Any) -> Any:
        for number, one in enumerate(real(*args, **more)):
            if number == 2:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(command, "in_order", stopped)
    with pytest.raises(KeyboardInterrupt):
        predict_images(fields, tiny_run, out, CHEAP)
    assert len(table(out / "fields.csv")) == 2
    monkeypatch.setattr(command, "in_order", real)
    looked: list[str] = []
    look = Predictor.look
    monkeypatch.setattr(
        Predictor,
        "look",
        lambda self, image, name, *rest: looked.append(name) or look(self, image, name, *rest),
    )
    result = predict_images(fields, tiny_run, out, CHEAP)
    assert result.skipped >= 2
    assert len(looked) == 5 - result.skipped
    assert (out / "cells.csv").read_text() == (done[0] / "cells.csv").read_text()
    (out / "records" / "P1" / "glass.json").write_text("{")  # damaged: made again
    assert predict_images(fields, tiny_run, out, CHEAP).skipped == 4
    other = CHEAP.model_copy(update={"stage": "fields"})
    assert predict_images(fields, tiny_run, out, other).skipped == 0


def test_only_what_is_asked_for_is_answered(tiny_run: Path, fields: Path) -> None:
    path = next((fields / "P0").glob("Im*"))
    by_field = Predictor(tiny_run, CHEAP.model_copy(update={"stage": "fields"})).predict(path)
    assert by_field.said is not None
    assert all(cell.said is None for cell in by_field.cells)
    assert by_field.blasts is None
    by_cell = Predictor(tiny_run, CHEAP.model_copy(update={"stage": "cells"})).predict(path)
    assert by_cell.said is None
    assert all(cell.said is not None for cell in by_cell.cells)
    other = Predictor(tiny_run, CHEAP.model_copy(update={"blast": "normal"})).predict(path)
    assert other.blasts is not None
    assert other.blasts.count == sum(
        bool(c.said and c.said.label == "normal" and not c.said.unlike) for c in other.cells
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"chain": "1,3", "stage": "cells"}, r"to hold stage 2, but it learned 3"),
        ({"chain": "2,1"}, r"`chain` to be one of 1,2,3 and 1,3"),
        (
            {"blast": "plasma"},
            r"`--blast` to be a class of stage 2 \(normal, lymphoblast\), but got 'plasma'",
        ),
    ],
)
def test_what_the_run_cannot_answer_is_one_line(
    tiny_run: Path, changes: dict[str, str], message: str
) -> None:
    with pytest.raises((RunError, ConfigError), match=message) as caught:
        Predictor(tiny_run, CHEAP.model_copy(update=changes))
    assert "\n" not in str(caught.value)


def test_the_command_line(tiny_run: Path, fields: Path, tmp_path: Path) -> None:
    cheap = ("--set", "segment.method=white-cells")
    told = called(
        "predict", fields, "--run", tiny_run, "--out", tmp_path / "o", "--json", *cheap, cwd=tmp_path
    )
    assert told.returncode == 1  # one file is broken
    said = json.loads(told.stdout)
    assert (said["images"], list(said["failed"])) == (5, ["P0/broken.jpg"])
    table = tmp_path / "groups.csv"
    table.write_text("image,group\nglass.png,a\n")
    told = called("predict", fields, "--run", tiny_run, "--group-by", table, *cheap, cwd=tmp_path)
    assert told.returncode == 2
    assert told.stderr.count("\n") == 1
    assert "5 of 6 have none" in told.stderr
    told = called(
        "predict",
        fields / "P0" / "broken.jpg",
        "--run",
        tiny_run,
        "--out",
        tmp_path / "b",
        *cheap,
        cwd=tmp_path,
    )
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)
    told = called("predict", tmp_path / "none", "--run", tiny_run, cwd=tmp_path)
    assert (told.returncode, told.stderr.count("\n")) == (2, 1)


def test_explanations_are_drawn_and_their_worth_is_said(tiny_run: Path, fields: Path, tmp_path: Path) -> None:
    path = next((fields / "P0").glob("Im*"))
    result = predict_images(path, tiny_run, tmp_path / "o", CHEAP.model_copy(update={"explain": True}))
    picture = cv2.imread(str(tmp_path / "o" / "explained" / f"{path.stem}.png"))
    assert picture.shape[1] == 3 * 224 + 8
    assert set(result.sanity) == {"fields", "cells"}
    assert all(set(one) == {"Grad-CAM", "occlusion"} for one in result.sanity.values())
    assert "alike under shuffled weights" in result.to_text()


@pytest.mark.parametrize("size", [(1, 1), (2, 300)])
def test_images_of_no_size_are_answered(tiny_run: Path, size: tuple[int, int]) -> None:
    said = Predictor(tiny_run, CHEAP).predict(np.full((*size, 3), 128, np.uint8))
    assert said.cells == ()
    assert said.blasts is not None
    assert said.blasts.part is None
