"""The tile plan: integers only, N axes.

            <- halo -><------------ core ------------><- halo ->
            |---------|-------------------------------|---------|   read window (start < 0: reflected)
                      |-------- owned pixels ---------|             core window; cores partition the scene

Every tile is stored in one static shape, core + 2 halo. What lies outside the scene is its reflection, so the tiled
result equals the result of the whole scene under the same reflection; more than a halo of it is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import ceil, gcd, prod

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
    multiple: tuple[int, ...] = ()
    """Of the generator's grid: cores are multiples of it, clipped ones are computed up to one. () is 1 everywhere."""

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
        """Pixels computed over pixels owned: every tile computes its core, clipped to the scene, and a halo around."""
        lengths = zip(self.shape, self.counts, self.halo, strict=True)
        return prod(n + 2 * h * count for n, count, h in lengths) / prod(self.shape)

    def clipped(self, tile: Tile, margin: Sequence[int]) -> Window:
        """Of an array (*core + 2 margin) of a tile: what the clipped core needs; what lies beyond the scene only where
        the generator's grid does."""
        multiple = self.multiple or (1,) * len(self.shape)
        sizes = (ceil((w.stop - w.start) / k) * k for w, k in zip(tile.core, multiple, strict=True))
        return tuple(slice(0, size + 2 * m) for size, m in zip(sizes, margin, strict=True))

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


BLOCK_HR = 512
"""SR pixels on each side of a block of the product; a shard of the SR is whole blocks."""
LARGEST_CORE = 1024
"""LR pixels: beyond it the halo costs less than 6 %, and a lost tile more than a minute of one core."""
SLICES = 8
"""Slices of a volume in a core, on an axis that the generator does not couple."""
VOXELS, LARGEST_CUBE = 32, 128
"""Step and largest side of a core where it does: a pass holds all of it at once."""


def choose_core(
    shape: Sequence[int],
    halo: Sequence[int],
    scale: Sequence[int],
    lanes: int,
    fits: Callable[[tuple[int, ...]], bool],
    multiple: int = 1,
) -> tuple[int, ...]:
    """The core with which `lanes` workers are done first, among those that `fits` says the memory allows.

    On the axes of a slice a core is a whole number of blocks of the product, or the whole axis, which has no
    neighbour; where the generator couples all axes of a volume, a multiple of VOXELS. `multiple` is the generator's
    own. Large cores compute less halo, small ones keep all workers busy to the end:

        |---------- 1024 ----------|76|       1100 px, two workers: one of them computes 5/6 of the scene
        |------- 768 -------|-- 332 --|       the same halo in all, and the three small tiles fill the other's time

    PlanError NO_MEMORY when the memory allows none.
    """
    axes = range(len(shape))
    coupled = len(shape) == 3 and not _is_flat(halo[0], scale[0])
    candidates = [_cores(shape[a], 1 if coupled else scale[a], multiple, coupled) for a in axes]
    if len(shape) == 3 and not coupled:
        candidates[0] = [min(SLICES, shape[0])]
    allowed = [core for core in product(*candidates) if fits(core)]
    if not allowed:
        smallest = min(product(*candidates), key=prod)
        raise PlanError(
            "not even the smallest tile fits in memory",
            f"a core of {smallest} px",
            "use fewer --workers, or a smaller --tile",
            code="NO_MEMORY",
        )
    return min(allowed, key=lambda core: (_makespan(shape, halo, core, lanes), -prod(core)))


def asked_core(
    shape: Sequence[int], halo: Sequence[int], scale: Sequence[int], tile: int, multiple: int = 1
) -> tuple[int, ...]:
    """The core that a user asks for: `tile`, rounded up to the generator's `multiple`, on all axes that it couples."""
    leading = len(shape) - 2
    tile = ceil(tile / multiple) * multiple
    return tuple(
        min(SLICES, shape[a]) if a < leading and _is_flat(halo[a], scale[a]) else tile for a in range(len(shape))
    )


def _is_flat(halo: int, scale: int) -> bool:
    """True of an axis on which the generator sees one slice at a time."""
    return halo == 0 and scale == 1


def _cores(size: int, scale: int, multiple: int, coupled: bool) -> list[int]:
    step = VOXELS if coupled else BLOCK_HR // gcd(BLOCK_HR, scale)
    step = ceil(step / multiple) * multiple
    most = max((LARGEST_CUBE if coupled else LARGEST_CORE) // step * step, step)
    whole = ceil(size / multiple) * multiple
    return [*range(step, min(size, most + 1), step), *([whole] if size <= most else [])]


def _makespan(shape: Sequence[int], halo: Sequence[int], core: Sequence[int], lanes: int) -> float:
    """Pixels, halo included, that the busiest of `lanes` workers computes, at best."""
    total = prod(n + 2 * h * ceil(n / c) for n, c, h in zip(shape, core, halo, strict=True))
    largest = prod(min(c, n) + 2 * h for n, c, h in zip(shape, core, halo, strict=True))
    return max(total / lanes, largest)
