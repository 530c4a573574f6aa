"""Who may ask: this machine alone, or who knows the token; pages of others never."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import called
from served import client

from mtl.errors import ConfigError
from mtl.loading import load_settings
from mtl.predict.predictor import Predictor
from mtl.serve.settings import ServeSmears

TOKEN = "a long enough token"  # noqa: S105


@pytest.fixture(scope="module")
def guarded(predictor: Predictor) -> Iterator[Any]:
    with client({"tiny": predictor}, host="0.0.0.0", token=TOKEN) as found:  # noqa: S104
        yield found


def test_without_the_token_nothing_is_answered(guarded: Any) -> None:
    for path in ("/api/health", "/api/docs", "/api/openapi.json", "/api/jobs/x"):
        assert guarded.get(path).status_code == 401
    for wrong in ("", "Bearer ", "Bearer wrong", f"Bearer {TOKEN}x"):
        assert guarded.get("/api/health", headers={"authorization": wrong}).status_code == 401
    assert guarded.post("/api/predict", files={"files": ("a.png", b"x")}).status_code == 401
    assert guarded.get("/api/health", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200


def test_a_person_enters_by_the_door(guarded: Any) -> None:
    sent = guarded.get("/", headers={"accept": "text/html"}, follow_redirects=False)
    assert (sent.status_code, sent.headers["location"]) == (303, "/enter")
    assert guarded.get("/enter").status_code == 200
    entered = guarded.post("/enter", data={"token": TOKEN}, follow_redirects=False)
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert guarded.get("/").status_code == 200
    guarded.cookies.clear()
    assert guarded.get("/api/health", headers=[(b"cookie", b"mtl-token=\x80;;==")]).status_code == 401


def test_a_page_of_others_is_not_answered(server: Any) -> None:
    assert server.get("/api/health", headers={"origin": "http://evil.example"}).status_code == 403
    assert server.get("/api/health", headers={"origin": "null"}).status_code == 403
    for host in ("evil.example", "[::1", ""):
        assert server.get("/api/health", headers={"host": host}).status_code == 400
    assert server.get("/api/health", headers={"origin": "http://127.0.0.1"}).status_code == 200
    assert server.get("/api/health", headers={"host": "localhost:8000"}).status_code == 200
    assert server.get("/api/health", headers={"host": "[::1]:8000"}).status_code == 200


def test_a_browser_may_load_nothing_from_elsewhere(server: Any) -> None:
    page = server.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert page.headers["x-content-type-options"] == "nosniff"
    assert "https://" not in page.text
    for name in ("page.js", "page.css", "icon.svg"):
        text = server.get(f"/static/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert "innerHTML" not in text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "example.org"])  # noqa: S104
def test_others_are_served_with_a_token_alone(host: str) -> None:
    with pytest.raises(ConfigError, match=r"--token.*which others can reach"):
        load_settings(ServeSmears, {}, {"host": host}, ())
    assert load_settings(ServeSmears, {}, {"host": host, "token": TOKEN}, ()).token == TOKEN
    with pytest.raises(ConfigError):
        load_settings(ServeSmears, {}, {"host": host, "token": "short"}, ())


def test_what_cannot_be_served_is_one_line(tmp_path: Path, tiny_run: Path) -> None:
    assert "config.yaml" in called("serve", "--run", tmp_path, "--port", "0", cwd=tmp_path).stderr
    same = called("serve", "--run", tiny_run, "--run", tiny_run, cwd=tmp_path)
    assert (same.returncode, "different names" in same.stderr) == (2, True)
    lost = called("serve", "--run", tiny_run, "--host", "256.1.1.1", "--token", TOKEN, cwd=tmp_path)
    assert (lost.returncode, "do choose another" in lost.stderr) == (2, True)
