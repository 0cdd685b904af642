"""A tile's window of a scene: nodata filled, and the scene reflected beyond its edges."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.filters import DENOISE_PX, denoised
from srcore.radiometry import fill_invalid, quantise
from srcore.storage.scene import SceneReader
from srcore.tiling import Tile, TilePlan, Window


@dataclass(frozen=True)
class Cut:
    """A tile (C, *core + 2 halo), nodata filled and the scene reflected beyond its edges."""

    values: NDArray[Any]
    valid: NDArray[np.bool_]
    plain: NDArray[Any]
    """The values before they were denoised; the same where they were not."""
    raw: NDArray[Any]
    """Floats before nodata was filled: what NaN and Inf there are."""


def cut(reader: SceneReader, tiles: TilePlan, tile: Tile, noise: Sequence[float] = ()) -> Cut:
    """A tile of the scene, with noise of such a deviation per band in DN taken out; () or all 0: as it is.

    The window is read with a further margin, so that each filled pixel that a valid core pixel can see takes
    its value from the same neighbour as in the whole scene: an invalid pixel within `halo` of a valid one has
    its nearest valid pixel at most halo * sqrt(axes) away. What denoising sees is halo, too.
    """
    index, window = tiles.sources(tile), cut_window(tiles, tile, noise)
    stored, valid = reader.read(window)
    plain = _filled(stored, valid, tiles)
    values = quantise(denoised(plain, noise), plain.dtype) if any(noise) else plain
    relative = [i - w.start for i, w in zip(index, window, strict=True)]
    tile_plain = np.ascontiguousarray(_at(plain, relative))
    seen = _at(valid, relative)
    raw = _at(stored, relative) if stored.dtype.kind == "f" and not seen.all() else tile_plain
    return Cut(tile_plain if values is plain else np.ascontiguousarray(_at(values, relative)), seen, tile_plain, raw)


def _at(values: NDArray[Any], index: Sequence[NDArray[np.intp]]) -> NDArray[Any]:
    """(C, ...) at the places `index` along each axis; a slice where nothing is reflected: a third of the time."""
    for axis, places in enumerate(index, start=1):
        first, count = int(places[0]), len(places)
        straight = np.array_equal(places, np.arange(first, first + count))
        values = values[(slice(None),) * axis + (slice(first, first + count) if straight else places,)]
    return values


def cut_window(tiles: TilePlan, tile: Tile, noise: Sequence[float] = ()) -> Window:
    """What `cut` reads of the scene for a tile."""
    seen = [h + (DENOISE_PX if any(noise) and axis >= len(tiles.halo) - 2 else 0) for axis, h in enumerate(tiles.halo)]
    margin = [ceil(h * sqrt(len(seen))) for h in seen]
    return tuple(
        slice(max(0, int(i.min()) - m), min(n, int(i.max()) + 1 + m))
        for i, m, n in zip(tiles.sources(tile), margin, tiles.scene_shape, strict=True)
    )


def _filled(values: NDArray[Any], valid: NDArray[np.bool_], tiles: TilePlan) -> NDArray[Any]:
    """Nodata filled; slice by slice where a tile sees no slice but its own, whichever others lie in it."""
    if len(tiles.halo) < 3 or tiles.halo[0]:
        return fill_invalid(values, valid)
    planes = (-1, *values.shape[-2:])
    return fill_invalid(values.reshape(planes), valid.reshape(planes)).reshape(values.shape)
