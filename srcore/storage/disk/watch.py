"""What a source is, and whether it is still the same: by size and time while nothing moves, by sha256 when it did."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from srcore.errors import SourceError, printable
from srcore.storage.disk.card import told_of
from srcore.storage.disk.files import sha256_file
from srcore.storage.disk.veil import MARK, veiled_path

DIGEST_LIMIT_BYTES = 4 << 30
"""A file larger than this is not read only to note the digest of a scene that failed."""


@dataclass(frozen=True)
class Stamp:
    """An input file as its folder lists it."""

    path: str
    """For people and for comparing: what of it is no UTF-8 is written out; of a scene elsewhere its address."""
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Source:
    """One input file as INGEST found it."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int

    @property
    def stamp(self) -> Stamp:
        """The file as its folder lists it."""
        return Stamp(self.path, self.size_bytes, self.mtime_ns)


def stamp(path: Path) -> Stamp:
    """Path, size and time of a file; SourceError when it cannot be looked at."""
    try:
        status = path.stat()
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read", error.strerror or str(error), "check the path", code="NOT_READABLE"
        ) from error
    return Stamp(printable(told_of(path)), status.st_size, status.st_mtime_ns)


def stamp_if_there(path: Path) -> Stamp | None:
    """`stamp`, or None for a file that cannot be looked at."""
    try:
        return stamp(path)
    except SourceError:
        return None


def identify(path: Path) -> Source:
    """A file's digest, size and time; SourceError when it cannot be read."""
    found = stamp(path)
    try:
        return Source(found.path, sha256_file(path), found.size_bytes, found.mtime_ns)
    except OSError as error:
        raise SourceError(
            f"{path} cannot be read", error.strerror or str(error), "check the file", code="NOT_READABLE"
        ) from error


def identify_if_there(path: Path) -> Source:
    """`identify` for the record of a failure: what cannot be read, or is very large, has no digest."""
    found = stamp_if_there(path)
    if found is None:
        return Source(printable(told_of(path)), "", -1, -1)
    if found.size_bytes <= DIGEST_LIMIT_BYTES and path.is_file():
        try:
            return identify(path)
        except SourceError:
            pass  # the record says what could be seen of it
    return Source(found.path, "", found.size_bytes, found.mtime_ns)


def hidden_sources(sources: Sequence[Source]) -> tuple[Source, ...]:
    """Sources without their paths, for the records of a private scene: a keyed hash stands for each."""
    return tuple(
        source if source.path.startswith(MARK) else replace(source, path=veiled_path(source.path)) for source in sources
    )


def same_sources(sources: Sequence[Source], paths: Sequence[Path]) -> bool:
    """True when the files are those that were noted: by path, or its hash, by size and time, else by sha256."""
    if len(sources) != len(paths) or any(map(_other_path, sources, paths)):
        return False
    return all(_is_same(source, path) for source, path in zip(sources, paths, strict=True))


def _other_path(source: Source, path: Path) -> bool:
    text = printable(told_of(path))
    return source.path != (veiled_path(text) if source.path.startswith(MARK) else text)


def _is_same(source: Source, path: Path) -> bool:
    found = stamp_if_there(path)
    if found is None or replace(found, path=source.path) == source.stamp:
        # missing now and missing then is no change: a scene that failed for want of a file waits for the file
        return found is not None or source.size_bytes == -1
    if not source.sha256 or found.size_bytes != source.size_bytes:
        return False
    try:
        return sha256_file(path) == source.sha256
    except OSError:
        return False


def changed(scene: str, when: str) -> SourceError:
    """The error that says so; another run can do the scene as it is then."""
    return SourceError(
        f"a source of {scene} changed {when}",
        "other bytes, or none",
        "run again when it is complete",
        code="SOURCE_CHANGED",
    )
