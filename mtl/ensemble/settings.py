"""Everything that decides what `mtl ensemble` makes of finished runs."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from mtl.config import FolderName
from mtl.errors import ConfigError
from segmentation.settings import Seed, Settings

__all__ = ["EnsembleSettings", "Rule"]

Rule = Literal["equal", "weighted", "grid", "optimised", "stacking"]
Bound = Annotated[float, Field(ge=0, lt=1)]


class EnsembleSettings(Settings):
    """How members are combined."""

    name: FolderName = Field("ensemble", description="name of the folder in --runs")
    rule: Rule = Field(
        "optimised",
        description="equal, weighted (by --weights), grid (paper D's weights and thresholds), optimised or stacking",
    )
    weights: tuple[Annotated[float, Field(ge=0)], ...] = Field(
        (), description="of the members in their order for --rule weighted, such as 0.7,0.3"
    )
    threshold: Bound | None = Field(
        None,
        description="no answer below this probability; if not given, the grid chooses and other rules always answer",
    )
    thresholds: tuple[Bound, ...] = Field((0.7, 0.8), min_length=1, description="that the grid chooses from")
    criterion: Literal["log_loss", "macro_f1"] = Field(
        "log_loss",
        description="what optimised weights make best on the validation part: log_loss or macro_f1",
    )
    folds: int = Field(5, ge=2, le=100, description="folds of groups of the validation part")
    copies: bool = Field(
        True, description="copy the images that the ensemble corrects or spoils into folders"
    )
    resamples: int = Field(1000, ge=100, le=1_000_000, description="bootstrap resamples over groups")
    seed: Seed = Field(0, description="of folds and resamples")

    @field_validator("weights", "thresholds", mode="before")
    @classmethod
    def _parted(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return tuple(float(part) for part in value.split(",") if part.strip())
        except ValueError as error:
            raise ConfigError(
                f"Expected numbers with commas between, such as 0.7,0.3, but got {value!r}; do write so"
            ) from error

    @model_validator(mode="after")
    def _weighted(self) -> EnsembleSettings:
        if (self.rule == "weighted") != bool(self.weights):
            got = "none" if self.rule == "weighted" else f"some with --rule {self.rule}"
            raise ConfigError(
                f"Expected `--weights` beside --rule weighted and nowhere else, but got {got}; do give both or neither"
            )
        if self.weights and not sum(self.weights):
            raise ConfigError(
                "Expected `--weights` to have a positive sum, but got zeros; do give one above 0"
            )
        return self

    def check(self, members: int) -> None:
        """Refuse weights that are not one a member.

        Raises:
            ConfigError: If they are more or fewer.
        """
        if self.weights and len(self.weights) != members:
            raise ConfigError(
                f"Expected `--weights` to hold a number for each of {members} members, but got {len(self.weights)}; do give as many"
            )
