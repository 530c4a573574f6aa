"""What `--preset` means: settings of the last stage of a chain, measured against each other in docs/recipe.md."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

from mtl.errors import ConfigError
from stages.stacked_settings import STACKED

__all__ = ["PRESETS", "check_alone", "preset_keys"]

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "fast": {"learner": STACKED, "stacked.views": ("plain",), "preprocess.image_size": 128},
    "default": {},
    "best": {
        "learner": STACKED,
        "stacked.views": ("plain", "grey-world"),
        "preprocess.image_size": 224,
    },
}
"""Keys of a stage by the name of a preset; `default` is what the configuration says."""


def preset_keys(preset: str, flags: Iterable[str]) -> Mapping[str, Any]:
    """Return the keys of a stage that a preset sets.

    Args:
        preset: Its name.
        flags: Other flags that were given, such as `image_size`.

    Raises:
        ConfigError: If there is no such preset, or a flag says something else of the same key.
    """
    if preset not in PRESETS:
        near = difflib.get_close_matches(preset, PRESETS, n=1)
        hint = f"did you mean {near[0]}?" if near else "do choose from them"
        raise ConfigError(
            f"Expected `--preset` to be one of {', '.join(PRESETS)}, but got {preset!r}; {hint}"
        )
    keys = PRESETS[preset]
    decided = {key.rpartition(".")[2] for key in keys} | ({"features"} if "learner" in keys else set())
    check_alone(f"--preset {preset}", **{flag: True for flag in flags if flag in decided})
    return keys


def check_alone(flag: str, **beside: Any) -> None:
    """Refuse flags that say what another flag decides.

    Args:
        flag: That decides, such as `--preset best`.
        beside: Values of others; None was not given.

    Raises:
        ConfigError: If one of them was given.
    """
    both = next((name for name, value in beside.items() if value is not None), None)
    if both:
        raise ConfigError(
            f"Expected `{flag}` without `--{both.replace('_', '-')}`, which it decides itself, but got both; do leave one out"
        )
