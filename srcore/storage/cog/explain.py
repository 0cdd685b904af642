"""The bytes of a Cloud Optimized GeoTIFF, each explained: so that none of them can be wrong unseen.

    header | ghost text | directories and their values | for each tile: its size, its bytes, their last four again

A reader looks at what it needs; a flipped bit in an unread tag, or a hole between two tiles, waits for the next
reader. Formats: TIFF 6.0 section 2, BigTIFF, and for the ghost text and the bytes around the tiles GDAL's
documentation of the COG driver ("header ghost area", "tile data leader and trailer").
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

from numcodecs import Zstd

from srcore.errors import StoreError

TILE_OFFSETS, TILE_BYTE_COUNTS = 324, 325
SUBFILE_TYPE, WIDTH, HEIGHT = 254, 256, 257
MASK_BIT = 4
BITS, COMPRESSION, SAMPLES, PLANES, TILE_WIDTH, TILE_HEIGHT = 258, 259, 277, 284, 322, 323
SEPARATE = 2
ZSTD = 50000
DEMANDED = frozenset({WIDTH, HEIGHT, BITS, SAMPLES, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS})
PIECE_BYTES = 1 << 20
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
INTEGER_FORMATS = {3: "H", 4: "I", 16: "Q"}
GHOST = b"GDAL_STRUCTURAL_METADATA_SIZE="
GHOST_HEAD_BYTES = 43
ALIGNMENT_BYTES = 16
MOST_DIRECTORIES = 100

Span = tuple[int, int]

_zstd = Zstd()


class _UnexplainedError(ValueError):
    """Something in the file is not as it must be; becomes a StoreError with the file's name."""


@dataclass(frozen=True)
class Value:
    """The value of one tag, as stored (little endian)."""

    type: int
    count: int
    data: bytes

    def numbers(self) -> tuple[int, ...]:
        """As unsigned integers, at least one."""
        if self.type not in INTEGER_FORMATS or not self.count:
            raise _UnexplainedError(f"a tag of integers has type {self.type}")
        return struct.unpack(f"<{self.count}{INTEGER_FORMATS[self.type]}", self.data)


@dataclass(frozen=True)
class Directory:
    """One image of the file: the scene, its mask, an overview or an overview's mask."""

    tags: dict[int, Value]
    spans: tuple[Span, ...] = field(repr=False)
    """Bytes [start, stop) of the file that hold the directory and its values."""

    @property
    def kind(self) -> int:
        """TIFF's NewSubfileType: 0 the scene, 1 an overview, 4 a mask, 5 an overview's mask."""
        return self.tags[SUBFILE_TYPE].numbers()[0] if SUBFILE_TYPE in self.tags else 0

    def shape(self) -> tuple[int, int]:
        """(rows, columns)"""
        return self.tags[HEIGHT].numbers()[0], self.tags[WIDTH].numbers()[0]

    @property
    def planar(self) -> bool:
        """True when each band has tiles of its own."""
        return self.tags[PLANES].numbers() == (SEPARATE,) if PLANES in self.tags else False

    @property
    def compression(self) -> int:
        """TIFF's number of it."""
        return self.tags[COMPRESSION].numbers()[0] if COMPRESSION in self.tags else 1

    @property
    def tile_bytes(self) -> int:
        """Bytes of a tile when it is inflated."""
        bits, samples, width, height = (self.tags[t].numbers()[0] for t in (BITS, SAMPLES, TILE_WIDTH, TILE_HEIGHT))
        return bits * (1 if self.planar else samples) * width * height // 8

    def lasting(self) -> dict[int, Value]:
        """The tags that do not depend on the size of the image or on where its tiles lie."""
        return {tag: v for tag, v in self.tags.items() if tag not in (WIDTH, HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS)}

    def tiles(self) -> Iterator[Span]:
        """Bytes [start, stop) of every tile, in row order."""
        offsets, sizes = self.tags[TILE_OFFSETS].numbers(), self.tags[TILE_BYTE_COUNTS].numbers()
        if len(offsets) != len(sizes) or not all(offsets) or not all(sizes):
            raise _UnexplainedError("an image lacks tiles")
        yield from ((offset, offset + size) for offset, size in zip(offsets, sizes, strict=True))


