"""What a TIFF's directories promise, against the bytes that the file has. Pure reading of numbers, no pixel decoded.

GDAL reads a cut TIFF happily until it comes to the missing block, hours into a run; here the end of every block
of every page is compared with the size of the file, which takes milliseconds.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.storage.raster.directories import (
    BITS,
    COMPRESSION,
    HEIGHT,
    MASK_BIT,
    OVERVIEW_BIT,
    PHOTOMETRIC,
    PLANES,
    ROWS_PER_STRIP,
    SAMPLES,
    SEPARATE,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    SUBFILE_TYPE,
    TILE_BYTE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    WIDTH,
    Field,
    directories,
)
from srcore.storage.raster.pieces import truncated

MAX_BLOCKS = 2**24
PIECE = 2**18
"""Block offsets compared at a time."""
MOST = 2**32
"""What a number of a directory counts for at most, so that no product of two overflows."""
RAW, YCBCR = 1, 6
"""As COMPRESSION: none; as PHOTOMETRIC: colours that several pixels may share."""


def check_tiff(path: Path) -> int:
    """Refuse a TIFF whose directories or blocks lie beyond its end.

    The number of blocks that claim more bytes than there are, all of whose pixels are there: of what is not compressed
    the shape says how long it is. Raises SourceError, code TRUNCATED or TOO_LARGE.
    """
    size, overstated = os.path.getsize(path), 0
    with path.open("rb") as file:
        for fields, order in directories(file, path, size):
            for field in fields.values():
                # libtiff drops a tag that is cut, with a warning: the CRS or nodata would be gone in silence.
                if field.offset + field.count * field.width > size:
                    raise truncated(path, size, field.offset + field.count * field.width)
            blocks = _blocks_of(file, order, fields)
            for offsets, counts in ((STRIP_OFFSETS, STRIP_BYTE_COUNTS), (TILE_OFFSETS, TILE_BYTE_COUNTS)):
                if all(tag in fields and fields[tag].width in (2, 4, 8) for tag in (offsets, counts)):
                    _check_count(path, blocks, fields[offsets].count)
                    overstated += _check_blocks(file, path, order, blocks, fields[offsets], fields[counts])
    return overstated


def has_mask(path: Path) -> bool:
    """Whether a page of the TIFF, no reduced one, says that it is a mask."""
    with path.open("rb") as file:
        for fields, order in directories(file, path, os.path.getsize(path)):
            kind = fields.get(SUBFILE_TYPE)
            if kind is not None and kind.width == 4 and kind.count == 1:
                bits = int(numbers(file, order, kind, slice(0, 1))[0])
                if bits & MASK_BIT and not bits & OVERVIEW_BIT:
                    return True
    return False


@dataclass(frozen=True)
class _Blocks:
    """Strips or tiles of a page, by its shape."""

    width: int
    height: int
    across: int
    """Columns of a block."""
    down: int
    """Rows of a block; the last strip has fewer."""
    planes: int
    bits: int
    """Of a pixel, all samples that lie in one block."""
    raw: bool
    """True where pixels lie in the file as they are."""
    tiled: bool

    @property
    def in_plane(self) -> int:
        """Blocks of a plane."""
        return ceil(self.width / self.across) * ceil(self.height / self.down)

    def bytes_of(self, piece: slice) -> NDArray[np.uint64]:
        """What the pixels of each block need, without compression."""
        rows = np.full(piece.stop - piece.start, self.down, np.uint64)
        if not self.tiled:
            last = np.arange(piece.start, piece.stop) % self.in_plane == self.in_plane - 1
            rows[last] = self.height - (self.in_plane - 1) * self.down
        return rows * np.uint64(min(ceil(self.across * self.bits / 8), MOST // 4))


def _blocks_of(file: BinaryIO, order: str, fields: dict[int, Field]) -> _Blocks:
    def number(tag: int, otherwise: int) -> int:
        field = fields.get(tag)
        if field is None or field.width not in (2, 4, 8) or not field.count:
            return otherwise
        return min(int(numbers(file, order, field, slice(0, 1))[0]), MOST)

    width, height, samples = max(1, number(WIDTH, 1)), max(1, number(HEIGHT, 1)), number(SAMPLES, 1)
    across, down = number(TILE_WIDTH, width), number(TILE_HEIGHT, min(height, number(ROWS_PER_STRIP, height)))
    separate, raw = number(PLANES, 1) == SEPARATE, number(COMPRESSION, RAW) == RAW
    return _Blocks(
        width,
        height,
        max(1, across),
        max(1, down),
        planes=samples if separate else 1,
        bits=number(BITS, 1) * (1 if separate else samples),
        raw=raw and number(PHOTOMETRIC, 1) != YCBCR,
        tiled=TILE_WIDTH in fields,
    )


def _check_count(path: Path, blocks: _Blocks, held: int) -> None:
    """Refuse a page that lists fewer blocks than its shape needs: GDAL reads zeros for the others."""
    needed = blocks.in_plane * blocks.planes
    if held < needed:
        raise SourceError(
            f"{path}: the TIFF directory is damaged",
            f"{held} blocks where its shape needs {needed}",
            "fetch it again",
            code="DAMAGED",
        )


def _check_blocks(file: BinaryIO, path: Path, order: str, blocks: _Blocks, offsets: Field, counts: Field) -> int:
    """Refuse blocks that lie beyond the end of the file; how many claim more than they need, and lie within."""
    if offsets.count > MAX_BLOCKS:
        raise SourceError(
            f"{path}: too many blocks to read",
            f"{offsets.count} strips or tiles",
            "rewrite it with larger tiles: gdal_translate -co TILED=YES",
            code="TOO_LARGE",
        )
    size, overstated = os.path.getsize(path), 0
    number = min(offsets.count, counts.count)
    for first in range(0, number, PIECE):
        piece = slice(first, min(first + PIECE, number))
        start, length = numbers(file, order, offsets, piece), numbers(file, order, counts, piece)
        # A block at 0, or of length 0, is a hole of a sparse file. Written so that no sum can overflow.
        there = size - np.minimum(start, size)
        beyond = (start > 0) & (length > there)
        if blocks.raw:
            overstated += int(np.count_nonzero(beyond))
            beyond &= blocks.bytes_of(piece) > there
            overstated -= int(np.count_nonzero(beyond))
        if beyond.any():
            where = int(np.argmax(beyond))
            raise truncated(path, size, int(start[where]) + int(length[where]))
    return overstated


def numbers(file: BinaryIO, order: str, field: Field, piece: slice) -> NDArray[np.uint64]:
    """The numbers of a tag, or a piece of them."""
    file.seek(field.offset + piece.start * field.width)
    data = file.read((piece.stop - piece.start) * field.width)
    return np.frombuffer(data, f"{order}u{field.width}").astype(np.uint64)
