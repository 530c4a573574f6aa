"""From fields to patients, one field after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field

import numpy as np

from mtl.predict.blasts import share_of
from mtl.predict.predictor import count_blasts
from mtl.predict.records import FieldSaid, PatientSaid

__all__ = ["Patients"]


@dataclass
class _Sums:
    fields: int = 0
    cells: int = 0
    unlike_cells: int = 0
    unlike_fields: int = 0
    total: dict[str, float] = field(default_factory=dict)
    by_field: Counter[str] = field(default_factory=Counter)
    by_cell: Counter[str] = field(default_factory=Counter)
    blasts: list[tuple[int, int]] = field(default_factory=list)


class Patients:
    """Adds fields up to patients or slides.

    Args:
        blast: Class that is counted, if there is one.
    """

    def __init__(self, blast: str | None) -> None:
        self._blast = blast
        self._sums: defaultdict[str, _Sums] = defaultdict(_Sums)

    def add(self, group: str, one: FieldSaid) -> None:
        """Add a field to its patient."""
        own = self._sums[group]
        own.fields += 1
        own.cells += len(one.cells)
        for cell in one.cells:
            if cell.said is not None:
                own.unlike_cells += cell.said.unlike
                own.by_cell[cell.said.answer] += 1
        if self._blast is not None:
            own.blasts.append(count_blasts(one.cells, self._blast))
        if one.said is None:
            return
        own.by_field[one.said.answer] += 1
        own.unlike_fields += one.said.unlike
        if not one.said.unlike:
            for name, value in one.said.probabilities.items():
                own.total[name] = own.total.get(name, 0.0) + value

    def records(self) -> tuple[PatientSaid, ...]:
        """Return all patients, in the order of their first fields."""
        return tuple(self._record(group, own) for group, own in self._sums.items())

    def _record(self, group: str, own: _Sums) -> PatientSaid:
        whole = sum(own.total.values())
        means = {name: float(np.clip(value / whole, 0, 1)) for name, value in own.total.items()}
        return PatientSaid(
            group=group,
            fields=own.fields,
            cells=own.cells,
            unlike_fields=own.unlike_fields,
            unlike_cells=own.unlike_cells,
            label=max(means, key=lambda name: means[name]) if means else None,
            probabilities=means,
            fields_by_class=dict(own.by_field),
            cells_by_class=dict(own.by_cell),
            blasts=None if self._blast is None else share_of(own.blasts),
        )
