"""From images to patients: one sample for all images of a group, with the label that they share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stages.data.images import content_key
from stages.data.sample import Sample
from stages.errors import DataError

__all__ = ["join_patients", "single_images"]


def join_patients(samples: Sequence[Sample], stated: Mapping[str, str]) -> list[Sample]:
    """Return a sample for every patient, in the order of their first images.

    Args:
        samples: Of images; their groups may be larger than a patient, where copies tie two.
        stated: Patient of a sample as its source names it, by the sample's name.

    Raises:
        DataError: If an image has no patient, or a patient has images of two labels.
    """
    lost = [sample for sample in samples if sample.name not in stated]
    if lost:
        raise DataError(
            f"Expected data that name the patient of every image for `unit` patient, but {len(lost)} of {len(samples)} have none, such as "
            f"{lost[0].name!r}; do choose unit field or cells, or add them, as docs/data.md says"
        )
    bags: dict[tuple[str, str], list[Sample]] = {}
    for sample in samples:
        bags.setdefault((sample.source, stated[sample.name]), []).append(sample)
    for (_, name), images in bags.items():
        labels = sorted({sample.label for sample in images})
        if len(labels) > 1:
            raise DataError(
                f"Expected data that label patients for `unit` patient, but {name!r} has images of {' and '.join(labels[:2])}; do choose "
                "another data set, such as deepapl-diagnosis, or unit field"
            )
    return [
        replace(images[0], name=f"{source}/{name}" if source else name, mask=None, members=tuple(images))
        for (source, name), images in bags.items()
    ]


def single_images(samples: Sequence[Sample], fingerprint: str) -> tuple[list[Sample], list[int], str]:
    """Return the samples of single images, which of the samples each belongs to, and the hash of their content.

    Args:
        samples: Of images or of patients.
        fingerprint: Hash of their content; where none is of a patient it stays.
    """
    images = [one for sample in samples for one in sample.images]
    rows = [row for row, sample in enumerate(samples) for _ in sample.images]
    return images, rows, content_key(images) if any(sample.members for sample in samples) else fingerprint
