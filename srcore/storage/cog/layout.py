"""Where everything lies in an assembled product: its head, byte for byte, and the order of its tiles.

    header | ghost text | image | mask | overview 1 | its mask | ... | tiles of the last overview | ... | of the image
                                                           a tile: its size, its bytes, their last four again

GDAL is the authority on every tag (`model`), but for sizes, places, and that each band has tiles of its own. Formats:
BigTIFF, and for the ghost text and the bytes around the tiles GDAL's documentation of the COG driver ("header ghost
area", "tile data leader and trailer").
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product as combinations

import numpy as np
from numpy.typing import NDArray

from srcore.storage.cog.model import Value
from srcore.storage.cog.product import Product
from srcore.storage.raster.directories import (
    HEIGHT,
    LONG,
    LONG8,
    MASK_BIT,
    OVERVIEW_BIT,
    PLANES,
    SEPARATE,
    SHORT,
    TILE_BYTE_COUNTS,
    TILE_HEIGHT,
    TILE_OFFSETS,
    TILE_WIDTH,
    TYPE_BYTES,
    WIDTH,
)

WORD = 8
"""Bytes of a number in a BigTIFF's directory, and what values are aligned to."""
HEADER = struct.pack("<2sHHHQ", b"II", 43, WORD, 0, 0)
FRAME = 4
"""Bytes before a tile that hold its size, and bytes behind it that repeat its last ones."""


@dataclass(frozen=True)
class Image:
    """One directory of the product."""

    level: int
    """0 the full resolution, then the overviews."""
    mask: bool
    tags: dict[int, Value]
    """But where the tiles lie."""
    counts: tuple[int, int, int]
    """Bands with tiles of their own, rows of tiles, columns of tiles."""


@dataclass(frozen=True)
class TileKey:
    """One tile of the product."""

    image: int
    """Place of its directory."""
    band: int
    row: int
    col: int


def plan_images(product: Product, model: Mapping[int, Mapping[int, Value]]) -> list[Image]:
    """The directories of the product in their order, from the tags of its `model`."""
    images, block = [], product.block
    for level, shape in enumerate(product.shapes):
        for mask in (False, True) if product.is_masked else (False,):
            planes = 1 if mask else product.count
            tags = {
                **model[OVERVIEW_BIT * (level > 0) + MASK_BIT * mask],
                HEIGHT: _long(shape[0]),
                WIDTH: _long(shape[1]),
                TILE_HEIGHT: _short(block),
                TILE_WIDTH: _short(block),
            }
            if planes > 1:
                tags[PLANES] = _short(SEPARATE)
            images.append(Image(level, mask, tags, (planes, -(-shape[0] // block), -(-shape[1] // block))))
    return images


def order(images: Sequence[Image]) -> Iterator[TileKey]:
    """The tiles as they lie in the file: the smallest overview first, band by band, row by row, the mask last.

    Where all bands share a tile, each tile of the mask follows its image's, as GDAL's readers may be told.
    """
    for level in range(images[-1].level, -1, -1):
        places = [place for place, image in enumerate(images) if image.level == level]
        spans = [[range(n) for n in images[place].counts] for place in places]
        if images[0].counts[0] > 1:
            yield from (TileKey(p, *key) for p, span in zip(places, spans, strict=True) for key in combinations(*span))
        else:
            yield from (TileKey(p, *key) for key in combinations(*spans[0]) for p in places)


class Places:
    """Where the tiles of every image lie: offset and size, in the order of TIFF's tile numbers."""

    def __init__(self, images: Sequence[Image]) -> None:
        self.spans: list[NDArray[np.uint64]] = [np.zeros((*image.counts, 2), np.uint64) for image in images]

    def put(self, key: TileKey, offset: int, size: int) -> None:
        """Note where a tile lies."""
        self.spans[key.image][key.band, key.row, key.col] = offset, size

    def of(self, key: TileKey) -> tuple[int, int]:
        """Offset and size of a tile."""
        offset, size = self.spans[key.image][key.band, key.row, key.col]
        return int(offset), int(size)


def head(images: Sequence[Image], places: Places) -> bytes:
    """All before the first tile. Its length does not depend on `places`."""
    masked, planar = any(image.mask for image in images), images[0].counts[0] > 1
    text = ghost_text(masked=masked, planar=planar)
    out = bytearray(HEADER + b"GDAL_STRUCTURAL_METADATA_SIZE=%06d bytes\n" % len(text) + text)
    out += bytes(len(out) % 2)
    out[8:16] = struct.pack("<Q", len(out))
    for number, (image, spans) in enumerate(zip(images, places.spans, strict=True)):
        tags = image.tags | {
            TILE_OFFSETS: Value(LONG8, spans[..., 0].size, spans[..., 0].astype("<u8").tobytes()),
            TILE_BYTE_COUNTS: Value(LONG, spans[..., 1].size, spans[..., 1].astype("<u4").tobytes()),
        }
        out += _directory(len(out), tags, last=number == len(images) - 1)
    return bytes(out)


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


def _directory(start: int, tags: dict[int, Value], *, last: bool) -> bytes:
    """A directory at byte `start` of the file, and its values behind it, the places of the tiles last."""
    place = _aligned(start + WORD + 20 * len(tags) + WORD)
    behind, fields = bytearray(), {}
    for tag in sorted(tags, key=lambda tag: (tag in (TILE_OFFSETS, TILE_BYTE_COUNTS), tag)):
        data = tags[tag].data
        assert len(data) == tags[tag].count * TYPE_BYTES[tags[tag].type], "a whole number of values"
        if len(data) <= WORD:
            fields[tag] = data.ljust(WORD, b"\0")
        else:
            fields[tag] = struct.pack("<Q", place + len(behind))
            behind += data.ljust(_aligned(len(data)), b"\0")
    entries = b"".join(struct.pack("<HHQ", tag, tags[tag].type, tags[tag].count) + fields[tag] for tag in sorted(tags))
    following = 0 if last else place + len(behind)
    body = struct.pack("<Q", len(tags)) + entries + struct.pack("<Q", following)
    return body.ljust(place - start, b"\0") + bytes(behind)


def _aligned(position: int) -> int:
    return -(-position // WORD) * WORD


def _short(number: int) -> Value:
    return Value(SHORT, 1, struct.pack("<H", number))


def _long(number: int) -> Value:
    return Value(LONG, 1, struct.pack("<I", number))
