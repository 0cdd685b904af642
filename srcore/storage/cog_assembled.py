"""Whether an assembled product is, to the last bit, what was upscaled: read back from the disk and compared."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import rasterio

from srcore.errors import StoreError
from srcore.storage.arrays import checksum
from srcore.storage.cog import GDAL_FAILURES, unreadable
from srcore.storage.cog_assemble import model_images
from srcore.storage.cog_check import check_layout, check_words, different, gdal_window, same_pixels
from srcore.storage.cog_form import product_env
from srcore.storage.cog_layout import TileKey
from srcore.storage.encoded import Encoded, Vouched, padded
from srcore.storage.files import hidden_folder
from srcore.storage.levels import FullLevel, block_window, mask_tile
from srcore.storage.pixels import BLOCK, Window, tiles
from srcore.storage.predictor import encode_bits, encode_tile
from srcore.storage.product_level import ProductFile, ProductLevel
from srcore.storage.pyramid import halve, level_shapes, overview

Progress = Callable[[int, int], None]


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
            shapes = level_shapes(encoded.pixels.grid.shape)
            levels = [ProductLevel(file, number, encoded.pixels) for number in range(len(shapes) + 1)]
            _ask_gdal(path, encoded, levels)
            for done, tile in enumerate(encoded.tiles, 1):
                _check_tile(levels, encoded, tile)
                if progress is not None:
                    progress(done, len(encoded.tiles))
            _check_full_extras(levels[0], encoded)
            for number in range(1, len(levels)):
                _check_overview(levels, number, encoded)
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


def _ask_gdal(path: Path, encoded: Encoded, levels: list[ProductLevel]) -> None:
    """A fresh open says all that the header says, and the first and the last block of each level are as decoded."""
    for number, level in enumerate(levels):
        options = {"OVERVIEW_LEVEL": number - 1} if number else {}
        with rasterio.open(path, driver="GTiff", **options) as product:
            if not number:
                check_layout(path, product, encoded.pixels, BLOCK)
                check_words(path, product, encoded.pixels, encoded.statistics)
            last = ((n - 1) // BLOCK for n in level.shape)
            for window in (block_window(level.shape, 0, 0), block_window(level.shape, *last)):
                same_pixels(path, product.read(window=gdal_window(window)), level.values(window), window)
                if level.mask_image is not None:
                    read = product.read_masks(1, window=gdal_window(window))
                    same_pixels(path, read, level.mask(window), window)


def _check_tile(levels: list[ProductLevel], encoded: Encoded, tile: Vouched) -> None:
    """A tile of the plan: its bytes are the shard's, its values the vouched ones, its overview their average."""
    full, window, path = levels[0], tile.window, levels[0].file.path
    bands = len(encoded.pixels.header.bands)
    for key in _keys(full.image, range(bands), window):
        if full.file.tile(key) != encoded.chunks.chunk(key.band, key.row, key.col):
            raise different(path, "a tile differs from its chunk", f"{key}")
    values = full.values(window)
    if checksum(values[:bands]) != tile.crc32:
        what = f"the SR at row {window.rows.start}, column {window.cols.start} is damaged in the scratch store"
        raise StoreError(what, "another checksum", "run again: what is damaged is done again", code="TILE_DAMAGED")
    if encoded.reduced is None:
        return
    coarse = Window(*(slice(axis.start // 2, axis.stop // 2) for axis in (window.rows, window.cols)))
    for key in _keys(levels[1].image, range(full.count), coarse):
        if full.file.tile(key) != encoded.reduced.chunks.chunk(key.band, key.row, key.col):
            raise different(path, "a tile of an overview differs from its chunk", f"{key}")
    mask = encoded.pixels.mask(window) if encoded.pixels.header.nodata == "mask" else None
    reduced, reduced_mask = halve(values, mask, encoded.pixels.header)
    same_pixels(path, levels[1].values(coarse), reduced, coarse)
    if mask is not None:
        same_pixels(path, levels[1].mask(coarse), reduced_mask, coarse)


def _keys(image: int, bands: range, window: Window) -> Iterator[TileKey]:
    for band in bands:
        for row in range(window.rows.start // BLOCK, -(-window.rows.stop // BLOCK)):
            for col in range(window.cols.start // BLOCK, -(-window.cols.stop // BLOCK)):
                yield TileKey(image, band, row, col)


def _check_full_extras(full: ProductLevel, encoded: Encoded) -> None:
    """The alpha band and the mask, which no shard holds."""
    truth, alpha = FullLevel(encoded), len(encoded.pixels.header.bands)
    for window in tiles(full.shape, BLOCK):
        row, col = window.rows.start // BLOCK, window.cols.start // BLOCK
        if encoded.pixels.alpha is not None:
            _same_bytes(full, TileKey(full.image, alpha, row, col), truth.tile(alpha, row, col))
        if full.mask_image is not None:
            _same_bytes(full, TileKey(full.mask_image, 0, row, col), mask_tile(truth, row, col))


def _check_overview(levels: list[ProductLevel], number: int, encoded: Encoded) -> None:
    """Average a level again from the decoded one beneath, and compare its tiles."""
    level, in_tiles = levels[number], number == 1 and encoded.reduced is not None
    for window in tiles(level.shape, BLOCK):
        row, col = window.rows.start // BLOCK, window.cols.start // BLOCK
        if in_tiles:  # its values are looked at tile by tile of the plan; the bytes of its mask are left
            if level.mask_image is not None:
                mask = level.mask(window)
                _same_bytes(level, TileKey(level.mask_image, 0, row, col), encode_bits(padded(mask > 0)))
            continue
        values, mask = overview(levels[number - 1], window, encoded.pixels.header)
        for band in range(level.count):
            _same_bytes(level, TileKey(level.image, band, row, col), encode_tile(padded(values[band])))
        if level.mask_image is not None:
            _same_bytes(level, TileKey(level.mask_image, 0, row, col), encode_bits(padded(mask > 0)))


def _same_bytes(level: ProductLevel, key: TileKey, expected: bytes) -> None:
    if level.file.tile(key) != expected:
        raise different(level.file.path, "a tile differs", f"{key}")
