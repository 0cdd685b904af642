"""Whether an assembled product is, to the last bit, what was upscaled: read back from the disk and compared."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.progress import Progress
from srcore.storage.chunks.arrays import checksum
from srcore.storage.chunks.predictor import encode_bits, encode_tile
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.assemble import model_images
from srcore.storage.cog.compare import check_layout, check_words, different, gdal_window, same_pixels
from srcore.storage.cog.encoded import Encoded, Vouched, padded
from srcore.storage.cog.levels import TiledLevel, block_window
from srcore.storage.cog.pixels import Window, tiles
from srcore.storage.cog.product import GDAL_FAILURES, unreadable
from srcore.storage.cog.product_tiles import ProductFile, product_levels
from srcore.storage.cog.profile import product_env
from srcore.storage.cog.pyramid import halve, overview
from srcore.storage.disk.files import hidden_folder
from srcore.tiling import BLOCK_HR as BLOCK


def verify_assembled(path: Path, encoded: Encoded, progress: Progress | None = None) -> None:
    """Raise StoreError unless `path` is, to the last bit, the product that `assemble_cog` makes of the same scene.

    The head must be the one that GDAL's tags and the tiles' sizes give; every tile must have the bytes of its chunk,
    and decode to the values that its marker vouches for; every overview is averaged again from what was decoded of
    the level beneath; GDAL must open the file and find all that the header says. So a changed bit is found wherever
    it is. `progress` gets (tiles of the plan done, in all); the overviews are a third more at most. Code
    VERIFY_FAILED; TILE_DAMAGED when it is the work store that is damaged; DISK_FULL when nothing is free.
    """
    try:
        with product_env(encoded.pixels), _opened(path, encoded) as file:
            file.walk()
            levels = product_levels(file, encoded.pixels)
            _ask_gdal(path, encoded, levels)
            for done, tile in enumerate(encoded.tiles, 1):
                _check_tile(path, levels, encoded, tile)
                if progress is not None:
                    progress(done, len(encoded.tiles))
            for number in range(len(levels)):
                _check_rest(path, levels, number, encoded)
    except StoreError:
        raise
    except GDAL_FAILURES as error:
        raise unreadable(path, error) from error


@contextmanager
def _opened(path: Path, encoded: Encoded) -> Iterator[ProductFile]:
    with hidden_folder(path) as folder:
        images = model_images(folder, encoded)
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield ProductFile(path, descriptor, images)
    finally:
        os.close(descriptor)


def _ask_gdal(path: Path, encoded: Encoded, levels: Sequence[TiledLevel]) -> None:
    """A fresh open says all that the header says, and the first and the last block of each level are as decoded."""
    for number, level in enumerate(levels):
        options = {"OVERVIEW_LEVEL": number - 1} if number else {}
        with rasterio.open(path, driver="GTiff", **options) as opened:
            if not number:
                check_layout(path, opened, encoded.pixels, BLOCK)
                check_words(path, opened, encoded.pixels, encoded.statistics)
            last = ((n - 1) // BLOCK for n in level.shape)
            for window in (block_window(level.shape, 0, 0), block_window(level.shape, *last)):
                same_pixels(path, opened.read(window=gdal_window(window)), level.values(window), window)
                if encoded.pixels.header.nodata == "mask":
                    read = opened.read_masks(1, window=gdal_window(window))
                    same_pixels(path, read, level.mask(window), window)


def _check_tile(path: Path, levels: Sequence[TiledLevel], encoded: Encoded, tile: Vouched) -> None:
    """A tile of the plan: its bytes are the shard's, its values the vouched ones, its overview their average."""
    full, window, header = levels[0], tile.window, encoded.pixels.header
    _check_chunks(path, full, encoded.chunks, range(len(header.bands)), window)
    values = full.values(window)
    if checksum(values[: len(header.bands)]) != tile.crc32:
        what = f"the SR at row {window.rows.start}, column {window.cols.start} is damaged in the scratch store"
        raise StoreError(what, "another checksum", "run again: what is damaged is done again", code="TILE_DAMAGED")
    if encoded.reduced is None:
        return
    coarse = Window(*(slice(axis.start // 2, axis.stop // 2) for axis in (window.rows, window.cols)))
    _check_chunks(path, levels[1], encoded.reduced, range(full.count), coarse)
    mask = encoded.pixels.mask(window) if header.nodata == "mask" else None
    reduced, reduced_mask = halve(values, mask, header)
    same_pixels(path, levels[1].values(coarse), reduced, coarse)
    if mask is not None:
        same_pixels(path, levels[1].mask(coarse), reduced_mask, coarse)


def _check_chunks(path: Path, level: TiledLevel, chunks: Shards, bands: range, window: Window) -> None:
    rows, cols = (range(axis.start // BLOCK, -(-axis.stop // BLOCK)) for axis in (window.rows, window.cols))
    for key in product(bands, rows, cols):
        if level.held.tile(*key) != chunks.chunk(*key):
            raise different(path, "a tile differs from its chunk", f"band, row, column {key}")


def _check_rest(path: Path, levels: Sequence[TiledLevel], number: int, encoded: Encoded) -> None:
    """What no tile of the plan holds: the alpha band and the mask, and overviews, averaged again from the decoded
    level beneath. Encoded again, and compared as bytes."""
    level, pixels, alpha = levels[number], encoded.pixels, len(encoded.pixels.header.bands)
    for window in tiles(level.shape, BLOCK):
        row, col = window.rows.start // BLOCK, window.cols.start // BLOCK
        bands: dict[int, NDArray[Any]] = {}
        mask: NDArray[np.uint8] | None = None
        if number == 0:
            bands = {} if pixels.alpha is None else {alpha: pixels.opacity(window)}
            mask = pixels.mask(window) if pixels.header.nodata == "mask" else None
        elif number == 1 and encoded.reduced is not None:
            mask = level.mask(window) if pixels.header.nodata == "mask" else None
        else:
            values, mask = overview(levels[number - 1], window, pixels.header)
            bands = dict(enumerate(values))
        for band, block in bands.items():
            _same_bytes(path, (number, band, row, col), level.held.tile(band, row, col), encode_tile(padded(block)))
        if mask is not None and pixels.header.nodata == "mask":
            found = level.held.mask_tile(row, col)
            _same_bytes(path, (number, -1, row, col), found, encode_bits(padded(mask > 0)))


def _same_bytes(path: Path, place: tuple[int, ...], found: bytes, expected: bytes) -> None:
    if found != expected:
        raise different(path, "a tile differs", f"level, band, row, column {place}")
