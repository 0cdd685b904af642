"""Bytes of a NIfTI file, unpacked where they are packed; a file that is cut or damaged is refused by name."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path
from typing import IO

from srcore.errors import SourceError

GZIP = b"\x1f\x8b"
PIECE = 2**20
"""Bytes unpacked at a time."""


def unpack(path: Path, size: int, target: IO[bytes] | None) -> None:
    """Unpack `size` bytes of a gzip file to `target` (None: to prove it only), and compare its checksum.

    Raises SourceError for a cut or damaged file, and for one that goes on and on.
    """
    with open_unpacked(path) as source:
        left = size
        while left:
            data = take(source, min(PIECE, left), path)
            if not data:
                raise truncated(path, f"{size - left} bytes where its header declares {size}")
            if target is not None:
                target.write(data)
            left -= len(data)
        # gzip compares the checksum at the very end; a tail that goes on is no part of the volume.
        if len(take(source, PIECE, path)) == PIECE:
            raise SourceError(
                f"{path}: holds more than its header declares", f"over {size} bytes", "fetch it again", code="DAMAGED"
            )


def take(file: IO[bytes], size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except EOFError as error:
        raise truncated(path, "an end within the compressed data") from error
    except (gzip.BadGzipFile, zlib.error, OSError) as error:
        raise SourceError(
            f"{path}: its compressed data is damaged", str(error), "fetch the file again", code="DAMAGED"
        ) from error


def skip(file: IO[bytes], size: int, path: Path) -> None:
    """Go on by so many bytes."""
    while size > 0 and (data := take(file, min(PIECE, size), path)):
        size -= len(data)


def open_unpacked(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def truncated(path: Path, found: str) -> SourceError:
    return SourceError(f"{path}: the file is cut short", found, "fetch the file again", code="TRUNCATED")
