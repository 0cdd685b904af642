"""Whether a product is, to the last bit, what was upscaled: read back from the disk and compared.

A file that was closed without an error need not be on the disk, and a COG cut to a twentieth still opens and passes a
layout check. So a product counts as written when `verify_cog` has read it back.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.overlap import side_by_side
from srcore.progress import Progress
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.assemble import FAILURES
from srcore.storage.cog.blocks import Encoded
from srcore.storage.cog.compare import check_opened, different, same_pixels
from srcore.storage.cog.levels import MASK, TiledLevel, encoded_tile
from srcore.storage.cog.product import Rect, block_rects
from srcore.storage.cog.product_file import ProductFile, product_levels
from srcore.storage.cog.pyramid import halve, overview
from srcore.storage.disk.files import store_error
from srcore.tiling import Tile


def verify_cog(path: Path, encoded: Encoded, progress: Progress | None = None) -> None:
    """Raise StoreError unless `path` is, to the last bit, the product that `write_cog` makes of the same image.

    The head must be the one that GDAL's tags and the tiles' sizes give; every tile must have the bytes of its chunk,
    and decode to the values that its marker vouches for; every overview is averaged again from what was decoded of
    the level beneath; GDAL must open the file and find all that the header says. So a changed bit is found wherever
    it is. `progress` gets (tiles of the plan done, in all); the overviews are a third more at most. Code
    VERIFY_FAILED; TILE_DAMAGED when it is the work store that is damaged.
    """
    try:
        with _opened(path, encoded) as file:
            file.walk()
            levels, tiles = product_levels(file, encoded.product), encoded.blocks.tiles
            check_opened(path, encoded.product, encoded.statistics, levels)
            check = partial(_check_tile, path, levels, encoded)
            for done, _ in enumerate(side_by_side(check, zip(tiles, encoded.crc32, strict=True)), 1):
                if progress is not None:
                    progress(done, len(tiles))
            for number in range(len(levels)):
                _check_rest(path, levels, number, encoded)
    except StoreError:
        raise
    except FAILURES as error:
        raise _unreadable(path, error) from error


@contextmanager
def _opened(path: Path, encoded: Encoded) -> Iterator[ProductFile]:
    images = encoded.images
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield ProductFile(path, descriptor, images)
    finally:
        os.close(descriptor)


def _unreadable(path: Path, error: BaseException) -> StoreError:
    full = store_error(path, error)
    if full.code == "DISK_FULL":
        return full
    do = "it is not published; look for a failing disk, and run again"
    what = f"{path.name} is not what was written: it cannot be read back"
    return StoreError(what, str(error), do, code="VERIFY_FAILED")


def _check_tile(path: Path, levels: Sequence[TiledLevel], encoded: Encoded, vouched: tuple[Tile, int]) -> None:
    """A tile of the plan: its bytes are the shard's, its values the vouched ones, its overview their average."""
    tile, crc32 = vouched
    full, product, rect = levels[0], encoded.product, Rect(*encoded.blocks.window("full", tile))
    bands = len(product.header.bands)
    _check_chunks(path, full, encoded.full, bands, rect)
    values = np.stack([full.band(band, rect) for band in range(product.count)])
    if zlib.crc32(values[:bands].data) != crc32:
        what = f"the SR at row {rect.rows.start}, column {rect.cols.start} is damaged in the scratch store"
        raise StoreError(what, "another checksum", "run again: what is damaged is done again", code="TILE_DAMAGED")
    if encoded.half is None:
        return
    coarse = Rect(*encoded.blocks.window("half", tile))
    _check_chunks(path, levels[1], encoded.half, product.count, coarse)
    mask = product.mask(rect) if product.is_masked else None
    reduced, reduced_mask = halve(values, mask, product.header)
    for band, expected in enumerate(reduced):
        same_pixels(path, levels[1].band(band, coarse), expected, coarse)
    if mask is not None:
        same_pixels(path, levels[1].mask(coarse), reduced_mask, coarse)


def _check_chunks(path: Path, level: TiledLevel, chunks: Shards, bands: int, rect: Rect) -> None:
    for band in range(bands):
        for row, col in rect.blocks(level.block):
            if level.held.tile(band, row, col) != chunks.chunk(band, row, col):
                raise different(path, "a tile differs from its chunk", f"band, row, column {band, row, col}")


def _check_rest(path: Path, levels: Sequence[TiledLevel], number: int, encoded: Encoded) -> None:
    """What no tile of the plan holds: the alpha band and the mask, and overviews, averaged again from the decoded
    level beneath. Encoded again, and compared as bytes."""
    level, block = levels[number], encoded.product.block
    for row, col, rect in block_rects(level.shape, block):
        for band, values in _expected(levels, number, rect, encoded).items():
            if level.held.tile(band, row, col) != encoded_tile(values, block):
                raise different(path, "a tile differs", f"level, band, row, column {number, band, row, col}")


def _expected(levels: Sequence[TiledLevel], number: int, rect: Rect, encoded: Encoded) -> dict[int, NDArray[Any]]:
    """What a block of a level holds that no tile of the plan vouches for, by band."""
    product, alpha = encoded.product, len(encoded.product.header.bands)
    bands: dict[int, NDArray[Any]] = {}
    if number == 0:
        bands = {} if product.alpha is None else {alpha: product.opacity(rect)}
        mask = product.mask(rect)
    elif number == 1 and encoded.half is not None:
        mask = levels[1].mask(rect) if product.is_masked else np.ones(rect.shape, bool)
    else:
        values, mask = overview(levels[number - 1], rect, product.header)
        bands = dict(enumerate(values))
    return {**bands, MASK: mask} if product.is_masked else bands
