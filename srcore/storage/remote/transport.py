"""What a file elsewhere is, and the one way to its bytes: of the web by HTTP, of a bucket by its own protocol."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

from srcore.catalog.elsewhere import WEB
from srcore.catalog.object_stores import BUCKETS
from srcore.errors import SourceError
from srcore.storage.remote.address import scheme_of, shown

PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
"""Answers that another try may change."""


@dataclass(frozen=True)
class Seen:
    """A file elsewhere as its server tells of it."""

    size: int | None = None
    etag: str = ""
    """The server's word for this very content; '' where it has none."""
    modified: str = ""
    """As the server writes it."""

    def is_other(self, later: Seen) -> bool:
        """True where a later look shows another content."""
        marks = [(one.size, _bare(one.etag), one.modified) for one in (self, later)]
        return any(a != b for a, b in zip(*marks, strict=True) if a not in (None, "") and b not in (None, ""))


def _bare(etag: str) -> str:
    """Lists of buckets and their answers write the quotes differently."""
    return etag.removeprefix("W/").strip('"')


@dataclass(frozen=True)
class Reply:
    """Bytes on their way."""

    start: int
    """First byte; 0 where a server does not give parts."""
    seen: Seen
    chunks: Iterator[bytes]


class Passing(Exception):  # noqa: N818  a reason to try again, which nobody outside sees
    """What may be right in a moment: a server that is busy, a connection that was cut."""

    def __init__(self, told: str, wait_s: float = 0.0, *, anew: bool = False) -> None:
        super().__init__(told)
        self.told, self.wait_s = told, wait_s
        self.anew = anew
        """What came so far is of no use."""


def look(address: str) -> Seen:
    """Size and mark of a file, without its bytes. SourceError, or Passing."""
    if scheme_of(address) in WEB:
        from srcore.storage.remote.web import look as of_web

        return of_web(address)
    from srcore.storage.remote.bucket import look as of_bucket

    return of_bucket(address)


def opened(address: str, start: int, known: Seen) -> AbstractContextManager[Reply]:
    """A file's bytes from `start` on, of the content that `known` tells of where the server can hold to it."""
    if scheme_of(address) in WEB:
        from srcore.storage.remote.web import opened as of_web

        return of_web(address, start, known)
    if scheme_of(address) not in BUCKETS:
        raise SourceError(f"{shown(address)}: no address that is read", "", "give https, s3, gs or az", code="OUTSIDE")
    from srcore.storage.remote.bucket import opened as of_bucket

    return of_bucket(address, start, known)


def refused(address: str, status: int) -> SourceError:
    """The error for an answer that trying again does not change."""
    where, found = shown(address), f"status {status}"
    if status in (401, 403):
        do = "give a key or token by the environment (docs/sources.md); a signed link may have run out"
        return SourceError(f"{where}: its server does not give it to us", found, do, code="REMOTE_DENIED")
    if status in (404, 410):
        return SourceError(f"{where}: not there", found, "look whether it was moved or removed", code="REMOTE_GONE")
    do = "look at the address, or ask who runs the server"
    return SourceError(f"{where}: its server gave no file", found, do, code="REMOTE_FAILED")


def failed(address: str, told: str, tries: int) -> SourceError:
    """The error for a server that did not answer as it should, however often it was asked."""
    times = "one try" if tries == 1 else f"{tries} tries"
    do = "wait for its server, or the network; the next run tries again"
    return SourceError(f"{shown(address)}: cannot be fetched", f"{told}, {times}", do, code="REMOTE_FAILED")
