"""The tile plan: integers only, N axes.

            <- halo -><------------ core ------------><- halo ->
            |---------|-------------------------------|---------|   read window (start < 0: reflected)
                      |-------- owned pixels ---------|             core window; cores partition the scene

Every tile has one static shape, core + 2 halo. What lies outside the scene is its reflection, so the tiled
result equals the result of the whole scene under the same reflection.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, prod

import numpy as np
from numpy.typing import NDArray

from srcore.errors import PlanError

Window = tuple[slice, ...]


@dataclass(frozen=True)
class Tile:
    """One unit of work."""

    index: int
    core: Window
    """LR pixels that the tile owns, clipped to the scene."""
    read_start: tuple[int, ...]
    """First LR index of the read window on every axis; may be negative."""


@dataclass(frozen=True)
class TilePlan:
    """How a scene is cut."""

    shape: tuple[int, ...]
    """LR pixels of the scene."""
    core: tuple[int, ...]
    halo: tuple[int, ...]
    scale: tuple[int, ...]

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.core) == len(self.halo) == len(self.scale):
            raise PlanError("shape, core, halo and scale differ in axes", repr(self), "give one number for each axis")
        if min(self.core) < 1 or min(self.halo) < 0 or min(self.scale) < 1:
            raise PlanError(
                "a tile plan needs core >= 1, halo >= 0 and scale >= 1", repr(self), "correct the tile size"
            )

    @property
    def counts(self) -> tuple[int, ...]:
        """Tiles on every axis."""
        return tuple(ceil(n / c) for n, c in zip(self.shape, self.core, strict=True))

    def __len__(self) -> int:
        return prod(self.counts)

    def __iter__(self) -> Iterator[Tile]:
        return (self[index] for index in range(len(self)))

    def __getitem__(self, index: int) -> Tile:
        if not 0 <= index < len(self):
            raise IndexError(index)
        position = np.unravel_index(index, self.counts)
        start = tuple(int(p) * c for p, c in zip(position, self.core, strict=True))
        stop = tuple(min(s + c, n) for s, c, n in zip(start, self.core, self.shape, strict=True))
        return Tile(
            index,
            tuple(slice(a, b) for a, b in zip(start, stop, strict=True)),
            tuple(s - h for s, h in zip(start, self.halo, strict=True)),
        )

    @property
    def tile_shape(self) -> tuple[int, ...]:
        """core + 2 halo: the static shape of every tile as it is read."""
        return tuple(c + 2 * h for c, h in zip(self.core, self.halo, strict=True))

    @property
    def shape_hr(self) -> tuple[int, ...]:
        """SR pixels of the scene."""
        return tuple(n * s for n, s in zip(self.shape, self.scale, strict=True))

    @property
    def core_hr(self) -> tuple[int, ...]:
        """SR pixels of a whole core: the shape of an output shard."""
        return tuple(c * s for c, s in zip(self.core, self.scale, strict=True))

    @property
    def redundancy(self) -> float:
        """Pixels computed over pixels owned, (core + 2 halo) / core on every axis."""
        return prod(self.tile_shape) / prod(self.core)

    def window_hr(self, tile: Tile) -> Window:
        """SR pixels that the tile owns."""
        return tuple(slice(w.start * s, w.stop * s) for w, s in zip(tile.core, self.scale, strict=True))

    def within(self, window: Window) -> Iterator[Tile]:
        """The tiles whose cores reach into `window`, in their order."""
        ranges = (range(w.start // c, (w.stop - 1) // c + 1) for w, c in zip(window, self.core, strict=True))
        return (self[int(np.ravel_multi_index(position, self.counts))] for position in product(*ranges))

    def sources(self, tile: Tile) -> tuple[NDArray[np.intp], ...]:
        """For every axis, which scene index each pixel of the read window shows."""
        return tuple(
            reflect(np.arange(start, start + size), n)
            for start, size, n in zip(tile.read_start, self.tile_shape, self.shape, strict=True)
        )


def reflect(index: NDArray[np.integer], size: int) -> NDArray[np.intp]:
    """Indices of an endless axis folded into [0, size) by reflection about the outer pixel centres.

    The same rule as numpy's pad mode 'reflect', for any distance from the edge.
    """
    if size == 1:
        return np.zeros(len(index), np.intp)
    period = 2 * (size - 1)
    folded = np.mod(index, period)
    inside: NDArray[np.intp] = np.where(folded < size, folded, period - folded).astype(np.intp)
    return inside


AUTO_CORES = (512, 256)


AUTO_CORE_VOXELS = 64


def choose_core(
    shape: Sequence[int], halo: Sequence[int], scale: Sequence[int], tile: int | None, multiple: int = 1
) -> tuple[int, ...]:
    """The core of a plan: `tile` where it is given, else 512, or 256 when the scene would be few tiles.

    Rounded up to a `multiple` that the generator asks for. Axes that the generator does not couple (halo 0 and
    scale 1: slices of a volume) take 8 at a time; where it couples all three, a core is a cube of 64.
    """

    def flat(axis: int) -> bool:
        return halo[axis] == 0 and scale[axis] == 1 and len(shape) == 3

    if tile is not None:
        size = ceil(tile / multiple) * multiple
    elif len(shape) == 3 and not flat(0):
        size = AUTO_CORE_VOXELS
    else:
        enough = [c for c in AUTO_CORES if prod(ceil(n / c) for n in shape[-2:]) >= 8]
        size = enough[0] if enough else AUTO_CORES[-1]
    return tuple(min(8, shape[axis]) if flat(axis) else size for axis in range(len(shape)))
