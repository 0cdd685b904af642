"""A tile's window of a scene: nodata filled, and the scene reflected beyond its edges."""

from __future__ import annotations

from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.radiometry import fill_invalid
from srcore.storage.scene import SceneReader
from srcore.tiling import Tile, TilePlan, Window


def cut(reader: SceneReader, tiles: TilePlan, tile: Tile) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """A tile (C, *core + 2 halo) with nodata filled and the scene reflected beyond its edges, and its validity.

    The window is read with a further margin, so that each filled pixel that a valid core pixel can see takes
    its value from the same neighbour as in the whole scene: an invalid pixel within `halo` of a valid one has
    its nearest valid pixel at most halo * sqrt(axes) away.
    """
    index = tiles.sources(tile)
    margin = [ceil(h * sqrt(len(tiles.halo))) for h in tiles.halo]
    window: Window = tuple(
        slice(max(0, int(i.min()) - m), min(n, int(i.max()) + 1 + m))
        for i, m, n in zip(index, margin, tiles.shape, strict=True)
    )
    values, valid = reader.read(window)
    values = fill_invalid(values, valid)
    relative = np.ix_(np.arange(len(values)), *(i - w.start for i, w in zip(index, window, strict=True)))
    return np.ascontiguousarray(values[relative]), valid[relative]