def explain(path: Path) -> list[Directory]:
    """The directories of the COG `path`, in file order; raises StoreError unless every byte of it is accounted for.

    Each tile is inflated, but what is in it is for others to compare. GDAL puts each tile of a mask behind the
    image's, unless the bands have tiles of their own; the ghost text must say so.
    """
    try:
        with open(path, "rb") as file:
            size = os.fstat(file.fileno()).st_size
            head, first, big = _header(file)
            ghost, text = _ghost(file, head[1])
            directories = list(_directories(file, first, big, size))
            tiles = [_with_frame(file, tile, d) for d in directories for tile in d.tiles()]
            _no_gap(file, [head, ghost, *(s for d in directories for s in d.spans), *tiles], size)
            if text != ghost_text(masked=any(d.kind & MASK_BIT for d in directories), planar=directories[0].planar):
                raise _UnexplainedError(f"the ghost text {text!r}")
    except (_UnexplainedError, struct.error, OSError) as error:
        raise _broken(path, str(error)) from error
    return directories


def _broken(path: Path, found: str) -> StoreError:
    what = f"{path.name} is not what was written: its bytes are not those of a COG"
    return StoreError(what, found, "it is not published; look for a full or failing disk", code="VERIFY_FAILED")


def _read(file: BinaryIO, start: int, size: int) -> bytes:
    file.seek(start)
    data = file.read(size)
    if len(data) != size:
        raise _UnexplainedError(f"the end of the file at byte {start + len(data)} where {start + size} are needed")
    return data


def _header(file: BinaryIO) -> tuple[Span, int, bool]:
    """Span of the header, position of the first directory, whether it is a BigTIFF."""
    start = _read(file, 0, 8)
    if start[:4] == b"II*\0":
        return (0, 8), struct.unpack("<I", start[4:])[0], False
    if start == b"II+\0\x08\0\0\0":
        return (0, 16), struct.unpack("<Q", _read(file, 8, 8))[0], True
    raise _UnexplainedError(f"the first bytes {start!r}")


def _ghost(file: BinaryIO, start: int) -> tuple[Span, bytes]:
    """Span of the text between header and first directory, and the text."""
    head = _read(file, start, GHOST_HEAD_BYTES)
    digits = head[len(GHOST) : len(GHOST) + 6]
    if head != GHOST + digits + b" bytes\n" or not digits.isdigit():
        raise _UnexplainedError(f"the ghost text {head!r}")
    text = _read(file, start + GHOST_HEAD_BYTES, int(digits))
    return (start, start + GHOST_HEAD_BYTES + len(text)), text


def ghost_text(*, masked: bool, planar: bool) -> bytes:
    """What GDAL's readers are told of the layout. Each tile of a mask lies behind the image's tile, if that is one."""
    lines = [
        b"LAYOUT=IFDS_BEFORE_DATA",
        b"BLOCK_ORDER=ROW_MAJOR",
        b"BLOCK_LEADER=SIZE_AS_UINT4",
        b"BLOCK_TRAILER=LAST_4_BYTES_REPEATED",
        b"KNOWN_INCOMPATIBLE_EDITION=NO",
    ]
    more = b"INTERLEAVE=BAND\n" if planar else b"MASK_INTERLEAVED_WITH_IMAGERY=YES\n" * masked
    return b"\n".join([*lines, b" " + more])


def _directories(file: BinaryIO, position: int, big: bool, size: int) -> Iterator[Directory]:
    for _ in range(MOST_DIRECTORIES):
        if position == 0:
            return
        directory, position = _directory(file, position, big, size)
        yield directory
    raise _UnexplainedError(f"more than {MOST_DIRECTORIES} images")


