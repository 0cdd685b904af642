"""The tile plan: integers only, N axes.

            <- halo -><------------ core ------------><- halo ->
            |---------|-------------------------------|---------|   read window (start < 0: reflected)
                      |-------- owned pixels ---------|             core window; cores partition the scene

Every tile is stored in one static shape, core + 2 halo. What lies outside the scene is its reflection, so the tiled
result equals the result of the whole scene under the same reflection; more than a halo of it is not computed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, gcd, lcm, prod

import numpy as np
from numpy.typing import NDArray

from srcore.errors import PlanError

Window = tuple[slice, ...]

BLOCK_HR = 512
"""SR pixels on each side of a block of the product: a tile of its TIFF, and a chunk of the work store. No option of the
user's, but a value of the plan: tests of tiny scenes cut them into smaller blocks."""
MOST_TILES = 2**20
"""Of a scene: what is known of its tiles stays in one record of 64 MiB, 50 bytes a tile. At 1,024 px it is a terapixel
of one band."""
TIFF_STEP = 16
"""TIFF's tiles are multiples of it."""


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
    block: int = BLOCK_HR
    """SR pixels on each side of a block of the product."""
    start: tuple[int, ...] = ()
    """Where the plan is of a window: its first LR pixel in the scene. What lies around it is real then."""
    scene: tuple[int, ...] = ()
    """LR pixels of the scene that it is a window of. () of both: the plan is of the whole scene."""
    mirrored: bool = False
    """Beyond the scene's edge its last pixel comes again, so that two grids that are nested stay so; else the
    reflection is about that pixel's centre."""

    def __post_init__(self) -> None:
        if not len(self.shape) == len(self.core) == len(self.halo) == len(self.scale):
            raise PlanError("shape, core, halo and scale differ in axes", repr(self), "give one number for each axis")
        if min(self.core) < 1 or min(self.halo) < 0 or min(self.scale) < 1:
            raise PlanError(
                "a tile plan needs core >= 1, halo >= 0 and scale >= 1", repr(self), "correct the tile size"
            )
        if self.block < 1 or self.block % TIFF_STEP:
            raise PlanError(f"a block is a multiple of {TIFF_STEP} px", f"{self.block}", "correct the block")

    @property
    def origin(self) -> tuple[int, ...]:
        """First LR pixel in the scene: 0 of a whole one."""
        return self.start or (0,) * len(self.shape)

    @property
    def scene_shape(self) -> tuple[int, ...]:
        """LR pixels of the scene, also where the plan is of a window."""
        return self.scene or self.shape

    def in_scene(self, window: Window) -> Window:
        """A window of the plan, in the pixels of the scene."""
        return tuple(slice(w.start + o, w.stop + o) for w, o in zip(window, self.origin, strict=True))

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
    def multiples(self) -> tuple[int, ...]:
        """`multiple`, a number for each axis."""
        return self.multiple or (1,) * len(self.shape)

    @property
    def computed(self) -> int:
        """Pixels that are computed: every tile computes its core, clipped to the scene, and a halo around."""
        lengths = zip(self.shape, self.counts, self.halo, strict=True)
        return prod(n + 2 * h * count for n, count, h in lengths)

    @property
    def redundancy(self) -> float:
        """Pixels computed over pixels owned."""
        return self.computed / prod(self.shape)

    def clipped(self, tile: Tile, margin: Sequence[int]) -> Window:
        """Of an array (*core + 2 margin) of a tile: what the clipped core needs; what lies beyond the scene only where
        the generator's grid does."""
        sizes = (ceil((w.stop - w.start) / k) * k for w, k in zip(tile.core, self.multiples, strict=True))
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
            reflect(np.arange(start + first, start + first + size), n, repeats=self.mirrored)
            for start, first, size, n in zip(
                tile.read_start, self.origin, self.tile_shape, self.scene_shape, strict=True
            )
        )


def refuse_too_many(tiles: TilePlan) -> None:
    """PlanError for more tiles than a scene may have: INGEST would write a record that nobody reads, behind hours."""
    if len(tiles) > MOST_TILES:
        found, do = f"{len(tiles):,}, at most {MOST_TILES:,}", "use a larger --tile, or cut the scene"
        raise PlanError("the scene has too many tiles", found, do)


def core_inside(tiles: TilePlan, tile: Tile) -> Window:
    """Of a tile (C, *core + 2 halo): what it owns of the scene."""
    return (
        slice(None),
        *(slice(h, h + w.stop - w.start) for h, w in zip(tiles.halo, tile.core, strict=True)),
    )


