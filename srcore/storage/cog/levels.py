"""The images of an assembled product, full resolution and overviews: their tiles' bytes, and what those decode to."""

from __future__ import annotations

import os
import zlib
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import StoredArray
from srcore.storage.chunks.predictor import decode_bits, decode_tile, encode_bits, encode_tile
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.encoded import Encoded, padded
from srcore.storage.cog.pixels import ProductPixels, Window, tiles
from srcore.storage.cog.pyramid import level_shapes, overview
from srcore.tiling import BLOCK_HR as BLOCK

REMEMBERED_BYTES = 16 << 20
"""Decoded tiles that a level keeps: windows of an overview of odd size reach into the tiles beside."""


class Tiles(Protocol):
    """Something that holds the encoded tiles of an image."""

    def tile(self, band: int, row: int, col: int) -> bytes:
        """The bytes of a tile of a band (from 0; alpha is the last)."""

    def mask_tile(self, row: int, col: int) -> bytes:
        """The bytes of a tile of the mask; asked for where the scene has one."""


class TiledLevel:
    """A level of the product that reads its pixels from its tiles."""

    def __init__(self, shape: tuple[int, int], pixels: ProductPixels, held: Tiles) -> None:
        self.shape, self.count, self.held = shape, pixels.count, held
        self.dtype = np.dtype(pixels.header.dtype)
        self._decoded: OrderedDict[tuple[int, int, int], NDArray[Any]] = OrderedDict()

    def values(self, window: Window) -> NDArray[Any]:
        """(count, y, x) of the data bands and, where there is one, of the alpha band."""
        return self.bands(window, self.count)

    def bands(self, window: Window, count: int) -> NDArray[Any]:
        """(count, y, x) of the first bands."""
        out = np.empty((count, *window.shape), self.dtype)
        for band in range(count):
            self._fill(out[band], window, band, lambda *key: decode_tile(self.held.tile(*key), self.dtype))
        return out

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) 0 or 255"""
        out = np.empty(window.shape, bool)
        self._fill(out, window, -1, lambda _, row, col: decode_bits(self.held.mask_tile(row, col)))
        return np.where(out, np.uint8(255), np.uint8(0))

    def _fill(
        self, out: NDArray[Any], window: Window, band: int, decode: Callable[[int, int, int], NDArray[Any]]
    ) -> None:
        for row in range(window.rows.start // BLOCK, -(-window.rows.stop // BLOCK)):
            for col in range(window.cols.start // BLOCK, -(-window.cols.stop // BLOCK)):
                rows, cols = _overlap(window.rows, row), _overlap(window.cols, col)
                out[rows[0], cols[0]] = self._block((band, row, col), decode)[rows[1], cols[1]]

    def _block(self, key: tuple[int, int, int], decode: Callable[[int, int, int], NDArray[Any]]) -> NDArray[Any]:
        if key in self._decoded:
            self._decoded.move_to_end(key)
            return self._decoded[key]
        try:
            block = self._decoded[key] = decode(*key)
        except StoreError:
            raise
        except (RuntimeError, ValueError, zlib.error) as error:
            raise StoreError(
                f"tile {key} of an image is damaged", str(error), "run again", code="VERIFY_FAILED"
            ) from error
        while len(self._decoded) * block.nbytes > REMEMBERED_BYTES:
            self._decoded.popitem(last=False)
        return block


def _overlap(span: slice, block: int) -> tuple[slice, slice]:
    """Where a block and a span meet: counted from the start of the span, and from the start of the block."""
    start, stop = max(span.start, block * BLOCK), min(span.stop, (block + 1) * BLOCK)
    return slice(start - span.start, stop - span.start), slice(start - block * BLOCK, stop - block * BLOCK)


class FullLevel(TiledLevel):
    """The scene itself: data bands from the shards, alpha and mask from the LR grid."""

    def __init__(self, encoded: Encoded) -> None:
        self.pixels, self.chunks = encoded.pixels, encoded.chunks
        height, width = encoded.pixels.grid.shape
        super().__init__((height, width), encoded.pixels, self)

    def values(self, window: Window) -> NDArray[Any]:
        """As the base class says; alpha is not encoded to be decoded again."""
        data = self.bands(window, len(self.pixels.header.bands))
        return data if self.pixels.alpha is None else np.concatenate([data, self.pixels.opacity(window)[None]])

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) 0 or 255"""
        return self.pixels.mask(window)

    def tile(self, band: int, row: int, col: int) -> bytes:
        """A chunk of the store; of alpha, encoded here."""
        if band < len(self.pixels.header.bands):
            return self.chunks.chunk(band, row, col)
        return encode_tile(padded(self.pixels.opacity(block_window(self.shape, row, col))))

    def mask_tile(self, row: int, col: int) -> bytes:
        """Encoded here."""
        return encode_bits(padded(self.mask(block_window(self.shape, row, col)) > 0))


