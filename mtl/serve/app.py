"""The application: a page for people and an API for machines on the same queue."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import FastAPI, File, Form, Query, Request, UploadFile
from fastapi import Path as InPath
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, HTMLResponse, JSONResponse, RedirectResponse, Response
from fastapi.staticfiles import StaticFiles

from mtl import __version__
from mtl.predict.predictor import Predictor
from mtl.report.page import render_page
from mtl.serve import desk as desks
from mtl.serve.guard import COOKIE, Guard
from mtl.serve.intake import RefusedError, take_in
from mtl.serve.records import Answered, Corrections, Health, JobSaid, Refusal, RunSaid
from mtl.serve.results import answered, corrected, outlines, page, table
from mtl.serve.settings import ServeSmears
from mtl.serve.words import NOTICE, in_words
from stages.explain import can_explain

__all__ = ["create_app"]

_HERE = Path(__file__).parent
_REFUSED: dict[int | str, dict[str, Any]] = {
    status: {"model": Refusal, "description": what}
    for status, what in (
        (400, "No form that can be read"), (401, "Without the token"), (404, "No such run, request or image"), (413, "Too much at once"), (422, "Nothing that can be answered"), (503, "The queue is full"),
    )
}  # fmt: skip
Name = Annotated[str, InPath(max_length=40)]
Number = Annotated[int, InPath(ge=0, le=100_000)]
RunName = Annotated[
    str | None, Query(max_length=200, description="Name of the run that answers; the first if not given.")
]
Files = Annotated[
    list[UploadFile],
    File(description="Images, or ZIP files of images; folders in their names stand for patients."),
]


def create_app(predictors: Mapping[str, Predictor], settings: ServeSmears) -> Guard:
    """Return the ASGI application.

    Args:
        predictors: By name of the run, one or more.
        settings: Host, token and limits.
    """
    desk = desks.Desk(predictors, settings.limits)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        desk.close()

    # FastAPI's own pages of the API load scripts from elsewhere; ours is below.
    app = FastAPI(
        title="mtl", version=__version__, summary=NOTICE, lifespan=life, docs_url=None, redoc_url=None,
        openapi_url="/api/openapi.json", responses=_REFUSED,
    )  # fmt: skip
    app.mount("/static", StaticFiles(directory=_HERE / "static"), name="static")
    app.state.desk = desk
    app.add_exception_handler(RefusedError, _refused)
    app.add_exception_handler(RequestValidationError, _misread)
    _machines(app, desk)
    _people(app, desk, settings)
    return Guard(app, settings)


async def _refused(request: Request, error: Exception) -> JSONResponse:
    return JSONResponse({"detail": str(error)}, getattr(error, "status", 422))


async def _misread(request: Request, error: Exception) -> JSONResponse:
    first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
    where = ".".join(str(part) for part in first["loc"][1:]) or "the request"
    return JSONResponse(
        {
            "detail": f"Expected `{where[:80]}` to be as /api/docs says, but got: {first['msg'][:200]}; do mend it"
        },
        422,
    )


def _machines(app: FastAPI, desk: desks.Desk) -> None:
    @app.get("/api/health", tags=["api"])
    def health() -> Health:
        """Say that the server lives, which runs it serves, and how many requests wait."""
        runs = tuple(_run(name, one) for name, one in desk.predictors.items())
        return Health(status="ok", version=__version__, runs=runs, waiting=desk.waiting, notice=NOTICE)

    @app.post("/api/predict", tags=["api"])
    async def predict(files: Files, run: RunName = None) -> Answered:
        """Answer images as `mtl predict --json` does; nothing of them is kept."""
        request = await _taken(desk, files, run, explain=False)
        try:
            await asyncio.wrap_future(desk.submit(request))
            if request.state == "failed":
                raise RefusedError(request.sentence)
            return answered(request, desk.predictors[request.run])
        finally:
            desk.drop(request)

    @app.post("/api/jobs", tags=["page"], status_code=202)
    async def start(files: Files, run: RunName = None, explain: Annotated[bool, Form()] = False) -> JobSaid:
        """Put images into the queue; what is said of them is kept for a while."""
        request = await _taken(desk, files, run, explain=explain)
        desk.submit(request)
        return _said(desk, request)

    @app.get("/api/jobs/{job}", tags=["page"])
    def look(job: Name) -> JobSaid:
        """Say how far a request is, and what was said when it is done."""
        return _said(desk, desk.find(job))

    @app.delete("/api/jobs/{job}", tags=["page"], status_code=204)
    def forget(job: Name) -> None:
        """Delete a request with its images."""
        desk.drop(desk.find(job))

    @app.get("/api/jobs/{job}/{number}/{what}.png", tags=["page"], response_class=FileResponse)
    def picture(
        job: Name, number: Number, what: Annotated[str, InPath(pattern=r"^(overlay|explained|\d{1,6})$")]
    ) -> FileResponse:
        """Give the overlay of an image, where the network looked, or a cell."""
        path = desk.find(job).folder / f"{number}-{what}.png"
        if not path.is_file():
            raise RefusedError(
                "Expected a picture that was drawn, but there is none of that name; do look at the answer",
                404,
            )
        return FileResponse(path, media_type="image/png")

    @app.get("/api/jobs/{job}/{number}/cells.geojson", tags=["page"], response_class=Response)
    def polygons(job: Name, number: Number) -> Response:
        """Give the cells of an image as QuPath reads them."""
        request = desk.find(job)
        if number >= len(request.fields):
            raise RefusedError(
                f"Expected a number of an image below {len(request.fields)}, but got {number}; do choose one",
                404,
            )
        return _file(
            outlines(request.fields[number], desk.predictors[request.run]),
            "cells.geojson",
            "application/geo+json",
        )

    @app.get("/api/jobs/{job}/{name}.csv", tags=["page"], response_class=Response)
    def rows(job: Name, name: Annotated[str, InPath(pattern="^(cells|fields)$")]) -> Response:
        """Give a table of `mtl predict`."""
        request = desk.find(job)
        return _file(table(request, desk.predictors[request.run], name), f"{name}.csv", "text/csv")

    @app.get("/api/jobs/{job}/report.html", tags=["page"], response_class=Response)
    def report(job: Name) -> Response:
        """Give everything on one page that needs nothing else."""
        request = desk.find(job)
        return _file(page(request, desk.predictors[request.run]), "report.html", "text/html")

    @app.post("/api/jobs/{job}/corrections", tags=["page"], response_class=Response)
    def corrections(job: Name, told: Corrections) -> Response:
        """Give what a person corrected as a ZIP file of images and manifests that `mtl run` takes."""
        request = desk.find(job)
        return _file(
            corrected(request, desk.predictors[request.run], told), "corrections.zip", "application/zip"
        )


def _people(app: FastAPI, desk: desks.Desk, settings: ServeSmears) -> None:
    @app.get("/", include_in_schema=False)
    def home() -> HTMLResponse:
        return _filled(
            "page", runs=[_run(name, one) for name, one in desk.predictors.items()], limits=settings.limits
        )

    @app.get("/api/docs", include_in_schema=False)
    def docs() -> HTMLResponse:
        return _filled("docs", schema=app.openapi())

    @app.get("/enter", include_in_schema=False)
    def door() -> HTMLResponse:
        return _filled("enter")

    @app.post("/enter", include_in_schema=False)
    def enter(token: Annotated[str, Form(max_length=500)]) -> Response:
        answer = RedirectResponse("/", 303)
        answer.set_cookie(COOKIE, token, httponly=True, samesite="strict")
        return answer


async def _taken(
    desk: desks.Desk, files: list[UploadFile], run: str | None, *, explain: bool
) -> desks.Request:
    request = desk.open(run, explain=explain)
    try:
        uploads = [(file.filename or "", file.file) for file in files]
        request.intake = await run_in_threadpool(take_in, uploads, request.folder, desk.limits)
    except BaseException:
        desk.drop(request)
        raise
    return request


def _said(desk: desks.Desk, request: desks.Request) -> JobSaid:
    predictor, done = desk.predictors[request.run], request.state == "done"
    return JobSaid(
        job=request.name, state=request.state, ahead=desk.ahead(request), done=len(request.fields), total=len(request.intake.images),
        sentence=request.sentence, answer=answered(request, predictor) if done else None,
        words=tuple(in_words(field, predictor.blast) for field in request.fields) if done else (), explained=request.explain and _run("", predictor).explains,
    )  # fmt: skip


def _run(name: str, predictor: Predictor) -> RunSaid:
    cells, fields = (model.classes if model else () for model in (predictor.cells, predictor.fields))
    explains = any(model is not None and can_explain(model) for model in (predictor.cells, predictor.fields))
    return RunSaid(name=name, cells=cells, fields=fields, blast=predictor.blast, explains=explains)


def _file(content: str | bytes, name: str, kind: str) -> Response:
    return Response(
        content, media_type=kind, headers={"content-disposition": f'attachment; filename="{name}"'}
    )


def _filled(template: str, **content: Any) -> HTMLResponse:
    return HTMLResponse(
        render_page("mtl.serve", template=template, notice=NOTICE, version=__version__, **content)
    )
