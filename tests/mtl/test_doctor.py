"""Each line of `mtl doctor` is ok, or says what to do; what is wrong is made here, one thing at a time."""

from __future__ import annotations

import json
import re
import shutil
from collections import namedtuple
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
from conftest import TINY_BACKBONE, called

from mtl import doctor
from mtl.doctor import CACHES, Diagnosis, Finding, clean_cache, examine
from mtl.errors import ConfigError
from mtl.loading import load_settings
from mtl.tune.settings import TuneSettings

SMALL = {"backbone": TINY_BACKBONE, "weights": "none", "multi_cell.preprocess.image_size": 32}


@pytest.fixture(autouse=True)
def _own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MTL_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)


def looked(**more: Any) -> dict[str, Finding]:
    given = SMALL | {key.replace("__", "."): value for key, value in more.items()}
    return {
        one.name: one for one in examine(load_settings(TuneSettings, "default", given), Path("runs")).findings
    }


def test_a_machine_that_runs_the_tests_is_well_and_says_so_to_machines(tmp_path: Path) -> None:
    flags = [part for key, value in SMALL.items() for part in ("--set", f"{key}={value}")]
    told = json.loads(called("doctor", "--json", *flags, cwd=tmp_path).stdout)
    assert told["ok"] is True
    names = [one["name"] for one in told["findings"]]
    wanted = {
        "python",
        "packages",
        "extra federated",
        "devices",
        "precision",
        "weights",
        "single_cell data",
        "disk, runs",
        "storage",
        "cache",
    }
    assert wanted <= set(names)
    assert not (tmp_path / "runs").exists()  # looking makes nothing


def test_a_line_says_what_to_do() -> None:
    text = Diagnosis((Finding("a", "ok", "fine"), Finding("long", "mend", "broken", "mend it"))).to_text()
    assert text == "ok    a     fine\nmend  long  broken; do mend it"


def test_packages_are_read_against_what_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    real = metadata.version
    asked = [
        "numpy>=2",
        "ghost>=1",
        'numpy>=99; extra == "serve"',
        'ghost>=1; extra == "export"',
        'ghost; extra == "dev"',
    ]
    monkeypatch.setattr(metadata, "requires", lambda name: asked)
    found = {one.name: one for one in doctor._packages()}
    assert {name: one.status for name, one in found.items()} == {
        "packages": "mend",
        "extra serve": "mend",
        "extra export": "note",
    }
    assert "ghost" in found["packages"].text
    assert f"numpy {real('numpy')}" in found["extra serve"].text
    assert "mtl[export]" in found["extra export"].cure

    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy>=1"])
    monkeypatch.setattr(metadata, "version", lambda name: "1.99")
    (one,) = doctor._packages()
    assert one.status == "ok"
    assert f"numpy 1.99 ({real('numpy')})" in one.text


def test_a_python_that_is_too_old_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.9.1")
    (one,) = doctor._python()
    assert (one.status, one.cure) == ("mend", "install Python >=3.11")


def test_what_is_not_there_is_told_and_hides_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    found = looked(
        single_cell__data__root=str(tmp_path / "empty"), multi_cell__data__root=str(tmp_path / "nowhere"),
        weights=str(tmp_path / "nowhere.pth"), hardware__accelerator="tpu", tune__storage="postgresql://me:secret@localhost:1/none",
    )  # fmt: skip
    mend = {name for name, one in found.items() if one.status == "mend"}
    assert mend == {"single_cell data", "multi_cell data", "weights", "devices", "precision", "storage"}
    assert all(found[name].cure for name in mend)
    assert "is empty" in found["single_cell data"].text
    assert "is not there" in found["multi_cell data"].text
    assert "secret" not in str(found)
    assert found["disk, runs"].status == "ok"


def test_weights_that_must_be_fetched_are_a_note() -> None:
    assert looked(weights="auto", backbone="resnet18")["weights"].status in ("note", "ok")
    assert looked(weights="auto", backbone="tf_efficientnet_lite0")["weights"].status == "ok"


def test_a_disk_that_is_nearly_full_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**12, 10**12 - 10**9, 10**9))
    assert {one.status for one in doctor._disk(Path("runs"))} == {"mend"}
    assert "1.0 GB free" in next(doctor._disk(Path("runs"))).text


def test_a_study_that_is_there_is_counted_and_one_that_is_not_is_not_made(tmp_path: Path) -> None:
    import optuna

    place = tmp_path / "studies.sqlite"
    assert "made when a study begins" in looked(tune__storage=f"sqlite:///{place}")["storage"].text
    assert not place.exists()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    optuna.create_study(storage=f"sqlite:///{place}", study_name="one")
    assert looked(tune__storage=f"sqlite:///{place}")["storage"].text.endswith("1 studies")
    place.write_bytes(b"no database, but a text that is long enough for a header" * 20)
    assert looked(tune__storage=f"sqlite:///{place}")["storage"].status == "mend"


def test_the_cache_is_measured_and_freed(tmp_path: Path) -> None:
    for name in ("stores", "masks"):
        (tmp_path / "cache" / name).mkdir(parents=True)
        (tmp_path / "cache" / name / "x.npy").write_bytes(bytes(1500))
    (one,) = doctor._cache()
    assert "3 kB (stores 2 kB, masks 2 kB)" in one.text or "3 kB (masks 2 kB, stores 2 kB)" in one.text
    assert clean_cache() == 3000
    assert not list((tmp_path / "cache").iterdir())
    assert clean_cache() == 0


def test_a_folder_that_is_no_cache_is_never_emptied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cache/masks").mkdir(parents=True)
    (tmp_path / "cache/thesis.tex").write_text("years of work")
    with pytest.raises(ConfigError, match="thesis"):
        clean_cache()
    assert (tmp_path / "cache/masks").is_dir()


def test_the_list_of_caches_is_the_code(tmp_path: Path) -> None:
    root = Path(doctor.__file__).parents[1]
    text = "\n".join(
        path.read_text("utf-8")
        for floor in ("mtl", "stages", "segmentation")
        for path in (root / floor).rglob("*.py")
    )
    named = re.findall(r"cache_folder\(\)\)? / \"(\w+)\"|cached(?:_array)?\(\s*\"(\w+)\"", text)
    assert {first or second for first, second in named} | {"locks"} <= set(CACHES)
