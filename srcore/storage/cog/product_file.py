"""An assembled product as it stands on the disk: where its tiles are, their bytes, and what is in them."""

from __future__ import annotations

import os
import struct
from collections.abc import Sequence
from pathlib import Path

from srcore.storage.cog.compare import different
from srcore.storage.cog.layout import FRAME, Image, Places, TileKey, head, order
from srcore.storage.cog.levels import MASK, TiledLevel
from srcore.storage.cog.product import Product


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


class ProductTiles:
    """The tiles of one level of the product."""

    def __init__(self, file: ProductFile, number: int) -> None:
        self.file = file
        own = {image.mask: place for place, image in enumerate(file.images) if image.level == number}
        self._image, self._mask = own[False], own.get(True, -1)

    def tile(self, band: int, row: int, col: int) -> bytes:
        """The bytes of a tile of a band (from 0; alpha is the last) or of the MASK."""
        return self.file.tile(
            TileKey(self._mask, 0, row, col) if band == MASK else TileKey(self._image, band, row, col)
        )


def product_levels(file: ProductFile, product: Product) -> list[TiledLevel]:
    """The levels of the product, the full resolution first, decoded as a reader of the file would."""
    return [TiledLevel(shape, product, ProductTiles(file, number)) for number, shape in enumerate(product.shapes)]
