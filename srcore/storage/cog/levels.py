"""The images of a product, full resolution and overviews: their tiles' bytes, and what those decode to."""

from __future__ import annotations

import os
import threading
import zlib
from collections import OrderedDict
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import StoredArray
from srcore.storage.chunks.predictor import decode_bits, decode_tile, encode_bits, encode_tile
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.blocks import Encoded
from srcore.storage.cog.product import Product, Rect, block_rect, block_rects
from srcore.storage.cog.pyramid import overview

REMEMBERED_BYTES = 16 << 20
"""Decoded tiles that a level keeps: windows of an overview of odd size reach into the tiles beside."""
MASK = -1
"""Stands for the mask where tiles are counted by band."""


class HeldTiles(Protocol):
    """Something that holds the encoded tiles of an image."""

    def tile(self, band: int, row: int, col: int) -> bytes:
        """The bytes of a tile of a band (from 0; alpha is the last), or of the MASK, where the scene has one."""


class TiledLevel:
    """A level of the product that reads its pixels from its tiles."""

    def __init__(self, shape: tuple[int, int], product: Product, held: HeldTiles) -> None:
        self.shape, self.held, self.block = shape, held, product.block
        self.dtype = np.dtype(product.header.dtype)
        self._decoded: OrderedDict[tuple[int, int, int], NDArray[Any]] = OrderedDict()
        self._remembering = threading.Lock()  # a product is read back by several threads

    def band(self, band: int, rect: Rect) -> NDArray[Any]:
        """(y, x) of a band; where there is an alpha band it is the last."""
        return self._read(np.empty(rect.shape, self.dtype), rect, band)

    def mask(self, rect: Rect) -> NDArray[np.bool_]:
        """(y, x) where the mask shows the bands."""
        return self._read(np.empty(rect.shape, bool), rect, MASK)

    def _read(self, out: NDArray[Any], rect: Rect, band: int) -> NDArray[Any]:
        for row, col in rect.blocks(self.block):
            (into_y, from_y), (into_x, from_x) = self._overlap(rect.rows, row), self._overlap(rect.cols, col)
            out[into_y, into_x] = self._tile(band, row, col)[from_y, from_x]
        return out

    def _overlap(self, span: slice, block: int) -> tuple[slice, slice]:
        """Where a block and a span meet: counted from the start of the span, and from the start of the block."""
        first, edge = block * self.block, self.block
        start, stop = max(span.start, first), min(span.stop, first + edge)
        return slice(start - span.start, stop - span.start), slice(start - first, stop - first)

    def _tile(self, *key: int) -> NDArray[Any]:
        band, row, col = key
        with self._remembering:
            if (band, row, col) in self._decoded:
                self._decoded.move_to_end((band, row, col))
                return self._decoded[band, row, col]
        data = self.held.tile(band, row, col)
        try:
            tile = decode_bits(data, self.block) if band == MASK else decode_tile(data, self.dtype, self.block)
        except (RuntimeError, ValueError, zlib.error) as error:
            raise StoreError(
                f"tile {key} of an image is damaged", str(error), "run again", code="VERIFY_FAILED"
            ) from error
        with self._remembering:
            self._decoded[band, row, col] = tile
            while len(self._decoded) * tile.nbytes > REMEMBERED_BYTES:
                self._decoded.popitem(last=False)
        return tile


class _Chunks:
    """The tiles that the store has of an image's bands."""

    def __init__(self, shards: Shards) -> None:
        self._shards = shards

    def tile(self, band: int, row: int, col: int) -> bytes:
        return self._shards.chunk(band, row, col)


class FullLevel(TiledLevel):
    """The scene itself: data bands from the shards, alpha and mask from the LR grid."""

    def __init__(self, encoded: Encoded) -> None:
        self.product, self.chunks = encoded.product, encoded.full
        super().__init__(encoded.product.shapes[0], encoded.product, self)

    def band(self, band: int, rect: Rect) -> NDArray[Any]:
        """As the base class says; alpha is not encoded to be decoded again."""
        return super().band(band, rect) if band < len(self.product.header.bands) else self.product.opacity(rect)

    def mask(self, rect: Rect) -> NDArray[np.bool_]:
        """As the base class says."""
        return self.product.mask(rect)

    def tile(self, band: int, row: int, col: int) -> bytes:
        """A chunk of the store; of alpha and mask, encoded here."""
        if 0 <= band < len(self.product.header.bands):
            return self.chunks.chunk(band, row, col)
        rect = block_rect(self.shape, self.block, row, col)
        return encoded_tile(self.mask(rect) if band == MASK else self.product.opacity(rect), self.block)


