"""What the first page of a TIFF says of its pixels and GDAL does not heed: which way is up, what zero looks like, and
which blocks are not there.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from srcore.errors import SourceError
from srcore.storage.raster.directories import (
    ORIENTATION,
    PHOTOMETRIC,
    STRIP_BYTE_COUNTS,
    STRIP_OFFSETS,
    TILE_BYTE_COUNTS,
    TILE_OFFSETS,
    Field,
    directories,
)
from srcore.storage.raster.open_file import OpenFile
from srcore.storage.raster.pieces import exif_of_png
from srcore.storage.raster.tiff import PIECE, numbers
from srcore.storage.raster.words import text

UPRIGHT, TURNED = 1, range(2, 9)
"""As ORIENTATION: row 0 is the top and column 0 the left; anything else."""
WHITE_IS_ZERO = 0
"""As PHOTOMETRIC."""


@dataclass(frozen=True)
class Page:
    """Of the first page of a TIFF."""

    orientation: int = UPRIGHT
    white_is_zero: bool = False
    missing: int = 0
    """Blocks that the file does not hold."""
    blocks: int = 0


def read_page(path: Path, driver: str) -> Page:
    """The first page of a TIFF that is whole; of a PNG its orientation."""
    if driver == "PNG":
        return Page(orientation=_orientation_of_png(path))
    if driver != "GTiff":
        return Page()
    with path.open("rb") as file:
        fields, order = next(directories(file, path, os.path.getsize(path)), ({}, "<"))
        orientation = _number(file, order, fields.get(ORIENTATION), UPRIGHT)
        white = _number(file, order, fields.get(PHOTOMETRIC), 1) == WHITE_IS_ZERO
        missing = blocks = 0
        for offsets, counts in ((STRIP_OFFSETS, STRIP_BYTE_COUNTS), (TILE_OFFSETS, TILE_BYTE_COUNTS)):
            if offsets in fields and counts in fields:
                missing, blocks = _holes(file, order, fields[offsets], fields[counts])
    return Page(orientation, white, missing, blocks)


def _number(file: BinaryIO, order: str, field: Field | None, otherwise: int) -> int:
    if field is None or field.width not in (1, 2, 4) or field.count != 1:
        return otherwise
    return int(numbers(file, order, field, slice(0, 1))[0])


def _holes(file: BinaryIO, order: str, offsets: Field, counts: Field) -> tuple[int, int]:
    """Blocks of a page that lie nowhere, and blocks in all."""
    blocks, missing = min(offsets.count, counts.count), 0
    for first in range(0, blocks, PIECE):
        piece = slice(first, min(first + PIECE, blocks))
        start, length = numbers(file, order, offsets, piece), numbers(file, order, counts, piece)
        missing += int(np.count_nonzero((start == 0) | (length == 0)))
    return missing, blocks


def _orientation_of_png(path: Path) -> int:
    exif = exif_of_png(path)
    if exif is None:
        return UPRIGHT
    try:
        fields, order = next(directories(exif, path, exif.getbuffer().nbytes), ({}, "<"))
    except SourceError:
        return UPRIGHT  # a broken note of a camera says nothing of the pixels
    return _number(exif, order, fields.get(ORIENTATION), UPRIGHT)


def heed_page(file: OpenFile, *, placed: bool) -> Page:
    """The first page, with flags for blocks that are missing and an orientation that the place of the raster outdoes.

    SourceError TURNED for pixels that lie in another way than they are stored, where nothing else says how they lie.
    """
    page = read_page(file.path, file.dataset.driver)
    if page.orientation in TURNED:
        if not placed:
            raise SourceError(
                f"{file.path}: its rows and columns are not those of the picture",
                f"Orientation {page.orientation}",
                "turn its pixels: magick IN -auto-orient OUT; or clear the tag: exiftool -n -Orientation=1 IN",
                code="TURNED",
            )
        file.flag(f"Orientation {page.orientation} is dropped: rows and columns lie as the place says, as for GDAL")
    if page.missing:
        number = file.dataset.nodatavals[0] if file.pam.band(1).nodata is None else file.pam.band(1).nodata
        told = "0, and data here" if number is None and file.wish.nodata != 0 else "nodata"
        file.flag(f"{page.missing} of {page.blocks} blocks are missing in the file: read as {told}")
    _flag_bits(file)
    if page.white_is_zero:
        file.flag("0 is white, in the product too; pictures of it here draw its numbers, 0 dark")
    return page


def _flag_bits(file: OpenFile) -> None:
    """A product has whole bytes for a number: that fewer bits were used is told."""
    bits = text(lambda: file.dataset.tags(1, ns="IMAGE_STRUCTURE"), {}, file.flags).get("NBITS", "")
    stored = 8 * np.dtype(file.dtype).itemsize
    if bits.isdecimal() and 1 < int(bits) < stored:
        most = 2 ** int(bits) - 1
        file.flag(f"numbers of {bits} bits, 0 to {most}: the product has {stored} bits for them")
