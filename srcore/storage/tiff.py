"""What a TIFF's directories promise, against the bytes that the file has. Pure reading of numbers, no pixel decoded.

GDAL reads a cut TIFF happily until it comes to the missing block, hours into a run; here the end of every block
of every page is compared with the size of the file, which takes milliseconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.storage.pieces import truncated

OFFSETS, BYTE_COUNTS = (273, 324), (279, 325)
"""Tags of strips, of tiles."""
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
"""Bytes of a number of each field type: BYTE, ASCII, SHORT, LONG, RATIONAL ..."""
MAX_DIRECTORIES = 1024
MAX_BLOCKS = 2**24
PIECE = 2**18
"""Block offsets compared at a time."""


@dataclass(frozen=True)
class _Form:
    """Byte order and the widths that tell classic TIFF from BigTIFF."""

    order: str
    big: bool

    @property
    def pointer(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")


@dataclass(frozen=True)
class _Field:
    """Content of one tag: where it lies, how many numbers, and how wide they are (0: a type that TIFF lacks)."""

    offset: int
    count: int
    width: int


def check_tiff(path: Path) -> None:
    """Refuse a TIFF whose directories or blocks lie beyond its end.

    Raises SourceError, code TRUNCATED or TOO_LARGE.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        for fields, order in _directories(file, path, size):
            for field in fields.values():
                # libtiff drops a tag that is cut, with a warning: the CRS or nodata would be gone in silence.
                if field.offset + field.count * field.width > size:
                    raise truncated(path, size, field.offset + field.count * field.width)
            for offsets, counts in zip(OFFSETS, BYTE_COUNTS, strict=True):
                if _integers(fields.get(offsets)) and _integers(fields.get(counts)):
                    _check_blocks(file, path, size, order, fields[offsets], fields[counts])


def _integers(field: _Field | None) -> bool:
    return field is not None and field.width in (2, 4, 8)


def _directories(file: BinaryIO, path: Path, size: int) -> Iterator[tuple[dict[int, _Field], str]]:
    """The pages of the file, each once: its fields by tag, and the byte order."""
    head = file.read(16)
    form = _Form("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
    position = _unpack(form.pointer, head[8:] if form.big else head[4:], path, size)[0]
    seen: set[int] = set()
    while position and position not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(position)
        file.seek(position)
        count = _unpack(form.count, file.read(struct.calcsize(form.count)), path, size)[0]
        entry = struct.calcsize(form.entry)
        if count > 4096:
            raise SourceError(f"{path}: the TIFF directory is damaged", f"{count} fields", "fetch the file again")
        start, block = file.tell(), file.read(entry * count + struct.calcsize(form.pointer))
        if len(block) < entry * count:
            raise truncated(path, size, start + entry * count)
        yield dict(_field(form, block[i * entry :], start + i * entry) for i in range(count)), form.order
        tail = block[entry * count :]
        # Some writers end the file right after the last entry, without the pointer to a next page.
        position = _unpack(form.pointer, tail, path, size)[0] if tail else 0


def _field(form: _Form, entry: bytes, position: int) -> tuple[int, _Field]:
    tag, kind, count, value = struct.unpack_from(form.entry, entry)
    width = WIDTHS.get(kind, 0)
    inline = width * count <= len(value)
    offset = position + struct.calcsize(form.entry) - len(value) if inline else struct.unpack(form.pointer, value)[0]
    return tag, _Field(offset, count, width)


def _check_blocks(file: BinaryIO, path: Path, size: int, order: str, offsets: _Field, counts: _Field) -> None:
    if offsets.count > MAX_BLOCKS:
        raise SourceError(
            f"{path}: too many blocks to read", f"{offsets.count} strips or tiles",
            "rewrite it with larger tiles: gdal_translate -co TILED=YES", code="TOO_LARGE",
        )
    for first in range(0, min(offsets.count, counts.count), PIECE):
        start = _numbers(file, order, offsets, first)
        length = _numbers(file, order, counts, first)
        # A block with offset 0 or length 0 is a hole of a sparse file.
        held = (start > 0) & (length > 0)
        # A length past the end of the file is itself beyond it: and so the sum cannot overflow.
        beyond = held & ((start > size) | (length > size) | (np.minimum(start, size) + np.minimum(length, size) > size))
        if beyond.any():
            where = int(np.argmax(beyond))
            raise truncated(path, size, int(start[where]) + int(length[where]))


def _numbers(file: BinaryIO, order: str, field: _Field, first: int) -> NDArray[np.uint64]:
    count = min(PIECE, field.count - first)
    file.seek(field.offset + first * field.width)
    return np.frombuffer(file.read(count * field.width), f"{order}u{field.width}").astype(np.uint64)


def _unpack(form: str, data: bytes, path: Path, size: int) -> tuple[int, ...]:
    if len(data) < struct.calcsize(form):
        raise truncated(path, size, size + struct.calcsize(form))
    numbers: tuple[int, ...] = struct.unpack_from(form, data)
    return numbers