class Pixels:
    """The data bands (C, Y, X) of an image as an array that is asked for windows of a band, or for all: each tile is
    decoded once for windows that follow each other. With `half` they are the first overview's, where tiles have it."""

    def __init__(self, encoded: Encoded, *, half: bool = False) -> None:
        product = encoded.product
        self._level = (
            TiledLevel(product.shapes[1], product, _Chunks(encoded.half))
            if half and encoded.half
            else FullLevel(encoded)
        )
        self.shape = (len(encoded.product.header.bands), *self._level.shape)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        if key is Ellipsis:
            bands, height, width = self.shape
            return np.stack([self[band, slice(0, height), slice(0, width)] for band in range(bands)])
        band, rows, cols = key
        return self._level.band(band, Rect(rows, cols))


def encoded_tile(values: NDArray[Any], edge: int) -> bytes:
    """The bytes of a tile of numbers, or of a mask, (y, x); where the scene ends zeros fill it, as Zarr's fill does."""
    if values.shape != (edge, edge):
        whole = np.zeros((edge, edge), values.dtype)
        whole[: values.shape[0], : values.shape[1]] = values
        values = whole
    return encode_bits(values) if values.dtype == np.bool_ else encode_tile(values)


class _Spool:
    """The tiles of an overview: those that were not in the store when the export began lie in a file."""

    def __init__(self, file: BinaryIO, chunks: Shards | None) -> None:
        self._file, self._chunks = file, chunks
        self._places: dict[tuple[int, int, int], tuple[int, int]] = {}

    def put(self, key: tuple[int, int, int], data: bytes) -> None:
        self._places[key] = self._file.seek(0, os.SEEK_END), len(data)
        self._file.write(data)

    def tile(self, band: int, row: int, col: int) -> bytes:
        if self._chunks is not None and band != MASK:
            return self._chunks.chunk(band, row, col)
        start, size = self._places[band, row, col]
        self._file.seek(start)
        return self._file.read(size)


def make_levels(spool: BinaryIO, encoded: Encoded) -> list[TiledLevel]:
    """All levels, the full resolution first. What is not yet in the work store goes to the end of the file `spool`."""
    product = encoded.product
    levels: list[TiledLevel] = [FullLevel(encoded)]
    for number, shape in enumerate(product.shapes[1:], 1):
        held = _Spool(spool, encoded.half if number == 1 else None)
        for row, col, rect in block_rects(shape, product.block):
            values, mask = _missing(levels[-1], number, rect, encoded)
            for band, pixels in enumerate(values):
                held.put((band, row, col), encoded_tile(pixels, product.block))
            if product.is_masked:
                held.put((MASK, row, col), encoded_tile(mask, product.block))
        levels.append(TiledLevel(shape, product, held))
    return levels


def _missing(finer: TiledLevel, number: int, rect: Rect, encoded: Encoded) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The bands (n, y, x) of a block of overview `number` that are no tiles of the store yet, and its mask."""
    product = encoded.product
    stored = {1: encoded.half, 2: encoded.quarter}.get(number)
    if stored is None:
        return overview(finer, rect, product.header)
    mask = _any_of_four(finer, rect) if product.is_masked else np.ones(rect.shape, bool)
    if isinstance(stored, StoredArray):
        return stored.read((slice(None), rect.rows, rect.cols)), mask
    return np.empty((0, *rect.shape)), mask


def _any_of_four(finer: TiledLevel, rect: Rect) -> NDArray[np.bool_]:
    """The mask of an overview whose values are stored, so of integers: True where any of the four beneath is usable."""
    beneath = finer.mask(Rect(*(slice(2 * axis.start, 2 * axis.stop) for axis in (rect.rows, rect.cols))))
    rows = beneath[0::2] | beneath[1::2]
    found: NDArray[np.bool_] = rows[:, 0::2] | rows[:, 1::2]
    return found