def _directory(file: BinaryIO, start: int, big: bool, size: int) -> tuple[Directory, int]:
    """The directory at `start`, and the position of the next one (0 after the last)."""
    count_format, entry_format, word = ("<Q", "<HHQ8s", 8) if big else ("<H", "<HHI4s", 4)
    count_bytes, entry_bytes = struct.calcsize(count_format), struct.calcsize(entry_format)
    entries = struct.unpack(count_format, _read(file, start, count_bytes))[0]
    if entries * entry_bytes > size:
        raise _UnexplainedError(f"a directory of {entries} tags")
    body = _read(file, start + count_bytes, entries * entry_bytes + word)
    tags: dict[int, Value] = {}
    spans = [(start, start + count_bytes + len(body))]
    for tag, kind, count, field_bytes in struct.iter_unpack(entry_format, body[:-word]):
        if tag <= max(tags, default=0) or kind not in TYPE_BYTES:
            raise _UnexplainedError(f"tag {tag} of type {kind} out of order or unknown")
        value_bytes = count * TYPE_BYTES[kind]
        if value_bytes > size:
            raise _UnexplainedError(f"tag {tag} with {count} values")
        data = field_bytes[:value_bytes]
        if value_bytes > word:
            place = int.from_bytes(field_bytes, "little")
            data = _read(file, place, value_bytes)
            spans.append((place, place + value_bytes))
        elif any(field_bytes[value_bytes:]):
            raise _UnexplainedError(f"tag {tag} with bytes behind its value")
        tags[tag] = Value(kind, count, data)
    if not tags.keys() >= DEMANDED:
        raise _UnexplainedError("an image without a size or without tiles")
    return Directory(tags, tuple(spans)), int.from_bytes(body[-word:], "little")


def _with_frame(file: BinaryIO, tile: Span, directory: Directory) -> Span:
    """The span of a tile with its size before it and its last four bytes repeated after it; all of it checked."""
    start, stop = tile
    if start < 4 or stop - start < 4:
        raise _UnexplainedError(f"a tile at {start} of {stop - start} bytes")
    leader, data, trailer = _read(file, start - 4, 4), _read(file, start, stop - start), _read(file, stop, 4)
    if struct.unpack("<I", leader)[0] != len(data) or data[-4:] != trailer:
        raise _UnexplainedError(f"other bytes around the tile at {start} than belong there")
    inflate = _unzstds if directory.compression == ZSTD else _inflates
    inflate(data, start, directory.tile_bytes)
    return start - 4, stop + 4


def _unzstds(data: bytes, start: int, tile_bytes: int) -> None:
    """The zstd frame is whole."""
    try:
        found = len(_zstd.decode(data))
    except (RuntimeError, ValueError) as error:
        raise _UnexplainedError(f"a tile at {start} that is damaged ({error})") from error
    if found != tile_bytes:
        raise _UnexplainedError(f"a tile at {start} that gives {found} bytes")


def _inflates(data: bytes, start: int, tile_bytes: int) -> None:
    """zlib's own checksum of the tile holds (libtiff does not look at it), and nothing follows it."""
    stream, pending, inflated = zlib.decompressobj(), data, 0
    try:
        while pending and inflated <= tile_bytes:
            inflated += len(stream.decompress(pending, PIECE_BYTES))
            pending = stream.unconsumed_tail
    except zlib.error as error:
        raise _UnexplainedError(f"a tile at {start} that is damaged ({error})") from error
    if not stream.eof or stream.unused_data or inflated != tile_bytes:
        raise _UnexplainedError(f"a tile at {start} that gives {inflated} bytes, or goes on after its end")


def _no_gap(file: BinaryIO, spans: list[Span], size: int) -> None:
    """Every byte in exactly one span; between spans at most a few zeros that align the next one, none at the end."""
    ordered = sorted(spans)
    if ordered[-1][1] != size:
        raise _UnexplainedError(f"{size} bytes where {ordered[-1][1]} belong")
    for (_, stop), (start, _) in pairwise(ordered):
        if not 0 <= start - stop < ALIGNMENT_BYTES:
            raise _UnexplainedError(f"bytes {stop} to {start} that nothing explains, or two things in one place")
        if start > stop and any(_read(file, stop, start - stop)):
            raise _UnexplainedError(f"bytes {stop} to {start} that are not zero")
