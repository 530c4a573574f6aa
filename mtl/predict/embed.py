"""Features of images as a stage sees them, and a picture in which a batch effect shows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mtl.errors import ConfigError
from mtl.predict.groups import group_images
from mtl.progress import Reporter
from mtl.report.figures import PALETTE, legend_above, new_figure
from mtl.run.load import load
from mtl.run.scoring import group_name
from mtl.segment.inputs import find_images
from segmentation.files import make_folder, write_bytes
from stages.data.images import decode_rgb
from stages.errors import StagesError

__all__ = ["Embedded", "embed_images"]

_LEGEND = 8
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Embedded:
    """What was written.

    Attributes:
        folder: With `embeddings.npz` and `embeddings.png`.
        images: Embedded.
        features: Of each.
        groups: That the images are in.
        explained: Part of the features' variance that the picture shows, by axis.
        failed: Message by image that could not be read.
    """

    folder: Path
    images: int
    features: int
    groups: int
    explained: tuple[float, float]
    failed: dict[str, str]

    def to_json(self) -> dict[str, Any]:
        """Return plain values that `json` can write."""
        return vars(self) | {"folder": str(self.folder), "explained": list(self.explained)}

    def to_text(self) -> str:
        """Return a few lines for a person."""
        lines = [
            f"{self.images} images of {self.groups} groups, {self.features} features each; the picture shows "
            f"{sum(self.explained):.0%} of their variance",
            *([f"{len(self.failed)} images could not be read"] if self.failed else []),
            f"Wrote {self.folder}: embeddings.npz, embeddings.png",
        ]
        return "\n".join(lines)


@dataclass(frozen=True)
class _Item:
    name: str
    label: str
    group: str
    source: str
    read: Callable[[], Pixels]


def embed_images(
    run: Path, given: Sequence[str], out: Path | None, *, chain: str | None, stage: int | None, group_by: str
) -> Embedded:
    """Write the features behind a stage's last layer for images or data sets, and their principal components.

    Args:
        run: Run folder, the folder of one of its stages, or that of an ensemble.
        given: Each an image, a folder of images, or a data set as NAME:FOLDER, which has labels and groups.
        out: Folder of outputs; `runs/embed-RUN` if None.
        chain: Of the run; its first if None.
        stage: Number of the stage; the last one if None.
        group_by: Groups of images that are no data set; see `mtl.predict.groups`.

    Raises:
        MtlError: If a path, the run or groups are not usable, or outputs cannot be written.
        StagesError: If fewer than two images can be read.
    """
    from sklearn.decomposition import PCA

    folder = out or Path("runs") / f"embed-{run.resolve().name}"
    items = [item for text in given for item in _items(text, folder, group_by)]
    model = load(run, chain, stage)
    make_folder(folder)
    kept: list[_Item] = []
    failed: dict[str, str] = {}
    with Reporter() as reporter:

        def images() -> Iterator[Pixels]:
            for number, item in enumerate(items, 1):
                try:
                    image = item.read()
                except StagesError as error:
                    failed[item.name] = str(error)
                    reporter.say(f"{item.name}: {error}")
                else:
                    kept.append(item)
                    yield image
                reporter.step("embed", number, len(items), item.name)

        features = model.embeddings(images())
    if len(kept) < 2:
        raise ConfigError(
            f"Expected two images or more to embed, but {len(kept)} could be read; do give more"
        )
    pca = PCA(2, svd_solver="full")
    places = pca.fit_transform(features)
    columns = {
        name: np.array([getattr(item, key) for item in kept])
        for name, key in (("names", "name"), ("labels", "label"), ("groups", "group"), ("sources", "source"))
    }
    buffer = io.BytesIO()
    arrays: dict[str, Any] = columns | {"features": features, "components": places}
    np.savez(buffer, **{name: _small(values) for name, values in arrays.items()})
    write_bytes(folder / "embeddings.npz", buffer.getvalue())
    write_bytes(folder / "embeddings.png", _picture(places, columns))
    share = pca.explained_variance_ratio_
    return Embedded(
        folder, len(kept), features.shape[1], len(set(columns["groups"])), (float(share[0]), float(share[1])), failed
    )  # fmt: skip


def _small(values: npt.NDArray[Any]) -> Any:
    return values.astype(np.float32) if values.dtype.kind == "f" else values


def _items(text: str, out: Path, group_by: str) -> list[_Item]:
    path = Path(text)
    if not path.exists() and ":" in text:
        return _samples(text)
    name = path.stem if path.is_file() else path.resolve().name
    jobs = find_images(path, out).jobs
    groups = group_images([job.name for job in jobs], group_by, name)
    return [_Item(job.name, "", groups[job.name], name, lambda own=job.path: decode_rgb(own)) for job in jobs]  # type: ignore[misc]


def _samples(text: str) -> list[_Item]:
    from stages.data.catalogue import parse_source, read_dataset
    from stages.data.images import load_rgb

    source = parse_source(text, "IMAGES_OR_DATA")
    return [
        _Item(one.name, one.label, group_name(one), source.dataset, lambda own=one: load_rgb(own))  # type: ignore[misc]
        for one in read_dataset(source.dataset, source.folder)
    ]


def _picture(places: npt.NDArray[np.float64], columns: dict[str, npt.NDArray[np.str_]]) -> bytes:
    figure, axes = new_figure(3, 12, 4.2)
    for axis, (title, key) in zip(
        axes, (("label", "labels"), ("source", "sources"), ("patient", "groups")), strict=True
    ):
        names, which, counts = np.unique(columns[key], return_inverse=True, return_counts=True)
        shown = np.argsort(-counts, kind="stable")[:_LEGEND]
        for place in np.argsort(-counts, kind="stable"):
            own = places[which == place]
            colour = PALETTE[int(np.flatnonzero(shown == place)[0])] if place in shown else "#cccccc"
            text = f"{names[place] or 'unknown'} ({counts[place]})"[:26] if place in shown else None
            axis.scatter(own[:, 0], own[:, 1], s=9, color=colour, label=text, linewidths=0, alpha=0.8)
        more = f", the {_LEGEND} largest of {len(names)}" if len(names) > _LEGEND else ""
        axis.set(xlabel="first component", ylabel="second component")
        axis.set_title(f"by {title}{more}", loc="left", fontsize=9)
        legend_above(axis, 2)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=130)
    return buffer.getvalue()
