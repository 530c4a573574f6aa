"""What the API says: typed, frozen, the records of `mtl predict` and a few around them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from mtl.predict.records import FieldSaid, PatientSaid
from mtl.records import Record

__all__ = ["Answered", "Corrections", "Health", "InWords", "JobSaid", "Refusal", "RunSaid"]


class RunSaid(Record):
    """A run that is served.

    Attributes:
        name: Of it.
        cells: Classes of stage 2; empty where the run has none.
        fields: Classes of stage 3, likewise.
        blast: Class of cells that is counted, if there is one.
        explains: Whether it has a network whose view can be drawn.
    """

    name: str
    cells: tuple[str, ...]
    fields: tuple[str, ...]
    blast: str | None
    explains: bool


class Health(Record):
    """Whether the server lives, and how much there is to do."""

    status: Literal["ok"]
    version: str
    runs: tuple[RunSaid, ...]
    waiting: int
    notice: str


class Answered(Record):
    """What `mtl predict` says of the images of a request.

    Attributes:
        run: That answered.
        blast: Class of cells that is counted, if there is one.
        patients: By folder of the names.
        fields: Of the images, in their order.
        failed: Sentence by name of what could not be read.
        notice: What it may be used for.
    """

    run: str
    blast: str | None
    patients: tuple[PatientSaid, ...]
    fields: tuple[FieldSaid, ...]
    failed: dict[str, str]
    notice: str


class InWords(Record):
    """An image for a person.

    Attributes:
        field: What is said of the image, and how sure that is.
        blasts: What part of the cells they are; empty where none are counted.
        order: Numbers of the cells, those that ask most for a look first.
        cells: What is said of each cell, by its number.
    """

    field: str
    blasts: str
    order: tuple[int, ...]
    cells: dict[int, str]


class JobSaid(Record):
    """A request of the page.

    Attributes:
        job: Its name.
        state: Whether it waits, is worked on, is done, or came to nothing.
        ahead: Requests before it.
        done: Images that are answered.
        total: Images.
        sentence: What went wrong, if something did.
        answer: When it is done.
        words: The same for a person, an image each.
        explained: Whether there are pictures of where the network looked.
    """

    job: str
    state: Literal["waiting", "working", "done", "failed"]
    ahead: int
    done: int
    total: int
    sentence: str
    answer: Answered | None
    words: tuple[InWords, ...]
    explained: bool


class Corrections(Record):
    """What a person says instead.

    Attributes:
        fields: Class by number of the image, from 0.
        cells: Class by number of the image and of its cell, such as `0/3`.
    """

    fields: dict[int, str] = Field(default_factory=dict, max_length=10_000)
    cells: dict[str, str] = Field(default_factory=dict, max_length=100_000)


class Refusal(Record):
    """Why a request was not answered, in one sentence."""

    detail: str
