"""PNG chunks and JPEG 2000 boxes: whether each lies in the file, and whether the last one is there.

GDAL reads a cut PNG without an error, and a cut JPEG 2000 up to the missing code block, hours into a run.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from srcore.errors import SourceError

MAX_PIECES = 2**20
MAX_EXIF = 2**16
END_OF_CODESTREAM = b"\xff\xd9"
CODESTREAM = b"\xff\x4f\xff\x51"


def check_png(path: Path) -> None:
    """Refuse a PNG whose chunks end before IEND. Raises SourceError, code TRUNCATED."""
    with path.open("rb") as file:
        for _ in _chunks(file, path):
            pass


def exif_of_png(path: Path) -> BytesIO | None:
    """What a camera or a program noted in a whole PNG: a TIFF without pixels; None where nothing is."""
    with path.open("rb") as file:
        for name, start, length in _chunks(file, path):
            if name == b"eXIf" and length <= MAX_EXIF:
                return BytesIO(_at(file, start, length))
    return None


def _chunks(file: BinaryIO, path: Path) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and length of the content of every chunk of a PNG; SourceError TRUNCATED before IEND."""
    size, position = os.path.getsize(path), 8
    for _ in range(MAX_PIECES):
        # A chunk: length of its data, name, data, checksum.
        head = _at(file, position, 8)
        length = struct.unpack(">I", head[:4])[0] if len(head) == 8 else 0
        start, position = position + 8, position + 12 + length
        if len(head) < 8 or position > size:
            raise truncated(path, size, position)
        yield head[4:], start, length
        if head[4:] == b"IEND":
            return
    raise SourceError(f"{path}: its chunks do not end", f"over {MAX_PIECES}", "write it again", code="DAMAGED")


def check_jp2(path: Path) -> None:
    """Refuse a JPEG 2000 whose boxes or code stream are cut. Raises SourceError, code TRUNCATED."""
    size = os.path.getsize(path)
    with path.open("rb") as file:
        if _at(file, 0, 4) == CODESTREAM:
            return _check_codestream(file, path, size, size)
        position = 0
        for _ in range(MAX_PIECES):
            if position >= size:
                return None
            # A box: length with this head (0: to the end of the file; 1: 8 more bytes hold it), name, content.
            head = _at(file, position, 16)
            length = struct.unpack(">I", head[:4])[0] if len(head) >= 8 else size
            if length == 1 and len(head) == 16:
                length = struct.unpack(">Q", head[8:])[0]
            end = position + length if length else size
            if end > size or end < position + 8:
                raise truncated(path, size, end)
            if head[4:8] == b"jp2c":
                _check_codestream(file, path, size, end)
            position = end
    raise SourceError(f"{path}: its boxes do not end", f"over {MAX_PIECES}", "write it again", code="DAMAGED")


def _check_codestream(file: BinaryIO, path: Path, size: int, end: int) -> None:
    # Some writers pad the file with zeros.
    if not _at(file, max(0, end - 64), min(64, end)).rstrip(b"\0").endswith(END_OF_CODESTREAM):
        raise truncated(path, size, end + 1)


def _at(file: BinaryIO, position: int, length: int) -> bytes:
    file.seek(position)
    return file.read(length)


def truncated(path: Path, size: int, needed: int) -> SourceError:
    """The error for a file of `size` bytes whose own numbers lead to byte `needed`."""
    found = f"{size} bytes where its directory leads to byte {needed}"
    return SourceError(f"{path}: the file is cut short", found, "fetch the file again", code="TRUNCATED")
