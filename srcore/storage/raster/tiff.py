"""What a TIFF's directories promise, against the bytes that the file has. Pure reading of numbers, no pixel decoded.

GDAL reads a cut TIFF happily until it comes to the missing block, hours into a run; here the end of every block
of every page is compared with the size of the file, which takes milliseconds.
"""

from __future__ import annotations

import os
from math import ceil
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.storage.raster.directories import (
    HEIGHT,
    MASK_BIT,
    OVERVIEW_BIT,
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


def check_tiff(path: Path) -> None:
    """Refuse a TIFF whose directories or blocks lie beyond its end.

    Raises SourceError, code TRUNCATED or TOO_LARGE.
    """
    size = os.path.getsize(path)
    with path.open("rb") as file:
        for fields, order in directories(file, path, size):
            for field in fields.values():
                # libtiff drops a tag that is cut, with a warning: the CRS or nodata would be gone in silence.
                if field.offset + field.count * field.width > size:
                    raise truncated(path, size, field.offset + field.count * field.width)
            for offsets, counts in ((STRIP_OFFSETS, STRIP_BYTE_COUNTS), (TILE_OFFSETS, TILE_BYTE_COUNTS)):
                if all(tag in fields and fields[tag].width in (2, 4, 8) for tag in (offsets, counts)):
                    _check_count(file, path, order, fields, fields[offsets].count)
                    _check_blocks(file, path, size, order, fields[offsets], fields[counts])


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


def _check_count(file: BinaryIO, path: Path, order: str, fields: dict[int, Field], held: int) -> None:
    """Refuse a page that lists fewer blocks than its shape needs: GDAL reads zeros for the others."""

    def number(tag: int, otherwise: int) -> int:
        field = fields.get(tag)
        if field is None or field.width not in (2, 4, 8) or not field.count:
            return otherwise
        return int(numbers(file, order, field, slice(0, 1))[0])

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


def _check_blocks(file: BinaryIO, path: Path, size: int, order: str, offsets: Field, counts: Field) -> None:
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
        start, length = numbers(file, order, offsets, piece), numbers(file, order, counts, piece)
        # A block at 0, or of length 0, is a hole of a sparse file. Written so that no sum can overflow.
        beyond = (start > 0) & (length > size - np.minimum(start, size))
        if beyond.any():
            where = int(np.argmax(beyond))
            raise truncated(path, size, int(start[where]) + int(length[where]))


def numbers(file: BinaryIO, order: str, field: Field, piece: slice) -> NDArray[np.uint64]:
    """The numbers of a tag, or a piece of them."""
    file.seek(field.offset + piece.start * field.width)
    data = file.read((piece.stop - piece.start) * field.width)
    return np.frombuffer(data, f"{order}u{field.width}").astype(np.uint64)
