"""Several models as one model: its members lie in its own folder, so that it can be taken anywhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from segmentation.files import make_folder
from stages.errors import ModelError
from stages.learners.ensemble.choose import Chosen
from stages.learners.ensemble.combine import COMBINATION
from stages.learners.model import AT_ONCE, Bag, Floats, Image, Model, Prediction, load_model
from stages.preprocess import Preprocess

__all__ = ["MEMBERS", "EnsembleModel"]

MEMBERS = "members"
"""Folder of the members, each a model by itself."""


class EnsembleModel(Model):
    """Models of the same classes whose probabilities are combined; each prepares images in its own way.

    Args:
        members: By name, in the order of the combination; a name is that of a folder.
        chosen: How they are combined, and below which probability no answer is given.

    Raises:
        ModelError: If they do not know the same classes.
    """

    kind = "ensemble"

    def __init__(self, members: Mapping[str, Model], chosen: Chosen) -> None:
        first = next(iter(members.values()))
        for name, member in members.items():
            if member.classes != first.classes:
                raise ModelError(
                    f"Expected members of the same classes ({', '.join(first.classes)}), but {name} knows {', '.join(member.classes)}; "
                    "do combine models of one task"
                )
        super().__init__(first.classes, first.preprocess)
        self.members = dict(members)
        self.chosen = chosen
        self.frame = next((own.frame for own in members.values() if own.frame is not None), None)

    def quicken(self) -> None:
        """Let every member choose."""
        for member in self.members.values():
            member.quicken()

    def probabilities(self, images: Iterable[Bag]) -> Floats:
        """Return what the members together say of images as they come from a file; see `Model.probabilities`."""
        rest, rows = iter(images), [np.empty((0, len(self.classes)))]
        while batch := list(islice(rest, AT_ONCE)):
            rows.append(self._combined([member.probabilities(batch) for member in self.members.values()]))
        return np.concatenate(rows)

    def embeddings(self, images: Iterable[Bag]) -> Floats:
        """Return the features of all members side by side; see `Model.embeddings`."""
        members, rest = list(self.members.values()), iter(images)
        rows = [np.concatenate([member.embeddings([]) for member in members], axis=1)]
        while batch := list(islice(rest, AT_ONCE)):
            rows.append(np.concatenate([member.embeddings(batch) for member in members], axis=1))
        return np.concatenate(rows)

    def prepared_probabilities(self, images: Image) -> Floats:
        """Return probabilities (N, K) of prepared images (N, S, S, 3) uint8, where all members prepare them alike.

        Raises:
            ModelError: If they do not.
        """
        self._check_alike()
        return self._combined([member.prepared_probabilities(images) for member in self.members.values()])

    def prepared_embeddings(self, images: Image) -> Floats:
        """Return the members' features side by side, (N, F), of images that they all prepare alike.

        Raises:
            ModelError: If they do not.
        """
        self._check_alike()
        rows = [member.prepared_embeddings(images) for member in self.members.values()]
        return np.concatenate(rows, axis=1)

    def answers(self, images: Iterable[Bag]) -> list[Prediction]:
        """Return what the members together say of images as they come from a file; see `Model.answers`.

        An image below the threshold is unsure; one that is unlike what any member learned from is unlike.
        """
        rest, found = iter(images), list[Prediction]()
        while batch := list(islice(rest, AT_ONCE)):
            said = [member.answers(batch) for member in self.members.values()]
            votes = [
                np.array([[one.probabilities[name] for name in self.classes] for one in own]) for own in said
            ]
            rows = self._combined(votes)
            for row, sure, own in zip(rows, self.confident(rows), zip(*said, strict=True), strict=True):
                known = [one.distance for one in own if one.distance is not None]
                scores = dict(zip(self.classes, map(float, row), strict=True))
                label = self.classes[int(row.argmax())]
                found.append(Prediction(label, scores, (), not sure, max(known, default=None)))
        return found

    def confident(self, probabilities: Floats) -> npt.NDArray[np.bool_]:
        """Return of which images (N,) an answer is given: those whose highest probability (N, K) reaches the threshold."""
        return np.asarray(probabilities.max(axis=1) >= self.chosen.threshold)

    def _combined(self, votes: list[Floats]) -> Floats:
        return self.chosen.combination(np.stack(votes))

    def _check_alike(self) -> None:
        known = {name: member.preprocess.key for name, member in self.members.items()}
        (first, key), *others = known.items()
        for name, other in others:
            if other != key:
                raise ModelError(
                    f"Expected images as they come from a file, because {first} and {name} prepare them in different ways, "
                    "but got prepared ones; do call `probabilities` or `embeddings`"
                )

    def _state(self) -> dict[str, Any]:
        return {
            "members": list(self.members),
            "combination": self.chosen.combination.model_dump(mode="json"),
            "threshold": self.chosen.threshold,
        }

    def _save_weights(self, folder: Path) -> None:
        for name, member in self.members.items():
            make_folder(folder / MEMBERS / name)
            member.save(folder / MEMBERS / name)

    @classmethod
    def _load(
        cls, folder: Path, classes: tuple[str, ...], preprocess: Preprocess, state: Mapping[str, Any]
    ) -> Self:
        names = state["members"]
        if not names or not all(re.fullmatch(r"[\w.+-]*\w[\w.+-]*", name) for name in names):
            raise TypeError("members")  # none, or one that would lead out of the folder
        members = {name: load_model(folder / MEMBERS / name) for name in names}
        combination = COMBINATION.validate_python(state["combination"])
        return cls(members, Chosen(combination, float(state["threshold"])))
