"""What a TIFF's directories promise, against the bytes that the file has. Pure reading of numbers, no pixel decoded.

GDAL reads a cut TIFF happily until it comes to the missing block, hours into a run; here the end of every block
of every page is compared with the size of the file, which takes milliseconds.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.storage.raster.pieces import truncated

OFFSETS, BYTE_COUNTS = (273, 324), (279, 325)
"""Tags of strips, of tiles."""
WIDTH, HEIGHT, SAMPLES, ROWS_PER_STRIP, PLANES, TILE_WIDTH, TILE_HEIGHT = 256, 257, 277, 278, 284, 322, 323
SEPARATE = 2
SUBFILE, IS_REDUCED, IS_MASK = 254, 1, 4
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
                if all(tag in fields and fields[tag].width in (2, 4, 8) for tag in (offsets, counts)):
                    _check_count(file, path, order, fields, fields[offsets].count)
                    _check_blocks(file, path, size, order, fields[offsets], fields[counts])


def has_mask(path: Path) -> bool:
    """Whether a page of the TIFF, no reduced one, says that it is a mask."""
    with path.open("rb") as file:
        for fields, order in _directories(file, path, os.path.getsize(path)):
            kind = fields.get(SUBFILE)
            if kind is not None and kind.width == 4 and kind.count == 1:
                bits = int(_numbers(file, order, kind, slice(0, 1))[0])
                if bits & IS_MASK and not bits & IS_REDUCED:
                    return True
    return False


def _check_count(file: BinaryIO, path: Path, order: str, fields: dict[int, _Field], held: int) -> None:
    """Refuse a page that lists fewer blocks than its shape needs: GDAL reads zeros for the others."""

    def number(tag: int, otherwise: int) -> int:
        field = fields.get(tag)
        if field is None or field.width not in (2, 4, 8) or not field.count:
            return otherwise
        return int(_numbers(file, order, field, slice(0, 1))[0])

    width, height = number(WIDTH, 1), number(HEIGHT, 1)
    across, down = number(TILE_WIDTH, width), number(TILE_HEIGHT, number(ROWS_PER_STRIP, height))
    planes = number(SAMPLES, 1) if number(PLANES, 1) == SEPARATE else 1
    needed = ceil(width / max(1, across)) * ceil(height / max(1, down)) * planes
    if held < needed:
        raise SourceError(
            f"{path}: the TIFF directory is damaged",
            f"{held} blocks where its shape needs {needed}",
            "fetch it again",
            code="DAMAGED",
        )


def _directories(file: BinaryIO, path: Path, size: int) -> Iterator[tuple[dict[int, _Field], str]]:
    """The pages of the file, each once: its fields by tag, and the byte order."""
    head = file.read(16)
    form = _Form("<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+"))
    position = _unpack(form.pointer, head[8:] if form.big else head[4:], path, size)[0]
    seen: set[int] = set()
    while position and position not in seen and len(seen) < MAX_DIRECTORIES:
        seen.add(position)
        if position > size:
            raise truncated(path, size, position)
        file.seek(position)
        count = _unpack(form.count, file.read(struct.calcsize(form.count)), path, size)[0]
        entry = struct.calcsize(form.entry)
        if count > 4096:
            raise SourceError(
                f"{path}: the TIFF directory is damaged", f"{count} fields", "fetch the file again", code="DAMAGED"
            )
        start, block = file.tell(), file.read(entry * count + struct.calcsize(form.pointer))
        if len(block) < entry * count:
            raise truncated(path, size, start + entry * count)
        entries = (range(i * entry, (i + 1) * entry) for i in range(count))
        yield dict(_field(form, block[e.start : e.stop], start + e.start) for e in entries), form.order
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
            f"{path}: too many blocks to read",
            f"{offsets.count} strips or tiles",
            "rewrite it with larger tiles: gdal_translate -co TILED=YES",
            code="TOO_LARGE",
        )
    blocks = min(offsets.count, counts.count)
    for first in range(0, blocks, PIECE):
        piece = slice(first, min(first + PIECE, blocks))
        start, length = _numbers(file, order, offsets, piece), _numbers(file, order, counts, piece)
        # A block at 0, or of length 0, is a hole of a sparse file. Written so that no sum can overflow.
        beyond = (start > 0) & (length > size - np.minimum(start, size))
        if beyond.any():
            where = int(np.argmax(beyond))
            raise truncated(path, size, int(start[where]) + int(length[where]))


def _numbers(file: BinaryIO, order: str, field: _Field, piece: slice) -> NDArray[np.uint64]:
    file.seek(field.offset + piece.start * field.width)
    data = file.read((piece.stop - piece.start) * field.width)
    return np.frombuffer(data, f"{order}u{field.width}").astype(np.uint64)


def _unpack(form: str, data: bytes, path: Path, size: int) -> tuple[int, ...]:
    if len(data) < struct.calcsize(form):
        raise truncated(path, size, size + struct.calcsize(form))
    numbers: tuple[int, ...] = struct.unpack_from(form, data)
    return numbers