def reflect(index: NDArray[np.integer], size: int, *, repeats: bool = False) -> NDArray[np.intp]:
    """Indices of an endless axis folded into [0, size) by reflection about the outer pixel centres, or edges.

    The same rule as numpy's pad modes 'reflect', and where the outer pixel `repeats` 'symmetric', for any distance from
    the edge.
    """
    if repeats:
        turned = np.mod(index, 2 * size)
        back: NDArray[np.intp] = np.where(turned < size, turned, 2 * size - 1 - turned).astype(np.intp)
        return back
    if size == 1:
        return np.zeros(len(index), np.intp)
    period = 2 * (size - 1)
    folded = np.mod(index, period)
    inside: NDArray[np.intp] = np.where(folded < size, folded, period - folded).astype(np.intp)
    return inside


LARGEST_CORE = 1024
"""LR pixels: beyond it the halo costs less than 6 %, and a lost tile more than a minute of one core."""
SLICES = 8
"""Slices of a volume in a core, on an axis that the generator does not couple."""
VOXELS, LARGEST_CUBE = 32, 128
"""Step and largest side of a core where it does: a pass holds all of it at once."""


def chosen_tiles(whole: TilePlan, lanes: int, fits: Callable[[TilePlan], bool]) -> TilePlan:
    """`whole`, a scene as one tile, cut so that `lanes` workers are done first, among what `fits` in the memory.

    On the axes of a slice a core is a whole number of blocks of the product, or the whole axis, which has no
    neighbour; where the generator couples all axes of a volume, a multiple of VOXELS. Both are multiples of the
    generator's own.

        |---------- 1024 ----------|76|       1100 px, two workers: one of them computes 5/6 of the scene
        |------- 768 -------|-- 332 --|       the same halo in all, and the three small tiles fill the other's time

    Large cores compute less halo, small ones keep all workers busy to the end. PlanError NO_MEMORY when the memory
    allows none.
    """
    cuts = [replace(whole, core=core) for core in product(*(_cores(whole, axis) for axis in range(len(whole.shape))))]
    allowed = [tiles for tiles in cuts if fits(tiles)]
    if not allowed:
        smallest = min((tiles.core for tiles in cuts), key=prod)
        raise PlanError(
            "not even the smallest tile fits in memory",
            f"a core of {smallest} px",
            "use fewer --workers or --bands; for a volume, a smaller --tile",
            code="NO_MEMORY",
        )
    return min(allowed, key=lambda tiles: (makespan(tiles, lanes), -prod(tiles.core)))


def asked_tiles(whole: TilePlan, tile: int) -> TilePlan:
    """`whole`, a scene as one tile, cut as a user asks: cores of `tile` LR pixels on all axes that it is cut on.

    Rounded up: to the generator's multiple, and for a raster to whole blocks of the product, whose form must not depend
    on how a scene is cut. A core is no longer than its axis.
    """
    is_volume = len(whole.shape) == 3
    steps = [whole.multiples[axis] if is_volume else _step(whole, axis) for axis in range(len(whole.shape))]
    cores = (min(ceil(tile / step) * step, _whole_axis(whole, axis)) for axis, step in enumerate(steps))
    return replace(whole, core=tuple(_slices(whole) if _is_flat(whole, axis) else c for axis, c in enumerate(cores)))


def _is_flat(whole: TilePlan, axis: int) -> bool:
    """True of the axis across a volume's slices where the generator sees one slice at a time."""
    return len(whole.shape) == 3 and axis == 0 and whole.halo[0] == 0 and whole.scale[0] == 1


def _slices(whole: TilePlan) -> int:
    return min(SLICES, whole.shape[0])


def _whole_axis(whole: TilePlan, axis: int) -> int:
    """The core that is all of an axis."""
    return ceil(whole.shape[axis] / whole.multiples[axis]) * whole.multiples[axis]


def _step(whole: TilePlan, axis: int) -> int:
    """LR pixels of which cores on the axis of a slice are multiples: those of whole blocks and of the generator."""
    return lcm(whole.block // gcd(whole.block, whole.scale[axis]), whole.multiples[axis])


def _cores(whole: TilePlan, axis: int) -> list[int]:
    """What may be the core on an axis."""
    if _is_flat(whole, axis):
        return [_slices(whole)]
    is_cube = len(whole.shape) == 3 and not _is_flat(whole, 0)
    step = lcm(VOXELS, whole.multiples[axis]) if is_cube else _step(whole, axis)
    most = max((LARGEST_CUBE if is_cube else LARGEST_CORE) // step * step, step)
    size = whole.shape[axis]
    return [*range(step, min(size, most + 1), step), *([_whole_axis(whole, axis)] if size <= most else [])]


def makespan(tiles: TilePlan, lanes: int) -> float:
    """Pixels, halo included, that the busiest of `lanes` workers computes, at best."""
    largest = prod(min(c, n) + 2 * h for n, c, h in zip(tiles.shape, tiles.core, tiles.halo, strict=True))
    return max(tiles.computed / lanes, largest)
