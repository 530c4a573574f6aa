"""Everything that decides which labels `mtl data clean` doubts."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from segmentation.settings import Settings

__all__ = ["CleanLabels"]


class CleanLabels(Settings):
    """Whose labels are looked at, and how."""

    chain: str | None = Field(None, description="chain of the run, such as 1,3; its first if not given")
    stage: Literal[2, 3] | None = Field(
        None, description="whose images; the last stage of the chain if not given"
    )
    folds: Annotated[int, Field(ge=2, le=100)] = Field(
        5, description="parts of whole groups; each is judged by heads that learned from the others"
    )
    shown: Annotated[int, Field(ge=1, le=1000)] = Field(48, description="suspects on the page, at most")
