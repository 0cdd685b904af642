"""An assembled product as it stands on the disk: where its tiles are, their bytes, and what is in them."""

from __future__ import annotations

import os
import struct
import zlib
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.storage.cog_check import different
from srcore.storage.cog_layout import FRAME, Image, Places, TileKey, head, order
from srcore.storage.pixels import BLOCK, ProductPixels, Window
from srcore.storage.predictor import decode_bits, decode_tile
from srcore.storage.pyramid import level_shapes

REMEMBERED_BYTES = 32 << 20
"""Decoded tiles that are kept: windows of an overview of odd size reach into the tiles beside."""


class ProductFile:
    """The product, open. Every byte of it is in its head or in a tile's frame, or it is refused."""

    def __init__(self, path: Path, descriptor: int, images: Sequence[Image]) -> None:
        self.path, self.images = path, images
        self._descriptor = descriptor
        self._places = Places(images)

    def walk(self) -> None:
        """Go from tile to tile by their sizes; StoreError unless they end where the file does, and the head fits."""
        blank = head(self.images, self._places)
        position = len(blank)
        for key in order(self.images):
            size = struct.unpack("<I", self._read(position, FRAME))[0]
            self._places.put(key, position + FRAME, size)
            position += size + 2 * FRAME
        found = os.fstat(self._descriptor).st_size
        if found != position:
            raise different(self.path, "its length differs", f"{found} bytes for {position}")
        if self._read(0, len(blank)) != head(self.images, self._places):
            raise different(self.path, "its directories differ", "other tags or places than belong there")

    def tile(self, key: TileKey) -> bytes:
        """The bytes of a tile; StoreError unless the last of them are repeated behind it."""
        offset, size = self._places.of(key)
        data = self._read(offset, size + FRAME)
        if data[-FRAME:] != data[-2 * FRAME : -FRAME]:
            raise different(self.path, "the bytes around a tile differ", f"at byte {offset + size}")
        return data[:-FRAME]

    def _read(self, start: int, size: int) -> bytes:
        data = os.pread(self._descriptor, size, start)
        if len(data) != size:
            raise different(self.path, "it is cut", f"{start + len(data)} bytes where {start + size} are needed")
        return data


class ProductLevel:
    """One level of the product, decoded as a reader of the file would."""

    def __init__(self, file: ProductFile, number: int, pixels: ProductPixels) -> None:
        self.file, self.count, self.dtype = file, pixels.count, np.dtype(pixels.header.dtype)
        height, width = [pixels.grid.shape, *level_shapes(pixels.grid.shape)][number]
        self.shape = (height, width)
        own = {image.mask: place for place, image in enumerate(file.images) if image.level == number}
        self.image, self.mask_image = own[False], own.get(True)
        self._decoded: OrderedDict[TileKey, NDArray[Any]] = OrderedDict()

    def values(self, window: Window) -> NDArray[Any]:
        """(count, y, x)"""
        return np.stack([self._window(self.image, band, window, self.dtype) for band in range(self.count)])

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) 0 or 255"""
        assert self.mask_image is not None, "a scene with a mask"
        return np.where(self._window(self.mask_image, 0, window, np.dtype(bool)), np.uint8(255), np.uint8(0))

    def _window(self, image: int, band: int, window: Window, dtype: np.dtype[Any]) -> NDArray[Any]:
        out = np.empty(window.shape, dtype)
        for row in range(window.rows.start // BLOCK, -(-window.rows.stop // BLOCK)):
            for col in range(window.cols.start // BLOCK, -(-window.cols.stop // BLOCK)):
                rows, cols = _overlap(window.rows, row), _overlap(window.cols, col)
                block = self._block(TileKey(image, band, row, col))
                out[rows[0], cols[0]] = block[rows[1], cols[1]]
        return out

    def _block(self, key: TileKey) -> NDArray[Any]:
        if key in self._decoded:
            self._decoded.move_to_end(key)
            return self._decoded[key]
        data, shape = self.file.tile(key), (BLOCK, BLOCK)
        try:
            masked = key.image == self.mask_image
            block = decode_bits(data, shape) if masked else decode_tile(data, self.dtype, shape)
        except (RuntimeError, ValueError, zlib.error) as error:
            raise different(self.file.path, "a tile is damaged", f"{key}: {error}") from error
        self._decoded[key] = block
        while len(self._decoded) * block.nbytes > REMEMBERED_BYTES:
            self._decoded.popitem(last=False)
        return block


def _overlap(span: slice, block: int) -> tuple[slice, slice]:
    """Where a block and a span meet: counted from the start of the span, and from the start of the block."""
    start, stop = max(span.start, block * BLOCK), min(span.stop, (block + 1) * BLOCK)
    return slice(start - span.start, stop - span.start), slice(start - block * BLOCK, stop - block * BLOCK)