class _Spool:
    """The tiles of an overview: those that were not in the store when the export began lie in a file."""

    def __init__(self, file: BinaryIO, chunks: Shards | None) -> None:
        self._file, self._chunks = file, chunks
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}

    @property
    def is_stored(self) -> bool:
        """Its values are in the store; only a mask may be wanted here."""
        return self._chunks is not None

    def put(self, band: int, row: int, col: int, data: bytes) -> None:
        self._places[band, row, col] = self._file.seek(0, os.SEEK_END), len(data)
        self._file.write(data)

    def tile(self, band: int, row: int, col: int) -> bytes:
        if self._chunks is not None and band >= 0:
            return self._chunks.chunk(band, row, col)
        start, size = self._places[band, row, col]
        self._file.seek(start)
        return self._file.read(size)

    def mask_tile(self, row: int, col: int) -> bytes:
        return self.tile(-1, row, col)


def make_levels(spool: BinaryIO, encoded: Encoded) -> list[TiledLevel]:
    """All levels, the full resolution first. What is not yet in the work store goes to the end of the file `spool`."""
    levels: list[TiledLevel] = [FullLevel(encoded)]
    for shape in level_shapes(encoded.pixels.grid.shape):
        chunks = encoded.reduced if len(levels) == 1 else None
        again = encoded.again if len(levels) == 2 else None
        levels.append(_make_level(_Spool(spool, chunks), levels[-1], shape, encoded.pixels, again))
    return levels


def _make_level(
    held: _Spool, finer: TiledLevel, shape: tuple[int, int], pixels: ProductPixels, again: StoredArray | None
) -> TiledLevel:
    masked = pixels.header.nodata == "mask"
    for window in tiles(shape, BLOCK) if masked or not held.is_stored else ():
        row, col = window.rows.start // BLOCK, window.cols.start // BLOCK
        values: NDArray[Any] = np.empty((0, 0, 0))
        if held.is_stored or again is not None:
            values = values if again is None else again.read((slice(None), window.rows, window.cols))
            mask = _any_of_four(finer, window) if masked else None
        else:
            values, mask = overview(finer, window, pixels.header)
        for band, block in enumerate(values):
            held.put(band, row, col, encode_tile(padded(block)))
        if masked and mask is not None:
            held.put(-1, row, col, encode_bits(padded(mask > 0)))
    return TiledLevel(shape, pixels, held)


def _any_of_four(finer: TiledLevel, window: Window) -> NDArray[np.uint8]:
    """The mask of an overview whose values are stored, so of integers: 255 where any of the four beneath is usable."""
    beneath = finer.mask(Window(*(slice(2 * axis.start, 2 * axis.stop) for axis in (window.rows, window.cols))))
    rows = beneath[0::2] | beneath[1::2]
    found: NDArray[np.uint8] = rows[:, 0::2] | rows[:, 1::2]
    return found


def block_window(shape: tuple[int, int], row: int, col: int) -> Window:
    """The pixels of a tile, cut at the end of the image."""
    top, left = row * BLOCK, col * BLOCK
    return Window(slice(top, min(top + BLOCK, shape[0])), slice(left, min(left + BLOCK, shape[1])))
