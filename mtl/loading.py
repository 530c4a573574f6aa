"""How settings are read, whatever the command: YAML in, YAML out, `--set a.b=c` for everything."""

from __future__ import annotations

import copy
import difflib
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from mtl.errors import ConfigError
from segmentation.settings import Settings

__all__ = [
    "config_names",
    "config_path",
    "dump_settings",
    "load_settings",
    "parse_setting",
    "read_tree",
    "with_changes",
]

S = TypeVar("S", bound=Settings)

_FEDERATED = ("federate", "pick")
"""Sections of a configuration that `mtl federate` alone reads."""

_EXPONENT = re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+")


def config_names() -> list[str]:
    """Return the names of the configurations that come with the package."""
    return sorted(path.stem for path in _config_folder().glob("*.yaml"))


def config_path(name: str) -> Path:
    """Return the file of a configuration: a path, or the name of one that comes with the package.

    Raises:
        ConfigError: If there is neither; the message suggests the nearest name.
    """
    given = Path(name)
    if given.is_file():
        return given
    packaged = _config_folder() / f"{name}.yaml"
    if packaged.is_file():
        return packaged
    near = difflib.get_close_matches(name, config_names(), n=2)
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else "do give a file that is there, or one of those names"
    )
    raise ConfigError(
        f"Expected `--config` to be a YAML file or a name of `mtl configs`, but got {name!r}; {hint}"
    )


def load_settings(
    schema: type[S],
    name: str | Mapping[str, Any] = "default",
    overrides: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
) -> S:
    """Read the settings of a command.

    Args:
        schema: Which settings: `Experiment`, or those of another command.
        name: A YAML file, or the name of one that comes with the package. `base: NAME` in it starts from another. Or what such
            a file holds.
        overrides: Dotted keys and values, as flags give them.
        sets: `a.b=c` texts, as `--set` gives them; the value is YAML.

    Raises:
        ConfigError: One line that names the key.
    """
    tree = copy.deepcopy(dict(name)) if isinstance(name, Mapping) else read_tree(config_path(name))
    tree = {key: tree[key] for key in tree if key not in _FEDERATED or key in schema.model_fields}
    for key, value in (overrides or {}).items():
        _assign(tree, key, value)
    for text in sets:
        _assign(tree, *parse_setting(text, "--set"))
    return _validate(schema, tree)


def with_changes(settings: S, changes: Mapping[str, Any]) -> S:
    """Return settings of the same schema in which dotted keys have other values.

    Raises:
        ConfigError: One line that names the key.
    """
    tree = settings.model_dump(mode="json")
    for key, value in changes.items():
        _assign(tree, key, value)
    return _validate(type(settings), tree)


def parse_setting(text: str, flag: str) -> tuple[str, Any]:
    """Read KEY=VALUE, where the value is YAML.

    Args:
        text: As given.
        flag: For the error's sentence.

    Raises:
        ConfigError: If it is no such text.

    Examples:
        >>> parse_setting("train.learning_rate=1e-3", "--set")
        ('train.learning_rate', 0.001)
    """
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise ConfigError(
            f"Expected `{flag}` to be KEY=VALUE, but got {text!r}; do write for example seed=3 or a.b=c"
        )
    try:
        return key.strip(), _value(value)
    except yaml.YAMLError as error:
        raise ConfigError(
            f"Expected the value of `{flag} {key}` to be YAML, but got {value!r}; do quote it"
        ) from error


