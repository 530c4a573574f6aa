"""From fields to patients, one field after the other."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from mtl.predict.blasts import count_blasts, share_of
from mtl.predict.records import FieldSaid, PatientSaid, Said

__all__ = ["PATIENT", "Bagged", "Patients"]

PATIENT = "patient"
Bagged = tuple[Said, dict[str, float]]
"""What a stage 3 of patients says of one, and the part of each image in it."""


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
    by_probability: list[list[float]] = field(default_factory=list)


class Patients:
    """Adds fields up to patients or slides.

    Args:
        blast: Class that is counted, if there is one.
        aggregate: How patients are answered; see `PatientSaid`.
        cells: Classes of stage 2, in the order of the probabilities.
    """

    def __init__(self, blast: str | None, aggregate: str | None = "field", cells: Sequence[str] = ()) -> None:
        self._blast = blast
        self._aggregate = aggregate
        self._cells = tuple(cells)
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
                if self._aggregate in ("mean", "noisy-or") and not cell.said.unlike:
                    own.by_probability.append([cell.said.probabilities[name] for name in self._cells])
        if self._blast is not None:
            own.blasts.append(count_blasts(one.cells, self._blast))
        if one.said is None:
            return
        own.by_field[one.said.answer] += 1
        own.unlike_fields += one.said.unlike
        if not one.said.unlike:
            for name, value in one.said.probabilities.items():
                own.total[name] = own.total.get(name, 0.0) + value

    def records(self, bagged: Mapping[str, Bagged] | None = None) -> tuple[PatientSaid, ...]:
        """Return all patients, in the order of their first fields.

        Args:
            bagged: What a stage 3 of patients says of them, by group.
        """
        return tuple(self._record(group, own, (bagged or {}).get(group)) for group, own in self._sums.items())

    def _record(self, group: str, own: _Sums, bagged: Bagged | None) -> PatientSaid:
        said, decided = bagged or (None, {})
        found = dict(said.probabilities) if said else self._added(own)
        label = max(found, key=lambda name: found[name]) if found else None
        return PatientSaid(
            group=group,
            fields=own.fields,
            cells=own.cells,
            unlike_fields=own.unlike_fields,
            unlike_cells=own.unlike_cells,
            aggregate=self._aggregate if found else None,
            label=label,
            answer=said.answer if said else label,
            probabilities=found,
            decided=decided,
            fields_by_class=dict(own.by_field),
            cells_by_class=dict(own.by_cell),
            blasts=None if self._blast is None else share_of(own.blasts),
        )

    def _added(self, own: _Sums) -> dict[str, float]:
        """Return the probabilities of a patient of the sums over fields or cells; none without any."""
        if self._aggregate == "field":
            whole = sum(own.total.values())
            return {name: float(np.clip(value / whole, 0, 1)) for name, value in own.total.items()}
        if not own.by_probability:
            return {}
        rows = np.array(own.by_probability)
        found = rows.mean(axis=0) if self._aggregate == "mean" else _noisy_or(rows)
        return dict(zip(self._cells, map(float, found), strict=True))


def _noisy_or(rows: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    import torch

    from stages.learners.bags.aggregate import noisy_or

    single = torch.from_numpy(rows).clamp_min(1e-12).log()[None]
    found: npt.NDArray[np.float64] = (
        noisy_or(single, torch.ones(1, len(rows), dtype=torch.bool))[0].exp().numpy()
    )
    return found
