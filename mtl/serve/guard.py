"""Who may ask, how much may be sent, and what a browser may load: around everything else."""

from __future__ import annotations

import secrets
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import urlsplit

from mtl.serve.settings import ServeSmears, is_loopback

__all__ = ["COOKIE", "Guard"]

COOKIE = "mtl-token"
_OPEN = ("/enter", "/static/")
"""What is answered without a token: the door and its looks."""
_HEADERS = (
    (b"content-security-policy", b"default-src 'none'; img-src 'self' data: blob:; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cache-control", b"no-store"),
)  # fmt: skip


class _TooMuchError(Exception):
    pass


class Guard:
    """Around an ASGI application.

    Args:
        app: The application.
        settings: Host, token and limits.
    """

    def __init__(self, app: Any, settings: ServeSmears) -> None:
        self.app = app
        self.settings = settings

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or refuse it before anything of it is read."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in scope["headers"]}
        refusal = self._refusal(scope["path"], headers)
        if refusal:
            await _answer(send, *refusal, page="text/html" in headers.get("accept", ""))
            return
        count, started = 0, False

        async def counted() -> Any:
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > self._most:
                raise _TooMuchError
            return message

        async def guarded(message: Any) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        try:
            await self.app(scope, counted, guarded)
        except _TooMuchError:
            if not started:
                await _answer(send, 413, self._too_much())

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "")
        if is_loopback(self.settings.host) and not is_loopback(_name(host)):
            # A name that someone else owns may lead here: what a page of theirs asks must not be answered.
            return (
                400,
                "Expected the host to be localhost or 127.0.0.1, but got another name; do open the address that `mtl serve` printed",
            )
        origin = headers.get("origin")
        if origin and origin.partition("://")[2] != host:
            return (
                403,
                "Expected a request of our own page, but it comes from another; do open the address that `mtl serve` printed",
            )
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._most:
            return 413, self._too_much()
        token = self.settings.token
        if token is None or path.startswith(_OPEN):
            return None
        given = headers.get("authorization", "").removeprefix("Bearer ") or _cookie(headers.get("cookie", ""))
        if not secrets.compare_digest(given.encode(), token.encode()):
            return (
                401,
                "Expected the token of `mtl serve --token`, but got none or another; do send `Authorization: Bearer TOKEN`, or open /enter",
            )
        return None

    @property
    def _most(self) -> int:
        return self.settings.limits.megabytes * 1_000_000 + 1_000_000  # names and borders, too

    def _too_much(self) -> str:
        return f"Expected {self.settings.limits.megabytes} MB at most, but got more; do send fewer images at a time"


def _name(host: str) -> str:
    """Return the name of `NAME:PORT`, without the brackets of an address; nothing where it is malformed."""
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""


def _cookie(text: str) -> str:
    try:
        found = SimpleCookie(text).get(COOKIE)
    except CookieError:
        return ""
    return found.value if found else ""


async def _answer(send: Any, status: int, sentence: str, *, page: bool = False) -> None:
    import json

    headers = [(b"content-type", b"application/json"), *_HEADERS]
    body = json.dumps({"detail": sentence}).encode()
    if page and status == 401:
        status, headers, body = 303, [*headers, (b"location", b"/enter")], b""
    headers.append((b"connection", b"close"))  # what is still being sent is not read
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
