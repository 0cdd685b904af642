"""How an image of a raster scene lies in the work store, so that its chunks are tiles of a product, encoded.

full     one shard a tile of the plan:  | block of band 1 | block of band 1 | ... | index |   = tiles of the image
half     the same of the first overview, averaged while the tile was in memory
quarter  the second one: pieces of blocks, which the export encodes
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from srcore.errors import PlanError
from srcore.radiometry import nearest
from srcore.storage.chunks.arrays import Form, StoredArray
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.layout import Image, plan_images
from srcore.storage.cog.model import model_tags
from srcore.storage.cog.product import Product, Stored
from srcore.storage.cog.pyramid import halve
from srcore.storage.cog.statistics import Statistics
from srcore.storage.header import Header
from srcore.tiling import Tile, TilePlan, Window

FACTORS = {"full": 1, "half": 2, "quarter": 4}
"""SR pixels on each side of a pixel of each array."""


@dataclass(frozen=True)
class Blocks:
    """The arrays of one image, and each tile's part of them."""

    header: Header
    """Of the image, on the LR grid."""
    tiles: TilePlan

    def arrays(self) -> dict[str, Form]:
        """The arrays that the image has, by what they hold: full, and half and quarter where tiles make their own.

        PlanError where cores cut blocks: no chunk of theirs could be a tile of the product.
        """
        block, shard = self.tiles.block, self._shard
        if any(size % block for size in shard):
            raise PlanError("a tile is no whole number of blocks", f"{shard} SR px of {block}", "plan the scene again")
        bands, dtype, shape = len(self.header.bands), self.header.dtype, self.tiles.shape_hr
        forms = {"full": Form((bands, *shape), dtype, (1, block, block), (bands, *shard), tiff=True)}
        count = bands + (self.header.alpha is not None)
        (height, width), (rows, cols) = shape, shard
        if self._is_halved:
            half = (count, height // 2, width // 2)
            forms["half"] = Form(half, dtype, (1, block, block), (count, rows // 2, cols // 2), tiff=True)
        if self._is_quartered:
            forms["quarter"] = Form((count, height // 4, width // 4), dtype, (count, rows // 4, cols // 4))
        return forms

    def parts(
        self, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None
    ) -> Mapping[str, NDArray[Any]]:
        """What a tile has to store in each array: of its SR `values` (C, y, x), and of its core's `valid` (C, y, x) and
        `alpha` (y, x) on the LR grid."""
        parts, scale = {"full": values}, self.tiles.scale
        if self._is_halved:
            image = values if alpha is None else np.concatenate([values, nearest(alpha[None], scale)])
            usable = np.logical_and.reduce(valid, axis=0) if self.header.nodata == "mask" else None
            mask = None if usable is None else nearest(usable[None], scale)[0]
            parts["half"], found = halve(image, mask, self.header)
            if self._is_quartered:
                # without a mask each band has its own nodata: where one has none, the others may well have some
                parts["quarter"], _ = halve(parts["half"], None if mask is None else found, self.header)
        return parts

    def statistics(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[Statistics, ...]:
        """Of each data band's usable pixels; arguments as of `parts`."""
        return tuple(map(Statistics.of, values, nearest(valid, self.tiles.scale)))

    def window(self, name: str, tile: Tile) -> Window:
        """Where a tile's part lies in the array `name`, without the axis of bands."""
        factor = FACTORS[name]
        return tuple(slice(axis.start // factor, axis.stop // factor) for axis in self.tiles.window_hr(tile))

    @property
    def _shard(self) -> tuple[int, int]:
        """SR pixels of a shard: those of a core; a core that is all of an axis is filled up to two whole blocks."""
        tiles, step = self.tiles, 2 * self.tiles.block
        rows, cols = (
            -(-core // step) * step if n == 1 else core for core, n in zip(tiles.core_hr, tiles.counts, strict=True)
        )
        return rows, cols

    @property
    def _is_halved(self) -> bool:
        """True when the first overview of a core is whole blocks of it, from pixels of this tile alone.

        Not for floats with a mask: whether an average exists depends on each value there, so that the overview's
        mask would be one more array to store.
        """
        shape, block = self.tiles.shape_hr, self.tiles.block
        exact = all(n % 2 == 0 for n in shape) and all(size % (2 * block) == 0 for size in self._shard)
        floating = np.dtype(self.header.dtype).kind == "f" and self.header.nodata == "mask"
        return exact and max(shape) > block and not floating

    @property
    def _is_quartered(self) -> bool:
        """True when the second one of a core, too, comes from pixels of this tile alone; it is no whole block."""
        shape = self.tiles.shape_hr
        return self._is_halved and all(n % 4 == 0 for n in shape) and max(shape) > 2 * self.tiles.block


@dataclass(frozen=True)
class Encoded:
    """An image that every tile has stored: what a product is assembled from."""

    blocks: Blocks
    full: Shards
    """Of the data bands."""
    half: Shards | None
    """Of the first overview, alpha included, where the tiles have stored it."""
    quarter: StoredArray | None
    """(count, y, x) of the second one."""
    valid: Stored
    """(C, Y, X) bool on the LR grid."""
    alpha: Stored | None
    """(Y, X) on the LR grid."""
    crc32: tuple[int, ...]
    """Of each tile of the plan: its values (C, y, x), as its marker vouches for them."""
    statistics: tuple[Statistics, ...]
    """Of the usable pixels of every data band."""

    @property
    def product(self) -> Product:
        """All that the product must show besides these pixels."""
        tiles = self.blocks.tiles
        return Product(self.blocks.header, cast("tuple[int, int]", tiles.scale), tiles.block, self.valid, self.alpha)

    @cached_property
    def images(self) -> tuple[Image, ...]:
        """The directories of the product: GDAL is asked once, for writing and for reading back."""
        return tuple(plan_images(self.product, model_tags(self.product, self.statistics)))
