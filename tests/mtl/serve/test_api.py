"""The API as machines use it: the records of `mtl predict`, its own schema, one sentence for all that is wrong."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from served import client, done, files, listening, png, smear

from mtl.predict.predictor import Predictor
from mtl.predict.records import FieldSaid
from mtl.serve.records import Answered, Health, JobSaid


@pytest.fixture(scope="module")
def job(server: Any, rendered: Path) -> JobSaid:
    """Two images of two patients, one that is none."""
    sent = [
        ("files", (name, data))
        for name, data in (("P1/a.jpg", smear(rendered)), ("P2/b.png", png()), ("P2/notes.txt", b"hello"))
    ]
    begun = server.post("/api/jobs", files=sent, data={"explain": "true"})
    assert begun.status_code == 202
    return done(server, begun.json()["job"])


def test_health_says_what_is_served(server: Any) -> None:
    told = Health.model_validate(server.get("/api/health").json())
    assert (told.status, told.runs[0].name, told.waiting) == ("ok", "tiny", 0)
    assert told.runs[0].cells == ("normal", "lymphoblast")
    assert told.runs[0].explains
    assert "no medical device" in told.notice


def test_predict_answers_as_the_predictor_and_keeps_nothing(
    server: Any, predictor: Predictor, rendered: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.jpg").write_bytes(smear(rendered))
    told = Answered.model_validate(server.post("/api/predict", files=files(a__jpg=smear(rendered))).json())
    own = predictor.predict(tmp_path / "a.jpg")
    assert told.fields == (FieldSaid.model_validate(own.model_dump(mode="json")),)
    assert told.patients[0].group == "images"
    folder = server.app.app.state.desk._folder
    assert not list(folder.iterdir())


def test_a_job_is_answered_in_words_by_patients(job: JobSaid) -> None:
    assert job.state == "done"
    assert job.answer is not None
    assert [one.group for one in job.answer.patients] == ["P1", "P2"]
    assert [one.image for one in job.answer.fields] == ["P1/a.jpg", "P2/b.png"]
    assert set(job.answer.failed) == {"P2/notes.txt"}
    assert "mtl-serve-" not in str(job.answer.failed)
    assert len(job.words) == 2
    assert sorted(job.words[0].order) == [cell.cell for cell in job.answer.fields[0].cells]


def test_pictures_tables_and_the_page_of_a_job(server: Any, job: JobSaid) -> None:
    base = f"/api/jobs/{job.job}"
    assert job.answer is not None
    for name in ("overlay", "explained", str(job.answer.fields[0].cells[0].cell)):
        picture = server.get(f"{base}/0/{name}.png")
        assert picture.headers["content-type"] == "image/png"
        assert picture.content.startswith(b"\x89PNG")
    cells = list(csv.DictReader(io.StringIO(server.get(f"{base}/cells.csv").text)))
    assert len(cells) == sum(len(one.cells) for one in job.answer.fields)
    rows = list(csv.DictReader(io.StringIO(server.get(f"{base}/fields.csv").text)))
    assert [row["group"] for row in rows] == ["P1", "P2"]
    polygons = server.get(f"{base}/0/cells.geojson").json()
    assert len(polygons["features"]) == len(job.answer.fields[0].cells)
    page = server.get(f"{base}/report.html").text
    assert "no medical device" in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page.replace("http-equiv", "")  # nothing is loaded from elsewhere


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/api/jobs/none", 404), ("/api/jobs/none/cells.csv", 404), ("/api/jobs/{job}/7/overlay.png", 404), ("/api/jobs/{job}/0/..%2f..%2fx.png", 404),
        ("/api/jobs/{job}/0/99999.png", 404), ("/api/jobs/{job}/9/cells.geojson", 404), ("/api/jobs/{job}/secrets.csv", 422),
    ],
)  # fmt: skip
def test_what_is_not_there_is_one_sentence(server: Any, job: JobSaid, path: str, status: int) -> None:
    answer = server.get(path.format(job=job.job))
    assert answer.status_code == status
    assert answer.json()["detail"]


def test_a_run_that_is_not_served_and_no_file_at_all(server: Any) -> None:
    assert server.post("/api/predict?run=other", files=files(a__png=png())).status_code == 404
    assert server.post("/api/predict").status_code == 422


def test_a_job_can_be_deleted(server: Any) -> None:
    begun = server.post("/api/jobs", files=files(a__png=png())).json()["job"]
    done(server, begun)
    assert server.delete(f"/api/jobs/{begun}").status_code == 204
    assert server.get(f"/api/jobs/{begun}").status_code == 404


def test_a_queue_that_is_full_says_so(predictor: Predictor) -> None:
    with client({"tiny": predictor}, limits={"waiting": 1}) as small:
        desk = small.app.app.state.desk
        request = desk.open(None, explain=False)  # waits
        refused = small.post("/api/predict", files=files(a__png=png()))
        assert refused.status_code == 503
        assert "queue is full" in refused.json()["detail"]
        desk.drop(request)
        assert small.post("/api/predict", files=files(a__png=png())).status_code == 200


def test_requests_are_forgotten_after_their_time_and_all_at_the_end(predictor: Predictor) -> None:
    with client({"tiny": predictor}) as server:
        desk = server.app.app.state.desk
        begun = server.post("/api/jobs", files=files(a__png=png())).json()["job"]
        done(server, begun)
        request = desk.find(begun)
        request.began -= 3600
        assert server.get(f"/api/jobs/{begun}").status_code == 404
        assert not request.folder.exists()
        server.post("/api/jobs", files=files(a__png=png()))
        folder = desk._folder
    assert not folder.exists()


def test_a_fault_of_ours_ends_a_request_and_not_the_server(
    predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    with client({"tiny": predictor}) as server:
        monkeypatch.setattr(predictor, "look", lambda *_: 1 / 0)
        answer = server.post("/api/predict", files=files(a__png=png()))
        assert answer.status_code == 422
        assert "ZeroDivisionError" in answer.json()["detail"]
        monkeypatch.undo()
        assert server.post("/api/predict", files=files(a__png=png())).status_code == 200


def test_the_schema_is_whole_and_has_its_page(server: Any) -> None:
    schema = server.get("/api/openapi.json").json()
    assert {"/api/health", "/api/predict"} <= set(schema["paths"])
    assert {"FieldSaid", "PatientSaid", "CellSaid"} <= set(schema["components"]["schemas"])
    page = server.get("/api/docs").text
    assert "POST /api/predict" in page
    assert "cdn" not in page


def test_the_api_keeps_its_own_schema(predictor: Predictor) -> None:
    schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed")
    from schemathesis.specs.openapi import checks

    kept = (
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    )
    with listening(predictor) as url:
        schema = schemathesis.openapi.from_url(f"{url}/api/openapi.json")

        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), database=None)
        @given(data=st.data())
        def ask(data: st.DataObject) -> None:
            for operation in schema.get_all_operations():
                case = data.draw(operation.ok().as_strategy())
                answer = case.call()
                assert answer.status_code < 500
                case.validate_response(answer, checks=list(kept))

        ask()
