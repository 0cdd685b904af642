"""JSON documents of a STAC catalog: of the web, of a bucket, or of a disk; small, tried again, never trusted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from srcore.catalog.elsewhere import WEB
from srcore.errors import SourceError
from srcore.settings import load_settings
from srcore.storage.disk.real_file import real_file
from srcore.storage.remote.address import scheme_of, shown
from srcore.storage.remote.fetch import FIRST_PAUSE_S, LONGEST_PAUSE_S
from srcore.storage.remote.transport import Passing, Seen, failed, opened

MOST_BYTES = 64 << 20
T = TypeVar("T")


def read_document(address: str) -> tuple[dict[str, Any], str]:
    """A JSON object, and the address that its relative links start at. SourceError."""
    content, base = read_content(address)
    return parsed(content, address), base


def read_content(address: str) -> tuple[bytes, str]:
    """The bytes of a document, MOST_BYTES at most, and where its relative links start. SourceError."""
    return tried(address, lambda: _content(address))


def parsed(content: bytes, address: str) -> dict[str, Any]:
    """A JSON object out of what a server sent; SourceError BAD_ITEM."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        value = None
    if not isinstance(value, dict):
        what, do = f"{shown(address)}: no STAC document", "give the address of an API, a catalog or an item"
        raise SourceError(what, "no JSON object", do, code="BAD_ITEM")
    return value


def tried(address: str, ask: Callable[[], T]) -> T:
    """What `ask` gives, with pauses between tries while it raises Passing; SourceError in the end."""
    tries = load_settings().remote_tries
    for turn in range(1, tries + 1):
        try:
            return ask()
        except Passing as reason:
            if turn == tries:
                raise failed(address, reason.told, tries) from None
            time.sleep(max(reason.wait_s, min(FIRST_PAUSE_S * 2 ** (turn - 1), LONGEST_PAUSE_S)))
    raise AssertionError("the last try returns or raises")


def _content(address: str) -> tuple[bytes, str]:
    if scheme_of(address) in WEB:
        from srcore.storage.remote.web import read_text

        return read_text(address, MOST_BYTES)
    if scheme_of(address):
        with opened(address, 0, Seen()) as reply:
            if (reply.seen.size or 0) > MOST_BYTES:
                raise _large(address)
            return b"".join(reply.chunks), address
    path = real_file(Path(address))
    if path.stat().st_size > MOST_BYTES:
        raise _large(address)
    return path.read_bytes(), str(path)


def _large(address: str) -> SourceError:
    what, do = f"{shown(address)}: a document that is too large", "split it"
    return SourceError(what, f"more than {MOST_BYTES} bytes", do, code="BAD_ITEM")
