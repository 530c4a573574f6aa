"""The one schema of an experiment: YAML in, YAML out, `--set a.b=c` for everything."""

from __future__ import annotations

import copy
import difflib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator, model_validator

from mtl.errors import ConfigError
from stages.settings import Hardware, ImageNetSettings, Settings, StageSettings

__all__ = [
    "Evaluating",
    "Experiment",
    "Rendering",
    "config_names",
    "config_path",
    "dump_config",
    "load_config",
    "parse_stages",
]

STAGE_FIELDS: Mapping[int, str] = {2: "single_cell", 3: "multi_cell"}
"""Which part of the configuration describes a stage that always learns."""


class Evaluating(Settings):
    """How the test part is scored."""

    flips: bool = Field(True, description="average the prediction over the four flips of an image")
    resamples: int = Field(1000, ge=100, description="bootstrap resamples over groups")
    baselines: bool = Field(True, description="score the colour-only baselines on the same split")


class Rendering(Settings):
    """Which smears are rendered for stages whose data have no root."""

    fields: int = Field(160, ge=8, description="multi-cell fields")
    crops: int = Field(260, ge=8, description="single-cell crops cut from them")
    slides: int = Field(32, ge=4, description="slides that the fields come from")
    height: int = Field(486, ge=320, le=1944, description="of a field in px")
    width: int = Field(648, ge=320, le=2592, description="of a field in px")
    seed: int = Field(0, ge=0)


class Experiment(Settings):
    """Everything that decides what a run computes."""

    name: str = Field("default", pattern=r"^[\w.-]+$", description="name of the run folder")
    seed: int = Field(0, ge=0)
    stages: tuple[int, ...] = Field((1, 2, 3), description="1 ImageNet, 2 single cell, 3 multi-cell")
    against: tuple[tuple[int, ...], ...] = Field(
        (), description="further chains on the same splits, such as 1,3"
    )
    backbone: str = Field("tf_efficientnet_lite0", description="any timm model")
    weights: str = Field("auto", description="auto, none or a weight file")
    imagenet: ImageNetSettings = ImageNetSettings()
    single_cell: StageSettings
    multi_cell: StageSettings
    rendering: Rendering = Rendering()
    hardware: Hardware = Hardware()
    evaluation: Evaluating = Evaluating()

    @field_validator("stages", mode="before")
    @classmethod
    def _parse(cls, value: Any) -> Any:
        return parse_stages(value) if isinstance(value, (str, int)) else value

    @field_validator("against", mode="before")
    @classmethod
    def _parse_all(cls, value: Any) -> Any:
        chains = value.split() if isinstance(value, str) else value or ()
        if isinstance(chains, (list, tuple)) and chains and all(isinstance(part, int) for part in chains):
            chains = [chains]
        return tuple(parse_stages(one) if isinstance(one, (str, int)) else one for one in chains)

    @model_validator(mode="after")
    def _ordered(self) -> Experiment:
        for chain in self.chains():
            _check_order(chain)
        return self

    def stage(self, number: int) -> StageSettings:
        """Return the settings of a stage that learns.

        Args:
            number: 1 (continued ImageNet training, if configured), 2 or 3.

        Raises:
            KeyError: If the stage does not learn.
        """
        if number == 1 and self.imagenet.proceed is not None:
            return self.imagenet.proceed
        settings: StageSettings = getattr(self, STAGE_FIELDS[number])
        return settings

    def learns(self, number: int) -> bool:
        """Say whether a stage trains weights in this experiment."""
        return number in STAGE_FIELDS or self.imagenet.proceed is not None

    def chains(self) -> tuple[tuple[int, ...], ...]:
        """Return the chains to run, the one in question first."""
        return tuple(dict.fromkeys((self.stages, *self.against)))


def parse_stages(text: str | int) -> tuple[int, ...]:
    """Read a chain such as `"1,2,3"`.

    Raises:
        ConfigError: If it is not a comma-separated list of stage numbers in rising order.
    """
    parts = [part.strip() for part in str(text).split(",") if part.strip()]
    if not parts or not all(part in {"1", "2", "3"} for part in parts):
        raise ConfigError(
            f"Expected `--stages` to be a list of 1, 2 and 3 such as 1,2,3, but got {text!r}; do name at least one"
        )
    chain = tuple(int(part) for part in parts)
    _check_order(chain)
    return chain


