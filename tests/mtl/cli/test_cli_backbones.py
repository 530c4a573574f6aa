"""`mtl backbones`, and what a run says of a backbone before it reads anything."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from conftest import called

from mtl.benchmark.plan import Cell
from mtl.config import load_config
from mtl.errors import MtlError
from mtl.run.backbone import check_backbones
from mtl.run.stage import _seen
from stages.learners.network.catalogue import CATALOGUE
from stages.learners.network.weights import WeightRecord

DINOBLOOM = "hf-hub:1aurent/vit_small_patch14_224.dinobloom"


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise AssertionError("the network was asked")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def test_json_holds_every_record(tmp_path: Path) -> None:
    done = called("backbones", "--json", cwd=tmp_path)
    told = {record["name"]: record for record in json.loads(done.stdout)}
    assert done.returncode == 0
    assert list(told) == list(CATALOGUE)
    assert told["tf_efficientnet_lite0"]["weights"] == "package"
    assert told["vgg16"]["parameters"] == CATALOGUE["vgg16"].parameters
    assert told[DINOBLOOM]["seen"] == list(CATALOGUE[DINOBLOOM].seen)


@pytest.mark.parametrize("columns", [80, 130])
def test_the_table_fits_its_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: int) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    done = called("backbones", cwd=tmp_path)
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= max(columns, 82)  # a legend of one line
    for text in ("inception_resnet_v2", "134.3", "15.47", "ImageNet", "installed", "BCDE", "A Maaliw 2022"):
        assert text in done.stdout
    assert ("apache-2.0" in done.stdout) == (columns > 100)


def test_one_backbone_of_the_list_and_another(tmp_path: Path) -> None:
    done = called("backbones", "xception", cwd=tmp_path)
    assert "legacy_xception" in done.stdout
    assert "(0.5, 0.5, 0.5)" in done.stdout
    done = called("backbones", DINOBLOOM, cwd=tmp_path)
    assert "wbc-1" in done.stdout
    other = called("backbones", "test_resnet", "--json", cwd=tmp_path)
    (told,) = json.loads(other.stdout)
    assert told["input_size"] == 160


def test_a_name_that_is_none_is_one_line(tmp_path: Path) -> None:
    done = called("backbones", "NASNetMobile", cwd=tmp_path)
    assert done.returncode == 2
    assert "nasnetalarge" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("backbone", "size", "sentence"),
    [
        ("inception_v3", 48, "at least 75 for inception_v3, but got 48"),
        ("vit_b_16", 90, "a multiple of 16 for vit_b_16, but got 90; do give 80 or 96"),
        ("nosuchnet", 64, "a model of timm or torchvision"),
    ],
)
def test_a_run_says_it_before_anything_is_rendered_or_read(
    tmp_path: Path, backbone: str, size: int, sentence: str
) -> None:
    data = f"folder:{tmp_path / 'nowhere'}"
    arguments = ("--backbone", backbone, "--image-size", size, "--single-cell", data, "--runs", tmp_path)
    for command in (("run",), ("benchmark", "--repeats", 2)):
        done = called(*command, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert sentence in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_every_backbone_of_a_benchmark_is_checked() -> None:
    experiment = load_config("default", {"backbone": "test_resnet"})
    check_backbones(experiment, ("test_vit", DINOBLOOM))
    with pytest.raises(MtlError, match="nosuchnet"):
        check_backbones(experiment, ("test_vit", "nosuchnet"))


def test_a_cell_of_a_model_of_the_hub_is_one_folder() -> None:
    assert Cell(0, 1, DINOBLOOM, 0).name == "repeat00-fold01-hf-hub-1aurent-vit_small_patch14_224.dinobloom"


def test_a_report_says_what_a_backbone_may_have_seen() -> None:
    weights = WeightRecord(
        backbone=DINOBLOOM, source="hub:x", licence="mit", sha256="", pretrained_on=("wbc-1",)
    )

    def data(name: str) -> Any:
        return SimpleNamespace(sources=[SimpleNamespace(dataset=SimpleNamespace(name=name))])

    assert _seen(weights, data("wbc-1")) == [
        f"{DINOBLOOM} may have been pretrained on wbc-1: these images may not be new to it."
    ]
    assert _seen(weights, data("all-idb1")) == []
