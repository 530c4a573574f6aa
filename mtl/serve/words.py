"""What a model says, in plain words: its answer, how sure it is, and when it says nothing."""

from __future__ import annotations

from mtl.predict.records import CellSaid, FieldSaid, Said
from mtl.serve.records import InWords

__all__ = ["NOTICE", "in_words", "said_in_words"]

NOTICE = "For research. It is no medical device, and no diagnosis may rest on it."


def in_words(field: FieldSaid, blast: str | None) -> InWords:
    """Return an image for a person."""
    blasts = "" if field.blasts is None else f"Blasts: {field.blasts.to_text()}."
    return InWords(
        field=said_in_words(field.said) if field.said else "This run answers cells alone.",
        blasts=blasts,
        order=_order(field, blast),
        cells={cell.cell: _cell(cell.said) if cell.said else "found, no class" for cell in field.cells},
    )


def said_in_words(said: Said) -> str:
    """Return what is said of an image for a person."""
    if said.unlike:
        return f"No answer: this image is unlike everything that the model has learned from. It would say {said.label}, which means nothing here."
    may = ""
    if len(said.within) > 1:
        may = f" It may be {' or '.join(said.within)}: of such sets nine in ten hold the right class."
    if said.unsure:
        return f"No answer: the model is not sure enough. The most probable class is {said.label}, at {said.probability:.0%}.{may}"
    return f"{said.label}, at {said.probability:.0%}.{may}"


def _cell(said: Said) -> str:
    if said.unlike:
        return f"no answer, unlike the training data (would be {said.label})"
    return (
        f"no answer, unsure (at most {said.label}, {said.probability:.0%})"
        if said.unsure
        else f"{said.label}, {said.probability:.0%}"
    )


def _order(field: FieldSaid, blast: str | None) -> tuple[int, ...]:
    """Return numbers of cells, those that ask most for a look first.

    That is by their part in the field's answer where it is one of cells, else by how likely they are blasts, else the least sure first;
    those that are unlike the training data come last.
    """
    decides = any(cell.decided is not None for cell in field.cells)

    def place(cell: CellSaid) -> tuple[int, float]:
        if decides:
            return 0, -(cell.decided or 0.0)
        if cell.said is None:
            return 2, 0.0
        return int(cell.said.unlike), -cell.said.probabilities[blast] if blast else cell.said.probability

    return tuple(cell.cell for cell in sorted(field.cells, key=place))