def _check_order(chain: tuple[int, ...]) -> None:
    text = ",".join(map(str, chain))
    if not chain or list(chain) != sorted(set(chain)) or not set(chain) <= {1, 2, 3}:
        raise ConfigError(
            f"Expected `--stages` to rise from 1 (ImageNet) over 2 (single cell) to 3 (multi-cell), but got {text!r}; do write 1,2,3 or 1,3"
        )


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
        else f"choose a YAML file or one of {', '.join(config_names())}"
    )
    raise ConfigError(f"Expected `--config` to be a YAML file or a known name, but got {name!r}; {hint}")


def load_config(
    name: str | Mapping[str, Any] = "default",
    overrides: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
) -> Experiment:
    """Read an experiment.

    Args:
        name: A YAML file, or the name of one that comes with the package. `base: NAME` in it starts from another. Or what such
            a file holds.
        overrides: Dotted keys and values, as flags give them.
        sets: `a.b=c` texts, as `--set` gives them; the value is YAML.

    Raises:
        ConfigError: One line that names the key.
    """
    tree = _read_tree(config_path(name)) if isinstance(name, str) else copy.deepcopy(dict(name))
    for key, value in (overrides or {}).items():
        _assign(tree, key, value)
    for text in sets:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(
                f"Expected `--set` to be KEY=VALUE, but got {text!r}; do write for example multi_cell.train.epochs=10"
            )
        try:
            _assign(tree, key.strip(), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise ConfigError(
                f"Expected the value of `--set {key}` to be YAML, but got {value!r}; do quote it"
            ) from error
    return _validate(tree)


def dump_config(experiment: Experiment) -> str:
    """Return the experiment as YAML that `load_config` reads back to the same."""
    text: str = yaml.safe_dump(experiment.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    return text


def _config_folder() -> Path:
    # Installed, the YAML files lie inside the package; in a checkout they lie beside it, where people look for them.
    inside = Path(__file__).parent / "configs"
    return inside if inside.is_dir() else Path(__file__).parent.parent / "configs"


def _read_tree(path: Path) -> dict[str, Any]:
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
            f"Expected {path} to hold keys and values, but got {type(tree).__name__}; do see `configs/default.yaml`"
        )
    base = tree.pop("base", None)
    return _merge(_read_tree(config_path(str(base))), tree) if base else tree


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


def _assign(tree: dict[str, Any], key: str, value: Any) -> None:
    *parents, last = key.split(".")
    for depth, parent in enumerate(parents):
        below = tree.setdefault(parent, {})
        if below is None:
            below = tree[parent] = {}
        if not isinstance(below, dict):
            raise ConfigError(
                f"Expected `{'.'.join(parents[: depth + 1])}` to hold keys, but it is {below!r}; do set that key itself"
            )
        tree = below
    tree[last] = value


def _validate(tree: dict[str, Any]) -> Experiment:
    try:
        return Experiment.model_validate(_expand(tree))
    except ValidationError as error:
        first, more = error.errors()[0], error.error_count() - 1
        key = ".".join(str(part) for part in first["loc"])
        others = f" (and {more} more)" if more else ""
        if first["type"] == "extra_forbidden":
            hint = difflib.get_close_matches(str(first["loc"][-1]), _keys(Experiment), n=1)
            tail = f"did you mean {hint[0]}?" if hint else "do see `configs/default.yaml`"
            raise ConfigError(f"Expected known keys only, but got `{key}`{others}; {tail}") from error
        message = first["msg"].removeprefix("Value error, ")
        if message.startswith("Expected"):
            raise ConfigError(message + others) from error
        raise ConfigError(
            f"Expected `{key}` to be valid, but got {first['input']!r}: {message}{others}; do change it"
        ) from error


def _keys(model: type[Settings]) -> list[str]:
    keys: list[str] = []
    for name, entry in model.model_fields.items():
        keys.append(name)
        if isinstance(entry.annotation, type) and issubclass(entry.annotation, Settings):
            keys += _keys(entry.annotation)
    return keys


def _expand(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _expand(below) for key, below in value.items()}
    if isinstance(value, str) and "$" in value:
        expanded = os.path.expandvars(value)
        if "$" in expanded:
            raise ConfigError(
                f"Expected the environment variable in {value!r} to be set, but it is not; do export it or give the path"
            )
        return expanded
    return value
