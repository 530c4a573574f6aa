"""Features of images are the model's, in the order of their names; a bad file is told."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import called
from sklearn.decomposition import PCA

import mtl
from mtl.errors import ConfigError
from mtl.predict.embed import embed_images
from stages.data.images import decode_rgb


def test_features_of_a_data_set_and_of_a_folder(tiny_run: Path, rendered: Path, tmp_path: Path) -> None:
    own = tmp_path / "slides"
    own.mkdir()
    paths = sorted((rendered / "ALL-IDB2" / "img").iterdir())[:3]
    for path in paths:
        shutil.copy(path, own / path.name)
    (own / "bad.png").write_bytes(b"x")
    out = tmp_path / "out"
    given = [f"all-idb2:{rendered / 'ALL-IDB2'}", str(own)]
    told = called("embed", tiny_run, *given, "--stage", 2, "--out", out, "--json", cwd=tmp_path)
    assert told.returncode == 1
    said = json.loads(told.stdout)
    assert list(said["failed"]) == ["bad.png"]
    with np.load(out / "embeddings.npz") as file:
        found = dict(file)
    assert said["images"] == len(found["names"]) == 32 + 3
    assert set(found["labels"][:32]) == {"normal", "lymphoblast"}
    assert list(found["sources"][31:]) == ["all-idb2", "slides", "slides", "slides"]
    assert list(found["names"][32:]) == [path.name for path in paths]
    model = mtl.load(tiny_run, stage=2)
    np.testing.assert_allclose(
        found["features"][32:], model.embeddings(map(decode_rgb, paths)), rtol=1e-4, atol=1e-5
    )
    expected = PCA(2, svd_solver="full").fit_transform(found["features"])
    np.testing.assert_allclose(np.abs(found["components"]), np.abs(expected), atol=1e-3)
    assert cv2.imread(str(out / "embeddings.png")).shape[1] > 1000


def test_one_image_has_no_components(tiny_run: Path, rendered: Path, tmp_path: Path) -> None:
    path = next((rendered / "ALL-IDB2" / "img").iterdir())
    with pytest.raises(ConfigError, match="two images or more"):
        embed_images(tiny_run, [str(path)], tmp_path / "o", chain=None, stage=None, group_by="folder")
