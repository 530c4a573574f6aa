"""Typed records of settings, each with a range that is checked and can be printed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from segmentation.errors import ParameterError

__all__ = ["Parameters", "build", "choice", "flag", "number"]


def number(default: float, low: float, high: float, text: str) -> Any:
    """Return a dataclass field for a number from low to high, both allowed; whole if the default is an int."""
    return field(default=default, metadata={"low": low, "high": high, "text": text})


def choice(default: str, options: tuple[str, ...], text: str) -> Any:
    """Return a dataclass field for one of a few words."""
    return field(default=default, metadata={"options": options, "text": text})


def flag(default: bool, text: str) -> Any:
    """Return a dataclass field for yes or no."""
    return field(default=default, metadata={"text": text})


@dataclass(frozen=True)
class Parameters:
    """Base of all records: what a field's metadata says is checked when a record is made."""

    def __post_init__(self) -> None:
        """Check every field, and raise `ParameterError` at the first that is out of its range."""
        for entry in fields(self):
            value, about = getattr(self, entry.name), entry.metadata
            if "options" in about and value not in about["options"]:
                raise ParameterError(
                    f"Expected `{entry.name}` to be one of {', '.join(about['options'])}, but got {value!r}; choose one of them."
                )
            if "low" in about:
                self._check_number(entry.name, value, about, whole=isinstance(entry.default, int))
            elif isinstance(entry.default, bool) and not isinstance(value, bool):
                raise ParameterError(
                    f"Expected `{entry.name}` to be true or false, but got {value!r}; give one of them."
                )

    @staticmethod
    def _check_number(name: str, value: Any, about: Mapping[str, Any], *, whole: bool) -> None:
        kind = "a whole number" if whole else "a number"
        right = (
            isinstance(value, int if whole else (int, float))
            and not isinstance(value, bool)
            and about["low"] <= value <= about["high"]
        )
        if not right:
            raise ParameterError(
                f"Expected `{name}` to be {kind} from {about['low']:g} to {about['high']:g}, but got {value!r}; "
                f"it is {about['text']}."
            )

    @classmethod
    def table(cls) -> list[tuple[str, str, str, str]]:
        """Return rows (name, default, range, meaning) of the settings."""
        rows = []
        for entry in fields(cls):
            about = entry.metadata
            span = "/".join(about["options"]) if "options" in about else "true/false"
            if "low" in about:
                span = f"{about['low']:g} to {about['high']:g}"
            rows.append((entry.name, str(entry.default), span, about.get("text", "")))
        return rows


Record = TypeVar("Record", bound=Parameters)


def build(kind: type[Record], given: Mapping[str, Any], owner: str) -> Record:
    """Return a record from keyword arguments, or say which of them `owner` does not know."""
    known = [entry.name for entry in fields(kind)]
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]}?" if near else "leave it out."
            raise ParameterError(
                f"Expected `{owner}` to be given only {', '.join(known) or 'nothing'}, but got {name!r}; {hint}"
            )
    return kind(**given)
