"""The queue: requests wait for their turn, are worked on, are kept for a while, and leave nothing behind."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from threading import Lock
from typing import Literal

from mtl.predict.drawing import overlay
from mtl.predict.explained import Explained
from mtl.predict.predictor import Predictor
from mtl.predict.records import FieldSaid
from mtl.serve.intake import Intake, RefusedError
from mtl.serve.settings import Limits
from segmentation.cells import cut_cell
from segmentation.errors import MtlError
from segmentation.files import make_folder, write_image
from stages.data.images import decode_rgb

__all__ = ["Desk", "Request"]


@dataclass
class Request:
    """What one upload became.

    Attributes:
        name: Nobody can guess it.
        run: That answers.
        folder: With the images, and what was drawn: `NUMBER-overlay.png`, `NUMBER-explained.png`, `NUMBER-CELL.png`.
        explain: Whether pictures of where the network looked are asked for.
        intake: Images, and what is none.
        state: See `mtl.serve.records.JobSaid`.
        fields: Answers of the images so far.
        sentence: What went wrong.
        began: On a clock that never goes back.
    """

    name: str
    run: str
    folder: Path
    explain: bool
    intake: Intake = field(default_factory=Intake)
    state: Literal["waiting", "working", "done", "failed"] = "waiting"
    fields: list[FieldSaid] = field(default_factory=list)
    sentence: str = ""
    began: float = field(default_factory=time.monotonic)


class Desk:
    """Works on requests.

    Args:
        predictors: By name of the run.
        limits: How many wait, how many are worked on, and how long they are kept.
    """

    def __init__(self, predictors: Mapping[str, Predictor], limits: Limits) -> None:
        self.predictors = dict(predictors)
        self.limits = limits
        self.explained = {name: Explained(one) for name, one in predictors.items()}
        self._folder = Path(tempfile.mkdtemp(prefix="mtl-serve-"))
        self._pool = ThreadPoolExecutor(limits.workers, "predict")
        self._requests: dict[str, Request] = {}
        self._lock = Lock()

    def open(self, run: str | None, *, explain: bool) -> Request:
        """Return a new request with a folder of its own; old ones are deleted.

        Args:
            run: Name of the run that shall answer; the first if None.
            explain: Whether pictures of where the network looked are asked for.

        Raises:
            RefusedError: If there is no such run, or too many wait.
        """
        chosen = run or next(iter(self.predictors))
        if chosen not in self.predictors:
            raise RefusedError(
                f"Expected `run` to be one of {', '.join(self.predictors)}, but got {chosen[:80]!r}; do choose one",
                404,
            )
        name = secrets.token_urlsafe(12)
        request = Request(name, chosen, self._folder / name, explain)
        with self._lock:
            if self.waiting >= self.limits.waiting:
                raise RefusedError(
                    f"Expected fewer than {self.limits.waiting} requests to wait, but the queue is full; do ask again later",
                    503,
                )
            self._requests[name] = request
        self._expire()
        make_folder(request.folder)
        return request

    def submit(self, request: Request) -> Future[None]:
        """Put a request, its images taken in, into the queue."""
        return self._pool.submit(self._work, request)

    def find(self, name: str) -> Request:
        """Return a request.

        Raises:
            RefusedError: If there is none, or no longer.
        """
        self._expire()
        request = self._requests.get(name)
        if request is None:
            raise RefusedError(
                "Expected a request that is still kept, but there is none of that name; do send the images again",
                404,
            )
        return request

    def drop(self, request: Request) -> None:
        """Delete a request with everything of it."""
        with self._lock:
            self._requests.pop(request.name, None)
        shutil.rmtree(request.folder, ignore_errors=True)

    def ahead(self, request: Request) -> int:
        """Return how many requests are worked on before one."""
        return sum(
            one.state in ("waiting", "working") and one.began < request.began
            for one in list(self._requests.values())
        )

    @property
    def waiting(self) -> int:
        """How many requests are not done."""
        return sum(one.state in ("waiting", "working") for one in list(self._requests.values()))

    def close(self) -> None:
        """End, and delete everything."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _expire(self) -> None:
        oldest = time.monotonic() - 60 * self.limits.minutes
        for request in list(self._requests.values()):
            if request.began < oldest and request.state in ("done", "failed"):
                self.drop(request)

    def _work(self, request: Request) -> None:
        request.state = "working"
        try:
            for number in range(len(request.intake.images)):
                self._one(request, number)
            request.state = "done" if request.fields else "failed"
            if not request.fields:
                request.sentence = next(iter(request.intake.failed.values()))
        except Exception as error:  # one request may fail, the server may not
            request.sentence = f"Expected the images to be answered, but got {type(error).__name__}; this is a fault of mtl: do report it"
            request.state = "failed"

    def _one(self, request: Request, number: int) -> None:
        job, predictor = request.intake.images[number], self.predictors[request.run]
        try:
            looked = predictor.look(decode_rgb(job.path), job.name, job.stem)
        except (MtlError, OSError) as error:
            request.intake.failed[job.name] = str(error).replace(str(job.path), job.name)
            return
        classes = predictor.cells.classes if predictor.cells else ()
        place = len(request.fields)
        write_image(request.folder / f"{place}-overlay.png", overlay(looked.image, looked.said, classes))
        for cell in looked.said.cells:
            write_image(
                request.folder / f"{place}-{cell.cell}.png", cut_cell(looked.image, cell.box, predictor.frame)
            )
        drawn = self.explained[request.run].picture(looked) if request.explain else None
        if drawn is not None:
            write_image(request.folder / f"{place}-explained.png", drawn)
        request.fields.append(looked.said)
