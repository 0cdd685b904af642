"""The directories of a TIFF: the number of every tag that srcore looks at, and where the value of each tag lies.

header | ... | directory: count, (tag, type, count, value or its place) ..., place of the next one | ... | values
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from srcore.errors import SourceError
from srcore.storage.raster.pieces import truncated

SUBFILE_TYPE, WIDTH, HEIGHT, BITS, COMPRESSION = 254, 256, 257, 258, 259
PHOTOMETRIC, ORIENTATION = 262, 274
STRIP_OFFSETS, SAMPLES, ROWS_PER_STRIP, STRIP_BYTE_COUNTS, PLANES = 273, 277, 278, 279, 284
TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS = 322, 323, 324, 325
SEPARATE = 2
"""As PLANES: each band has blocks of its own."""
OVERVIEW_BIT, MASK_BIT = 1, 4
"""Of SUBFILE_TYPE."""
SHORT, LONG, LONG8 = 3, 4, 16
TYPE_BYTES = {1: 1, 2: 1, SHORT: 2, LONG: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, LONG8: 8, 17: 8,
              18: 8}  # fmt: skip
"""Bytes of a number of each field type: BYTE, ASCII, SHORT, LONG, RATIONAL ..."""
MAX_DIRECTORIES = 1024
MAX_FIELDS = 4096


@dataclass(frozen=True)
class Field:
    """Content of one tag: which numbers, how many, and where they lie."""

    type: int
    count: int
    offset: int

    @property
    def width(self) -> int:
        """Bytes of a number; 0: a type that TIFF lacks."""
        return TYPE_BYTES.get(self.type, 0)


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


def directories(file: BinaryIO, path: Path, size: int) -> Iterator[tuple[dict[int, Field], str]]:
    """The pages of a TIFF of `size` bytes, each once: its fields by tag, and the byte order for `struct`.

    Raises SourceError, which names `path`: TRUNCATED where a directory lies beyond the end.
    """
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
        if count > MAX_FIELDS:
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


def _field(form: _Form, entry: bytes, position: int) -> tuple[int, Field]:
    tag, kind, count, value = struct.unpack_from(form.entry, entry)
    inline = TYPE_BYTES.get(kind, 0) * count <= len(value)
    offset = position + struct.calcsize(form.entry) - len(value) if inline else struct.unpack(form.pointer, value)[0]
    return tag, Field(kind, count, offset)


def _unpack(form: str, data: bytes, path: Path, size: int) -> tuple[int, ...]:
    if len(data) < struct.calcsize(form):
        raise truncated(path, size, size + struct.calcsize(form))
    numbers: tuple[int, ...] = struct.unpack_from(form, data)
    return numbers
