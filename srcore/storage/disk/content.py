"""An object of the store that is read in pieces: opened once, so that every piece is of the same content."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol

PIECE_BYTES = 1 << 20


class Content(Protocol):
    """What is known of it before a byte is read."""

    @property
    def size_bytes(self) -> int:
        """Of all of it."""

    @property
    def mark(self) -> str:
        """Another content has another one: letters, digits and hyphens."""

    def pieces(self, start: int, end: int) -> Iterator[bytes | memoryview]:
        """The bytes from `start` until before `end`; closed behind the last one. OSError, AwayError."""

    def close(self) -> None:
        """Of what was opened and is not read to its end."""


@dataclass(frozen=True)
class FileContent:
    """Of a file of this machine."""

    file: BinaryIO
    size_bytes: int
    mark: str

    def pieces(self, start: int, end: int) -> Iterator[bytes]:
        """See Content; fewer where the file was cut meanwhile."""
        with self.file:
            self.file.seek(start)
            while start < end and (piece := self.file.read(min(PIECE_BYTES, end - start))):
                start += len(piece)
                yield piece

    def close(self) -> None:
        """See Content."""
        self.file.close()


def open_file(path: Path) -> FileContent | None:
    """A regular file, opened; None where there is none. A link is none; a pipe holds nobody up."""
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError:
        return None
    status = os.fstat(file.fileno())
    if stat.S_ISREG(status.st_mode):
        return FileContent(file, status.st_size, f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}")
    file.close()
    return None
