"""The container files parse, name what is there, and open nothing to others; that they build is tested nowhere."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from mtl.cli.app import app

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docs/docker"


@pytest.fixture(scope="module")
def compose() -> Any:
    return yaml.safe_load((FOLDER / "compose.yaml").read_text("utf-8"))


def test_every_service_is_told_how_it_starts(compose: Any) -> None:
    assert set(compose["services"]) == {"server", "database", "tuner", "dashboard"}
    for service in compose["services"].values():
        assert "image" in service
        for other in service.get("depends_on", {}):
            assert other in compose["services"]
        named = [volume.partition(":")[0] for volume in service.get("volumes", []) if volume[0].isalpha()]
        assert set(named) <= set(compose["volumes"])
    assert (FOLDER / compose["services"]["server"]["build"]["context"]).resolve() == ROOT


def test_nothing_is_open_to_other_machines(compose: Any) -> None:
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_the_commands_are_commands_of_ours(compose: Any) -> None:
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in ("server", "tuner"):
        command, *flags = compose["services"][name]["command"]
        known = {flag for parameter in commands[command].params for flag in parameter.opts}
        assert {flag for flag in flags if flag.startswith("--")} <= known


def test_secrets_are_asked_for_and_none_is_written(compose: Any) -> None:
    text = (FOLDER / "compose.yaml").read_text("utf-8")
    asked = set(re.findall(r"\$\{(\w+)", text))
    told = dict(
        line.split("=", 1)
        for line in (FOLDER / "example.env").read_text("utf-8").splitlines()
        if "=" in line and line[0] != "#"
    )
    assert {"MTL_TOKEN", "PGPASSWORD"} <= asked
    assert {name for name in asked if f"${{{name}:?" in text} <= set(told)
    assert not told["MTL_TOKEN"]
    assert not told["PGPASSWORD"]


def test_the_image_copies_what_is_there_and_installs_extras_that_there_are() -> None:
    text = (FOLDER / "Dockerfile").read_text("utf-8")
    for line in re.findall(r"^COPY (?!--from)(.+)$", text, re.MULTILINE):
        *sources, _ = line.split()
        assert all((ROOT / source).exists() for source in sources)
    (wanted,) = re.findall(r"'\.\[(.+)\]'", text)
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    assert set(wanted.split(",")) <= set(extras)
    assert re.search(r"^USER mtl$", text, re.MULTILINE)
    known = {"FROM", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "ENTRYPOINT", "CMD"}
    joined = re.sub(r"\\\n", " ", text)
    assert {line.split()[0] for line in joined.splitlines() if line and line[0] != "#"} <= known
