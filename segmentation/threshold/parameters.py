"""Typed records of settings, each with a range that is checked and can be printed."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from segmentation.errors import ParameterError
from segmentation.settings import Settings

__all__ = ["Parameters", "build", "flag", "number"]


def number(default: float, low: float, high: float, text: str) -> Any:
    """Return a field for a number from low to high, both allowed."""
    return Field(default, ge=low, le=high, strict=True, description=text)


def flag(default: bool, text: str) -> Any:
    """Return a field for yes or no."""
    return Field(default, strict=True, description=text)


class Parameters(Settings):
    """Base of all records.

    Raises:
        ParameterError: A value is out of its range, in one sentence.
    """

    def __init__(self, **given: Any) -> None:
        try:
            super().__init__(**given)
        except ValidationError as error:
            raise ParameterError(self._sentence(error)) from None

    @classmethod
    def _sentence(cls, error: ValidationError) -> str:
        first = error.errors()[0]
        name, value = str(first["loc"][0]), first["input"]
        if name not in cls.model_fields:
            near = difflib.get_close_matches(name, cls.model_fields, 1)
            hint = f"did you mean {near[0]}?" if near else "leave it out."
            return f"Expected only {', '.join(cls.model_fields) or 'nothing'}, but got {name!r}; {hint}"
        kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
        kind, span = kinds[cls._kind(name)], cls._span(name)
        expected = kind if kind == "true or false" else f"{kind} from {span}"
        return f"Expected `{name}` to be {expected}, but got {value!r}; it is {cls.model_fields[name].description}."

    @classmethod
    def _kind(cls, name: str) -> str:
        annotation = cls.model_fields[name].annotation
        return annotation.__name__ if annotation else ""

    @classmethod
    def _span(cls, name: str) -> str:
        if cls._kind(name) == "bool":
            return "true/false"
        rules = cls.model_fields[name].metadata
        low = next(rule.ge for rule in rules if hasattr(rule, "ge"))
        high = next(rule.le for rule in rules if hasattr(rule, "le"))
        return f"{low:g} to {high:g}"

    @classmethod
    def table(cls) -> list[tuple[str, str, str, str]]:
        """Return rows (name, default, range, meaning) of the settings."""
        return [
            (name, str(entry.default), cls._span(name), entry.description or "")
            for name, entry in cls.model_fields.items()
        ]


Record = TypeVar("Record", bound=Parameters)


def build(kind: type[Record], given: Mapping[str, Any], owner: str) -> Record:
    """Return a record from keyword arguments; an error names `owner`, the method that they were given to."""
    try:
        return kind(**{str(name): value for name, value in given.items()})
    except ParameterError as error:
        raise ParameterError(
            str(error).replace("Expected only", f"Expected `{owner}` to be given only", 1)
        ) from None