def dump_settings(settings: Settings) -> str:
    """Return settings as YAML that `load_settings` reads back to the same."""
    text: str = yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def _config_folder() -> Path:
    # Installed, the YAML files lie inside the package; in a checkout they lie beside it, where people look for them.
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def read_tree(path: Path) -> dict[str, Any]:
    """Return the keys and values of a configuration file, laid over those of its `base`.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        tree = yaml.safe_load(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(
            f"Expected {path} to be a readable UTF-8 file, but got: {error}; do check it"
        ) from error
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", -1) + 1
        raise ConfigError(f"Expected {path} to be YAML, but line {line} is not; do mend it") from error
    if not isinstance(tree, dict):
        raise ConfigError(
            f"Expected {path} to hold keys and values, but got {type(tree).__name__}; do write `key: value` a line"
        )
    base = tree.pop("base", None)
    return _merge(read_tree(config_path(str(base))), tree) if base else tree


def _merge(under: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(under)
    for key, value in over.items():
        known = merged.get(key)
        # Another data set is not a variation of the first: its root and labels must not be inherited.
        if isinstance(value, dict) and isinstance(known, dict) and key != "data":
            merged[key] = _merge(known, value)
        else:
            merged[key] = value
    return merged


def _assign(tree: Any, key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        place = _place(tree, parent, key)
        below = tree[place] if isinstance(tree, list) else tree.get(place)
        if below is None:
            below = tree[place] = {}
        if not isinstance(below, (dict, list)):
            raise ConfigError(
                f"Expected `{'.'.join(parents[: depth + 1])}` to hold keys, but it is {below!r}; do set that key itself"
            )
        tree = below
    tree[_place(tree, last, key)] = value


def _place(tree: Any, part: str, key: str) -> Any:
    """Return what a part of a dotted key means in a tree: a key, or the number of an entry of a list."""
    if not isinstance(tree, list):
        return part
    if not (part.isascii() and part.isdigit() and int(part) < len(tree)):
        raise ConfigError(
            f"Expected `{key}` to number one of {len(tree)} entries from 0, but got {part!r}; do change it"
        )
    return int(part)


def _value(text: str) -> Any:
    # YAML 1.1 takes 1e-3 for a text.
    return float(text) if _EXPONENT.fullmatch(text.strip()) else yaml.safe_load(text)


def _validate(schema: type[S], tree: dict[str, Any]) -> S:
    try:
        return schema.model_validate(_expand(tree))
    except ValidationError as error:
        first, more = error.errors()[0], error.error_count() - 1
        key = ".".join(str(part) for part in first["loc"])
        others = f" (and {more} more)" if more else ""
        if first["type"] == "extra_forbidden":
            hint = _near(schema, [str(part) for part in first["loc"]])
            tail = f"did you mean {hint}?" if hint else f"do choose from {', '.join(schema.model_fields)}"
            raise ConfigError(f"Expected known keys only, but got `{key}`{others}; {tail}") from error
        message = first["msg"].removeprefix("Value error, ")
        if message.startswith("Expected"):
            raise ConfigError(message + others) from error
        raise ConfigError(
            f"Expected `{key}` to be valid, but got {first['input']!r}: {message}{others}; do change it"
        ) from error


def _near(schema: type[Settings], given: Sequence[str]) -> str:
    """Return the key most like the one given, with its section where that is another; empty if none is."""
    *section, last = given
    keys = _keys(schema)
    names = difflib.get_close_matches(last, [key[-1] for key in keys], n=1)
    if not names:
        return ""

    def shared(key: Sequence[str]) -> int:
        return sum(one == other for one, other in zip(key, section, strict=False))

    best = max((key for key in keys if key[-1] == names[0]), key=shared)
    return names[0] if list(best[:-1]) == section else ".".join(best)


def _keys(model: type[Settings]) -> list[tuple[str, ...]]:
    keys: list[tuple[str, ...]] = []
    for name, entry in model.model_fields.items():
        keys.append((name,))
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, Settings):
            keys += [(name, *key) for key in _keys(entry.annotation)]
    return keys


def _expand(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expand(below) for key, below in value.items()}
    if isinstance(value, (list, tuple)):
        return [_expand(below) for below in value]
    if isinstance(value, str) and "$" in value:
        expanded = os.path.expandvars(value)
        if "$" in expanded:
            raise ConfigError(
                f"Expected the environment variable in {value!r} to be set, but it is not; do export it or give the path"
            )
        return expanded
    return value
