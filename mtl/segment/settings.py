"""Everything that decides what `mtl segment` and `mtl segment score` compute."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from mtl.errors import ConfigError
from segmentation.settings import DISTANCE, PIXELS, Settings

__all__ = ["AUTO", "NETWORK", "ScoreMasks", "SegmentImages"]

AUTO = "auto"
NETWORK = "residual_unet"
_NETWORKS = frozenset({NETWORK, "residual-unet", "network"})


class SegmentImages(Settings):
    """How images are segmented, and what is written besides labels, overlays and the table."""

    method: str = Field(
        AUTO,
        description="what finds the cells: auto, residual_unet, threshold (white-cells), or the name of a threshold method",
    )
    weights: Path | None = Field(
        None, description="weights of `mtl segment train`; the shipped ones if not given"
    )
    cell_size: float | None = Field(
        None, description="diameter of white cells in px; the network measures it if not given"
    )
    flips: bool = Field(False, description="average the network over four mirror images; four times the work")
    any_hue: bool = Field(
        False,
        description="let the network's nuclei have any colour; else they must be violet, as Wright's and Giemsa's are",
    )
    parameters: dict[str, Any] = Field({}, description="settings of the threshold method")
    crops: Literal["none", "plain", "black"] = Field(
        "none", description="a PNG of every cell: none, plain, or black around it"
    )
    xyc: bool = Field(False, description="centroids as ALL-IDB has them, one `x y` a line")
    working_pixels: int = Field(
        PIXELS,
        ge=65_536,
        description="pixels that the network enlarges an image to at most, and that threshold methods reduce it to",
    )
    max_pixels: int = Field(
        144_000_000,
        ge=256,
        description="pixels of the largest image that is taken; a folder goes on without larger ones",
    )
    device: str = Field(AUTO, description="where the network runs: auto, cpu, cuda or mps")

    @field_validator("method", mode="before")
    @classmethod
    def _known(cls, value: Any) -> Any:
        from segmentation.threshold import DEFAULT, METHODS

        name = str(value).strip().lower()
        if name in _NETWORKS or name == AUTO:
            return AUTO if name == AUTO else NETWORK
        name = DEFAULT if name == "threshold" else name.replace("_", "-")
        if name not in METHODS:
            known = (AUTO, NETWORK, "threshold", *METHODS)
            near = difflib.get_close_matches(name, known, 1)
            raise ConfigError(
                f"Expected `--method` to be one of {', '.join(known)}, but got {value!r}; "
                f"{f'did you mean {near[0]}?' if near else 'do choose one of them'}"
            )
        return name

    @model_validator(mode="after")
    def _consistent(self) -> SegmentImages:
        from segmentation.threshold import DEFAULT, METHODS
        from segmentation.threshold.parameters import build

        name = self.method
        if name not in METHODS:
            if self.parameters:
                raise ConfigError(
                    f"Expected `parameters` together with a threshold method, but `--method` is {name}; do add `--method {DEFAULT}`"
                )
            if self.cell_size is not None and not 20 <= self.cell_size <= 1200:
                raise ConfigError(
                    f"Expected `--cell-size` to be 20 to 1200 px for the network, but got {self.cell_size:g}; do change it"
                )
            return self
        for_network = {"--weights": self.weights, "--flips": self.flips, "--any-hue": self.any_hue, "--cell-size": self.cell_size}  # fmt: skip
        given = [flag for flag, value in for_network.items() if value]
        if given:
            raise ConfigError(
                f"Expected no `{given[0]}` with `--method {name}`, which has no network; do leave one of them out"
            )
        build(METHODS[name].parameters, self.parameters, name)
        return self

    def used(self) -> str:
        """Return the method: weights that are given ask for the network."""
        return NETWORK if self.method == AUTO and self.weights is not None else self.method


class ScoreMasks(Settings):
    """How masks are read before they are compared."""

    snap: bool = Field(False, description="round unexpected values to the nearest level (anti-aliased edges)")
    binary: Literal["nucleus", "cell"] = Field(
        "nucleus", description="what 255 means in masks of 0 and 255 alone: nucleus or cell"
    )
    centroids: bool = Field(
        False,
        description="compare cells with centroids: TRUTH is the ALL-IDB1 folder, or a folder of .xyc files",
    )
    distance: float = Field(
        DISTANCE,
        ge=0,
        le=1000,
        description="with --centroids: px that a centroid may lie from that of a cell whose mask it misses",
    )
