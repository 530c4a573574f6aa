"""Whether a hub of weights can be reached, said at once: its own client tries for a minute where no network is."""

from __future__ import annotations

import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlparse

__all__ = ["at_hand_alone", "reachable"]


def reachable(endpoint: str, timeout: float = 5.0) -> bool:
    """Say whether a server answers, or may answer by a proxy.

    Args:
        endpoint: Its address.
        timeout: Seconds to wait.
    """
    if urllib.request.getproxies():
        return True
    address = urlparse(endpoint)
    port = address.port or (443 if address.scheme == "https" else 80)
    try:
        with socket.create_connection((address.hostname or "", port), timeout=timeout):
            return True
    except OSError:
        return False


@contextmanager
def at_hand_alone() -> Iterator[bool]:
    """Let the client of the Hugging Face hub take what is on this machine where the hub cannot be reached, and ask for nothing.

    Yields:
        Whether the hub can be reached.
    """
    from huggingface_hub import constants

    found, before = reachable(constants.ENDPOINT), constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = before or not found
    try:
        yield found and not before
    finally:
        constants.HF_HUB_OFFLINE = before
