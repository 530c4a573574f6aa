"""What nobody should send: each is refused in one sentence, nothing is left, and the server lives on."""

from __future__ import annotations

import contextlib
import io
import string
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from served import claims, client, files, packed, packed_names, png

from mtl.predict.predictor import Predictor
from mtl.serve.intake import RefusedError, take_in
from mtl.serve.settings import Limits


def torn(archive: bytes) -> bytes:
    """Return an archive whose compressed bytes are none of its method, which `zlib` says and not `zipfile`."""
    begin = 30 + int.from_bytes(archive[26:28], "little") + int.from_bytes(archive[28:30], "little")
    return archive[:begin] + b"\xff" * 4 + archive[begin + 4 :]


HTML = b"<html><script>alert(1)</script></html>"
HOSTILE = {
    "a bomb": (files(bomb__png=claims(30_000, 30_000)), 422),
    "50,000 px wide": (files(wide__png=claims(50_000, 100)), 422),
    "more pixels than allowed": (files(large__png=claims(9_000, 9_000)), 422),
    "HTML": (files(page__png=HTML), 422),
    "HTML as it is": (files(page__html=HTML), 422),
    "nothing": (files(empty__png=b""), 422),
    "half of it": (files(half__png=png()[:400]), 422),
    "a name that leads out": (files(**{"../../etc/passwd__png": png()}), 422),
    "a name from the root": (files(**{"/etc/cron__png": png()}), 422),
    "a name with backslashes": (files(**{"..\\x__png": png()}), 422),
    "ten thousand files": (files(many__zip=packed_names({f"{i}.png": b"x" for i in range(10_000)})), 413),
    "a ZIP bomb": (files(bomb__zip=packed(a__png=bytes(70_000_000))), 413),
    "a ZIP file that leads out": (files(out__zip=packed_names({"../x.png": png()})), 422),
    "a ZIP file that is none": (files(broken__zip=b"PK\x03\x04 and nothing more"), 422),
    "a ZIP file that cannot be unpacked": (files(torn__zip=torn(packed(a__png=bytes(4096)))), 422),
    "a ZIP file in a ZIP file": (files(nested__zip=packed(inner__zip=packed(a__png=png()))), 422),
    "the same name twice": ([*files(a__png=png()), *files(a__png=png(seed=1))], 422),
}  # fmt: skip


@pytest.mark.parametrize("what", list(HOSTILE))
def test_what_is_hostile_is_refused_in_one_sentence_and_nothing_is_left(server: Any, what: str) -> None:
    sent, status = HOSTILE[what]
    answer = server.post("/api/predict", files=sent)
    assert answer.status_code == status
    sentence = answer.json()["detail"]
    assert sentence.startswith("Expected ")
    assert "; do " in sentence or ", but got" in sentence
    assert len(sentence) < 400
    assert "mtl-serve-" not in sentence
    assert not list(server.app.app.state.desk._folder.iterdir())


def test_the_server_lives_on(server: Any) -> None:
    assert server.get("/api/health").json()["status"] == "ok"
    assert server.post("/api/predict", files=files(a__png=png())).status_code == 200


def test_a_request_that_is_too_long_is_not_read(predictor: Predictor) -> None:
    with client({"tiny": predictor}, limits={"megabytes": 1}) as small:
        assert small.post("/api/predict", files=files(a__png=bytes(3_000_000))).status_code == 413
        # The same without saying how long it is.
        body = (bytes(100_000) for _ in range(40))
        told = small.post(
            "/api/predict", content=body, headers={"content-type": "multipart/form-data; boundary=x"}
        )
        assert told.status_code in (400, 413)


def test_folders_and_archives_keep_their_names(tmp_path: Path) -> None:
    archive = packed_names(
        {"P1/a.png": png(), "P1/.hidden.png": b"", "__MACOSX/a.png": b"", "P2/b.txt": b"no"}
    )
    taken = take_in([("x.PNG", io.BytesIO(png())), ("some.zip", io.BytesIO(archive))], tmp_path, Limits())
    assert [job.name for job in taken.images] == ["x.PNG", "P1/a.png"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["00000.png", "00001.png"]
    assert list(taken.failed) == ["P2/b.txt"]


@pytest.mark.parametrize(
    "name", ["C:\\x.png", "/etc/x.png", "a/../../x.png", "", "a\x00.png", "\u202egnp.png"]
)
def test_names_that_a_form_would_not_send_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(RefusedError, match="do rename it"):
        take_in([(name, io.BytesIO(png()))], tmp_path, Limits())


def test_too_many_files_beside_each_other(tmp_path: Path) -> None:
    with pytest.raises(RefusedError, match="2 files at most"):
        take_in([(f"{i}.png", io.BytesIO(png())) for i in range(3)], tmp_path, Limits(files=2))


@given(st.text(string.printable + "\x00/\\.é\u202e", max_size=300))
def test_no_name_leads_out_of_the_folder(name: str) -> None:
    from mtl.serve.intake import _checked

    kept = None
    with contextlib.suppress(RefusedError):
        kept = _checked(name)
    if kept is not None:
        assert (Path("/here") / kept).resolve().is_relative_to("/here")
        assert Path(kept).name
