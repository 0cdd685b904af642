"""The images of an encoded product, full resolution and overviews: their values, and the bytes of each tile.

What the tiles' tasks did not store is averaged here, window by window from the level beneath, into arrays of the same
form in a folder that goes with the export.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.storage.arrays import Form, StoredArray, create_group
from srcore.storage.encoded import Encoded, padded
from srcore.storage.pixels import BLOCK, Stored, Window, tiles
from srcore.storage.predictor import encode_bits, encode_tile
from srcore.storage.pyramid import Level, level_shapes, overview
from srcore.storage.shards import Shards


class TiledLevel(Level, Protocol):
    """A level whose tiles are encoded."""

    def tile(self, band: int, row: int, col: int) -> bytes:
        """The bytes of a tile of a band (from 0; alpha is the last)."""


@dataclass(frozen=True)
class FullLevel:
    """The scene itself: data bands from the shards, alpha and mask from the LR grid."""

    encoded: Encoded

    @property
    def shape(self) -> tuple[int, int]:
        height, width = self.encoded.pixels.grid.shape
        return height, width

    def values(self, window: Window) -> NDArray[Any]:
        return self.encoded.pixels.data(window)

    def mask(self, window: Window) -> NDArray[np.uint8]:
        return self.encoded.pixels.mask(window)

    def tile(self, band: int, row: int, col: int) -> bytes:
        if band < len(self.encoded.pixels.header.bands):
            return self.encoded.chunks.chunk(band, row, col)
        return encode_tile(padded(self.encoded.pixels.opacity(block_window(self.shape, row, col))))


@dataclass(frozen=True)
class StoredLevel:
    """An overview whose bands, alpha included, are chunks."""

    stored: Stored
    chunks: Shards
    masks: Stored | None

    @property
    def shape(self) -> tuple[int, int]:
        _, height, width = self.stored.shape
        return height, width

    def values(self, window: Window) -> NDArray[Any]:
        return np.asarray(self.stored[:, window.rows, window.cols])

    def mask(self, window: Window) -> NDArray[np.uint8]:
        assert self.masks is not None, "a scene with a mask"
        return np.asarray(self.masks[window.rows, window.cols])

    def tile(self, band: int, row: int, col: int) -> bytes:
        return self.chunks.chunk(band, row, col)


def make_levels(folder: Path, encoded: Encoded) -> list[TiledLevel]:
    """All levels, the full resolution first. `folder`, empty, takes what is not yet in the work store."""
    levels: list[TiledLevel] = [FullLevel(encoded)]
    for number, shape in enumerate(level_shapes(encoded.pixels.grid.shape), 1):
        place = folder / f"{number}.zarr"
        if number == 1 and encoded.reduced is not None:
            masks = _store_masks(place, levels[0], shape) if encoded.pixels.header.nodata == "mask" else None
            levels.append(StoredLevel(encoded.reduced.values, encoded.reduced.chunks, masks))
        else:
            levels.append(_store_level(place, levels[-1], shape, encoded))
    return levels


def _store_level(place: Path, finer: Level, shape: tuple[int, int], encoded: Encoded) -> StoredLevel:
    pixels, masked = encoded.pixels, encoded.pixels.header.nodata == "mask"
    block = (pixels.count, BLOCK, BLOCK)
    forms = {"values": Form((pixels.count, *shape), pixels.header.dtype, (1, BLOCK, BLOCK), block, tiff=True)}
    if masked:
        forms["mask"] = Form(shape, "uint8", (BLOCK, BLOCK))
    create_group(place, forms)
    stored = StoredArray(place / "values", "the product")
    masks = StoredArray(place / "mask", "the product") if masked else None
    for window in tiles(shape, BLOCK):
        values, mask = overview(finer, window, pixels.header)
        stored.write((slice(None), window.rows, window.cols), values)
        if masks is not None:
            masks.write((window.rows, window.cols), mask)
    array = stored.open()
    return StoredLevel(array, Shards(array, stored.root), masks.open() if masks else None)


def _store_masks(place: Path, finer: Level, shape: tuple[int, int]) -> Stored:
    """The mask of a first overview whose values are stored: 255 where any of the four pixels beneath is usable."""
    create_group(place, {"mask": Form(shape, "uint8", (BLOCK, BLOCK))})
    masks = StoredArray(place / "mask", "the product")
    for window in tiles(shape, BLOCK):
        beneath = finer.mask(Window(*(slice(2 * axis.start, 2 * axis.stop) for axis in (window.rows, window.cols))))
        found = (beneath[0::2] | beneath[1::2])[:, 0::2] | (beneath[0::2] | beneath[1::2])[:, 1::2]
        masks.write((window.rows, window.cols), found)
    return masks.open()


def mask_tile(level: Level, row: int, col: int) -> bytes:
    """The bytes of a tile of a level's mask."""
    return encode_bits(padded(level.mask(block_window(level.shape, row, col)) > 0))


def block_window(shape: tuple[int, int], row: int, col: int) -> Window:
    """The pixels of a tile, cut at the end of the image."""
    top, left = row * BLOCK, col * BLOCK
    return Window(slice(top, min(top + BLOCK, shape[0])), slice(left, min(left + BLOCK, shape[1])))
