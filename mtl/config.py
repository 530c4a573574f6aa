"""The one schema of an experiment; `mtl.loading` reads it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from mtl.errors import ConfigError
from mtl.loading import load_settings, read_tree
from segmentation.settings import Hardware, Seed, Settings
from stages import STAGES
from stages.data_settings import ExternalSettings
from stages.settings import ImageNetSettings, StageSettings

__all__ = [
    "STAGE_FIELDS",
    "Evaluating",
    "Experiment",
    "FolderName",
    "Rendering",
    "check_order",
    "config_to_continue",
    "load_config",
    "parse_chains",
    "parse_stages",
]

STAGE_FIELDS: Mapping[int, str] = {number: STAGES[number].name for number in (2, 3)}
"""Which part of the configuration describes a stage that always learns."""


def _folder_name(name: str) -> str:
    if not re.fullmatch(r"[\w.-]+", name) or name in (".", ".."):
        raise ConfigError(
            f"Expected a name of a folder, of letters, digits, `_`, `-` and `.`, but got {name!r}; do choose another"
        )
    return name


FolderName = Annotated[str, AfterValidator(_folder_name)]
"""A name that stays in its folder."""


class Evaluating(Settings):
    """How the test part is scored."""

    flips: bool = Field(True, description="average the prediction over the four flips of an image")
    resamples: int = Field(1000, ge=100, le=1_000_000, description="bootstrap resamples over groups")
    baselines: bool = Field(True, description="score the colour-only baselines on the same split")


class Rendering(Settings):
    """Which smears are rendered for stages whose data have no root."""

    fields: int = Field(160, ge=8, le=100_000, description="multi-cell fields (ALL-IDB1 layout)")
    crops: int = Field(260, ge=8, le=100_000, description="single-cell crops cut from them (ALL-IDB2 layout)")
    slides: int = Field(32, ge=4, le=100_000, description="slides that the fields come from, 4 or more")
    height: int = Field(486, ge=320, le=1944, description="of a field in px")
    width: int = Field(648, ge=320, le=2592, description="of a field in px")
    seed: Seed = Field(0, description="the same seed gives the same pixels")


class Experiment(Settings):
    """Everything that decides what a run computes."""

    name: FolderName = Field("default", description="name of the run folder")
    seed: Seed = 0
    stages: tuple[int, ...] = Field((1, 2, 3), description="1 ImageNet, 2 single cell, 3 multi-cell")
    against: tuple[tuple[int, ...], ...] = Field(
        (), description="further chains on the same splits, such as 1,3"
    )
    backbone: str = Field("tf_efficientnet_lite0", max_length=200, description="see `mtl backbones`")
    weights: str = Field("auto", description="auto, none or a weight file")
    imagenet: ImageNetSettings = ImageNetSettings()
    single_cell: StageSettings
    multi_cell: StageSettings
    tests: tuple[ExternalSettings, ...] = Field(
        (), description="data sets that no stage has seen, to score the finished chains on"
    )
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
        return parse_chains(value, "--against")

    @model_validator(mode="after")
    def _ordered(self) -> Experiment:
        for chain in self.chains():
            check_order(chain)
        return self

    @model_validator(mode="after")
    def _bags_last(self) -> Experiment:
        early = {"imagenet.proceed": self.imagenet.proceed, "single_cell": self.single_cell}
        for name, settings in early.items():
            if settings is not None and settings.bagging is not None:
                raise ConfigError(
                    f"Expected `{name}.unit` to be field, because a later stage goes on with its backbone, but got {settings.unit}; "
                    "do set `multi_cell.unit`"
                )
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


def parse_chains(value: Any, flag: str) -> Any:
    """Read chains as a flag or a file gives them: `"1,3 1,2,3"`, `none`, a chain, or a list of chains.

    Args:
        value: As given; what stands in a list and is no text is left to the schema.
        flag: For the error's sentence.

    Raises:
        ConfigError: If it is none of these.

    Examples:
        >>> parse_chains("1,3 1,2,3", "--chains")
        ((1, 3), (1, 2, 3))
        >>> parse_chains("none", "--against")
        ()
    """
    if value in (None, "none"):
        return ()
    chains = value.split() if isinstance(value, str) else [value] if isinstance(value, int) else value
    if not isinstance(chains, (list, tuple)):
        raise ConfigError(
            f"Expected `{flag}` to be chains such as 1,3, but got {value!r}; do write 1,3 or none"
        )
    if chains and all(isinstance(part, int) for part in chains) and not isinstance(value, int):
        chains = [chains]
    return tuple(parse_stages(one, flag) if isinstance(one, (str, int)) else one for one in chains)


def parse_stages(text: str | int, flag: str = "--stages") -> tuple[int, ...]:
    """Read a chain of stages.

    Args:
        text: Such as `1,2,3`.
        flag: For the error's sentence.

    Examples:
        >>> parse_stages("1,2,3")
        (1, 2, 3)
        >>> parse_stages(3)
        (3,)

    Raises:
        ConfigError: If it is not a comma-separated list of stage numbers in rising order.
    """
    parts = [part.strip() for part in str(text).split(",") if part.strip()]
    if not parts or not all(part in {"1", "2", "3"} for part in parts):
        raise ConfigError(
            f"Expected `{flag}` to be a list of 1, 2 and 3 such as 1,2,3, but got {text!r}; do name at least one"
        )
    chain = tuple(int(part) for part in parts)
    check_order(chain, flag)
    return chain


def check_order(chain: tuple[int, ...], flag: str = "--stages") -> None:
    """Refuse a chain whose stages do not rise.

    Raises:
        ConfigError: One line that names the flag.
    """
    text = ",".join(map(str, chain))
    if not chain or list(chain) != sorted(set(chain)) or not set(chain) <= {1, 2, 3}:
        raise ConfigError(
            f"Expected `{flag}` to rise from 1 (ImageNet) over 2 (single cell) to 3 (multi-cell), but got {text!r}; do write 1,2,3 or 1,3"
        )


def config_to_continue(start: Path) -> dict[str, Any]:
    """Return the configuration of the run that `--from` names, for a run that goes on from it: the same data, sizes and backbone.

    Its name, the chains that it was compared with and its tests elsewhere are its own and are left out.

    Args:
        start: Run folder, or the folder of one of its stages.

    Raises:
        ConfigError: If no run lies there.
    """
    for folder in (start, start.parent.parent):
        if (folder / "config.yaml").is_file():
            tree = read_tree(folder / "config.yaml")
            # A benchmark's configuration holds its design, too.
            return {
                key: tree[key]
                for key in Experiment.model_fields
                if key in tree and key not in ("name", "against", "tests")
            }
    raise ConfigError(
        f"Expected `--from` to be a run folder or the folder of one of its stages, but {start} has no config.yaml; do give what `mtl run` printed"
    )


def load_config(
    name: str | Mapping[str, Any] = "default",
    overrides: Mapping[str, Any] | None = None,
    sets: Iterable[str] = (),
) -> Experiment:
    """Read an experiment; see `mtl.loading.load_settings`."""
    return load_settings(Experiment, name, overrides, sets)
