"""Addresses of storages, and what of them may be seen: a password is never printed and never written to a file."""

from __future__ import annotations

import re
from pathlib import Path

from mtl.errors import ConfigError

__all__ = ["storage_address", "without_password"]

_SECRET = re.compile(
    r"([?&])(?:[^=&#\s]*(?:pass|pwd|secret|token|odbc_connect)[^=&#\s]*)=[^&#\s]*&?", re.IGNORECASE
)
_PLACE = re.compile(r"[^:@]*(:\d+)?/")


def storage_address(storage: str | None, folder: Path) -> str:
    """Return the URL of a study's database, or the path of its journal.

    Args:
        storage: As the plan or `--storage` gives it; None for `study.sqlite` in `folder`.
        folder: Of the study.

    Raises:
        ConfigError: If it is neither.
    """
    if storage is None:
        return f"sqlite:///{(folder / 'study.sqlite').resolve()}"
    if "://" not in storage and not storage.endswith(".log"):
        raise ConfigError(
            f"Expected `--storage` to be a database URL or a journal file ending in .log, but got {storage!r}; do write one"
        )
    before, _, rest = storage.partition("://")
    if before == "sqlite" and rest.lstrip("/").partition("?")[0] in ("", ":memory:"):
        raise ConfigError(
            f"Expected `--storage` to name a file, but got {storage!r}, which ends with its process; do write sqlite:////FOLDER/study.sqlite"
        )
    if before != "sqlite" and _halves(rest)[0].count("@") > 1:
        # Drivers take what follows the first @ for the host, and print it.
        raise ConfigError(
            f"Expected `--storage` {without_password(storage)} to hold one @, but its password holds another; do write @ as %40"
        )
    return re.sub(r"^postgres(ql)?://", "postgresql+psycopg://", storage)


def without_password(text: str) -> str:
    """Return a text without the passwords of URLs in it: neither `user:PASSWORD@host` nor `?password=PASSWORD`.

    >>> without_password("postgresql://me:secret@host/db?sslmode=require&password=secret")
    'postgresql://me@host/db?sslmode=require'
    """
    before, scheme, rest = text.partition("://")
    if not scheme or before == "sqlite":  # a path may hold any character, and has no password
        return text
    head, query = _halves(rest)
    user, colon, _ = head.rpartition("@")[0].partition(":")
    if colon:
        head = f"{user}@{head.rpartition('@')[2]}"
    return f"{before}://{head}" + _SECRET.sub(r"\1", query).rstrip("?&")


def _halves(rest: str) -> tuple[str, str]:
    """Return user, host and path of a URL without its scheme, and the query with its question mark."""
    head, mark, query = rest.partition("?")
    if "@" in query and not _PLACE.match(head):  # the password holds a question mark
        return rest, ""
    return head, mark + query
