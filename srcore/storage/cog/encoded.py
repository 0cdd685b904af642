"""An upscaled raster scene whose work store already holds the tiles of its product, encoded.

sr.zarr/sr        one shard a tile of the plan:  | 512 x 512 chunk of band 1 | ... | index |   = tiles of the image
sr.zarr/overview  the same of the first overview, averaged while the tile was in memory
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.storage.chunks.arrays import StoredArray
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.pixels import ProductPixels, Window
from srcore.storage.cog.statistics import Statistics
from srcore.storage.header import Header
from srcore.tiling import BLOCK_HR as BLOCK
from srcore.tiling import TilePlan


@dataclass(frozen=True)
class Vouched:
    """A tile of the plan: where it lies in the product, and what its marker says of it."""

    window: Window
    crc32: int
    """Of its values (C, y, x)."""


@dataclass(frozen=True)
class Encoded:
    """What the product is assembled from."""

    pixels: ProductPixels
    chunks: Shards
    """Of the data bands at full resolution."""
    reduced: Shards | None
    """Of the first overview, alpha included, where the tiles' tasks have stored it."""
    again: StoredArray | None
    """(count, y, x) of the second one, where they have stored that too: pieces of blocks, not yet tiles."""
    tiles: tuple[Vouched, ...]
    statistics: tuple[Statistics, ...]
    """Of the usable pixels of every data band."""


def is_encodable(header: Header, tiles: TilePlan) -> bool:
    """True when a chunk can be a tile of the product: a raster whose cores are whole numbers of blocks, or all."""
    return header.kind == "raster" and all(size % BLOCK == 0 for size in _whole(tiles))


def sr_shard(header: Header, tiles: TilePlan) -> tuple[int, ...]:
    """SR pixels of a shard: those of a core; a core that is all of an axis is filled up to whole blocks."""
    return _whole(tiles) if is_encodable(header, tiles) else tiles.core_hr


def _whole(tiles: TilePlan) -> tuple[int, ...]:
    step = 2 * BLOCK
    return tuple(
        -(-core // step) * step if n == 1 else core for core, n in zip(tiles.core_hr, tiles.counts, strict=True)
    )


def is_reduced_in_tiles(header: Header, tiles: TilePlan) -> bool:
    """True when the first overview of a tile's core is whole blocks of the overview, from pixels of this tile alone.

    Not for floats with a mask: whether an average exists depends on each value there, so that the overview's mask
    would be one more array to store.
    """
    exact = all(n % 2 == 0 for n in tiles.shape_hr) and all(size % (2 * BLOCK) == 0 for size in _whole(tiles))
    small = max(tiles.shape_hr) <= BLOCK
    floating = np.dtype(header.dtype).kind == "f" and header.nodata == "mask"
    return is_encodable(header, tiles) and exact and not small and not floating


def is_reduced_again(header: Header, tiles: TilePlan) -> bool:
    """True when the second overview of a core, too, comes from pixels of this tile alone; it is no whole block."""
    even = all(n % 4 == 0 for n in tiles.shape_hr)
    return is_reduced_in_tiles(header, tiles) and even and max(tiles.shape_hr) > 2 * BLOCK


def sr_chunk(header: Header, tiles: TilePlan) -> tuple[int, ...]:
    """Chunk of the array `sr`: a block of the product where it can be one."""
    if is_encodable(header, tiles):
        return 1, BLOCK, BLOCK
    return 1, *(_inner(size) for size in tiles.core_hr)


def _inner(size_hr: int) -> int:
    return gcd(size_hr, BLOCK) if size_hr > BLOCK and gcd(size_hr, BLOCK) >= BLOCK // 4 else size_hr


def padded(values: NDArray[Any]) -> NDArray[Any]:
    """A block (y, x) of the scene's edge as a whole tile: zeros, as Zarr's fill, where there is no scene."""
    if values.shape == (BLOCK, BLOCK):
        return values
    whole = np.zeros((BLOCK, BLOCK), values.dtype)
    whole[: values.shape[0], : values.shape[1]] = values
    return whole
