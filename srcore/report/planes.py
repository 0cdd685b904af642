"""Planes: slices of a volume in three directions, before and after, as small pictures of one page.

Every slice of the SR is shown with the slice of the LR that it lies in, each of whose voxels is drawn as it is. The
volume comes once, tile by tile: memory does not grow with the number of its slices.

    axial        coronal      sagittal
      A            S            S
    R   L        R   L        A   P       as radiologists hang them
      P            I            I
"""

from __future__ import annotations

import io
from base64 import b64decode, b64encode
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from srcore.grid import Grid
from srcore.report.shades import Codes, Shade
from srcore.tiling import Window

SLICES = 24
"""Of a plane, at most."""
SIDE = 320
"""Cells of a picture along a side, at most."""
BYTES = 900_000
"""Of all pictures: with base64 a page of two megabytes has room for them and the rest."""
LADDER = ((1, 1, 80), (1, 1, 65), (2, 1, 65), (2, 2, 65), (2, 2, 45), (3, 4, 45), (3, 4, 25))
"""Every how many slices, pixels along a side, and quality of JPEG: the first that fits into BYTES is taken."""
BARS_MM = (0.001, 0.01, 0.1, 1, 2, 5, 10, 20, 50, 100, 200)
NAMES = {2: "Axial", 1: "Coronal", 0: "Sagittal"}
"""By the direction that slices are stacked in: x, y or z of the patient."""
SIDES = {2: ("A", "P", "R", "L"), 1: ("S", "I", "R", "L"), 0: ("S", "I", "A", "P")}
"""Top, bottom, left and right of a picture."""
ENDS = (("L", "R"), ("P", "A"), ("I", "S"))
"""Where x, y and z are below and above 0, in RAS+."""
OBLIQUE = 2.0
"""Degrees from the patient's axes above which a page says so."""


@dataclass(frozen=True)
class Slice:
    """One slice, before and after."""

    place: float
    """Of its middle along the plane's direction, as a share of the volume in the order of the pictures."""
    told: str
    """The same in mm, for people."""
    before: bytes
    """LR, JPEG of codes: every pixel a voxel, or some."""
    after: bytes
    """SR, the same."""


@dataclass(frozen=True)
class Plane:
    """Slices of one direction."""

    name: str
    letters: tuple[str, str, str, str]
    """Top, bottom, left and right."""
    size_mm: tuple[float, float]
    """Width and height."""
    bar_mm: float
    """Of a scale bar."""
    links: tuple[str, str]
    """Names of the planes whose slices stand upright in its pictures, and lie in them."""
    slices: tuple[Slice, ...]


@dataclass(frozen=True)
class Planes:
    """All that a page shows of a volume."""

    planes: tuple[Plane, ...]
    shades: tuple[Shade, ...]
    coarser: tuple[str, ...]
    """What the pictures leave out, in words."""
    degrees: float
    """Between the volume's axes and the patient's, where that is worth a word; else 0."""
    assumed: bool = False
    """True where no file says which side is which: letters are the usual ones then, with a question mark."""

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        plain: dict[str, Any] = _plain(asdict(self))
        return plain

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Planes:
        """What `to_json` gave."""
        planes = tuple(_plane(one) for one in value["planes"])
        shades = tuple(Shade(one["name"], one["told"], tuple(one["lights"])) for one in value["shades"])
        return cls(planes, shades, tuple(value["coarser"]), value["degrees"], value["assumed"])


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return b64encode(value).decode("ascii")
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


def _plane(value: dict[str, Any]) -> Plane:
    slices = tuple(
        Slice(one["place"], one["told"], b64decode(one["before"]), b64decode(one["after"])) for one in value["slices"]
    )
    letters, size, links = (tuple(value[name]) for name in ("letters", "size_mm", "links"))
    return Plane(**{**value, "letters": letters, "size_mm": size, "links": links, "slices": slices})


@dataclass(frozen=True)
class View:
    """How a plane lies in the array."""

    world: int
    """Direction of the patient that it is looked along."""
    axes: tuple[int, int, int]
    """Array axes: through it, down and along its pictures."""
    turned: tuple[bool, bool, bool]
    """Of each whether it is read backwards."""


def views(grid: Grid) -> tuple[tuple[View, ...], float]:
    """Axial, coronal and sagittal of a volume, by its affine; and degrees between its axes and the patient's."""
    matrix = grid.matrix[:, :3]
    unit = matrix / np.linalg.norm(matrix, axis=0)
    best = max(permutations(range(3)), key=lambda axes: sum(abs(unit[w, axes[w]]) for w in range(3)))
    forward = [bool(unit[world, best[world]] > 0) for world in range(3)]
    degrees = max(float(np.degrees(np.arccos(min(abs(unit[w, best[w]]), 1.0)))) for w in range(3))
    found = []
    for world, (down, along) in ((2, (1, 0)), (1, (2, 0)), (0, (2, 1))):
        # pictures go from A to P, from S to I and from R to L: against x, y and z; slices from feet to head
        turned = (not forward[world], forward[down], forward[along])
        found.append(View(world, (best[world], best[down], best[along]), turned))
    return tuple(found), degrees


class PlaneCollector:
    """`add` every tile in any order, then `planes`."""

    def __init__(self, grid: Grid, scale: Sequence[int], codes: Codes) -> None:
        self.grid, self.scale, self.codes = grid, tuple(scale), codes
        self.views, self.degrees = views(grid)
        hr = grid.scaled(self.scale).shape
        self.chosen = [_spread(hr[view.axes[0]]) for view in self.views]
        """Of each plane which slices of the SR."""
        self.after = [Stack(hr, view, at) for view, at in zip(self.views, self.chosen, strict=True)]
        near = [at // self.scale[view.axes[0]] for view, at in zip(self.views, self.chosen, strict=True)]
        self.before = [Stack(grid.shape, view, at) for view, at in zip(self.views, near, strict=True)]

    def add(self, core: Window, lr: NDArray[Any], sr: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """LR (Z, Y, X) and its validity of LR voxels `core`, and the SR of the same place."""
        fine = valid
        for axis, factor in enumerate(self.scale):
            fine = fine.repeat(factor, axis=axis) if factor > 1 else fine
        start = [one.start for one in core]
        for stack in self.before:
            stack.add(start, lr, valid, self.codes.least)
        start = [one * factor for one, factor in zip(start, self.scale, strict=True)]
        for stack in self.after:
            stack.add(start, sr, fine, self.codes.least)

    def planes(self) -> Planes:
        """The pictures."""
        before, after = ([self.codes.of(one.means()) for one in stacks] for stacks in (self.before, self.after))
        for every, smaller, quality in LADDER:
            kept = [np.arange(len(at))[(every - 1) // 2 :: every] for at in self.chosen]
            pictures = [
                [(_jpeg(a[i], 1, quality), _jpeg(b[i], smaller, quality)) for i in at]
                for a, b, at in zip(before, after, kept, strict=True)
            ]
            if sum(len(a) + len(b) for plane in pictures for a, b in plane) <= BYTES:
                break
        made = tuple(self._plane(place, kept[place], pictures[place]) for place in range(3))
        degrees = self.degrees if self.degrees > OBLIQUE else 0.0
        return Planes(made, self.codes.shades, self._coarser(kept, smaller), degrees)

    def _plane(self, place: int, kept: NDArray[np.intp], pictures: list[tuple[bytes, bytes]]) -> Plane:
        view, grid = self.views[place], self.grid
        _, down, along = view.axes
        sizes = [n * step for n, step in zip(grid.shape, grid.spacing(), strict=True)]
        slices = [
            Slice(*self._at(view, int(index)), before, after)
            for index, (before, after) in zip(self.chosen[place][kept], pictures, strict=True)
        ]
        bar = max((one for one in BARS_MM if one <= 0.4 * sizes[along]), default=BARS_MM[0])
        links = [NAMES[one.world] for axis in (along, down) for one in self.views if one.axes[0] == axis]
        ordered = tuple(reversed(slices)) if view.turned[0] else tuple(slices)
        size = (float(f"{sizes[along]:.6g}"), float(f"{sizes[down]:.6g}"))  # of a specimen less than 1 um may be a side
        return Plane(NAMES[view.world], SIDES[view.world], size, bar, (links[0], links[1]), ordered)

    def _at(self, view: View, index: int) -> tuple[float, str]:
        """Where a slice of the SR lies: its share of the volume, and mm on the patient's axis, in the middle of it."""
        axis, hr = view.axes[0], self.grid.scaled(self.scale)
        share = (index + 0.5) / hr.shape[axis]
        middle = [n / 2 for n in hr.shape]
        middle[axis] = index + 0.5
        mm = hr.to_world(middle)[view.world]
        return round(1 - share if view.turned[0] else share, 5), f"{ENDS[view.world][mm > 0]} {abs(mm):.1f} mm"

    def _coarser(self, kept: list[NDArray[np.intp]], smaller: int) -> tuple[str, ...]:
        """What is not shown of each plane."""
        hr, told = self.grid.scaled(self.scale).shape, []
        for view, at in zip(self.views, kept, strict=True):
            cells = max(hr[axis] / (_cells(hr[axis]) // smaller) for axis in view.axes[1:])
            shown = f"{len(at)} of {hr[view.axes[0]]} slices"
            told.append(f"{NAMES[view.world].lower()} {shown}" + (f", {cells:.1f} voxels a pixel" * (cells > 1)))
        return tuple(told)


def _spread(size: int) -> NDArray[np.intp]:
    """Indices of up to SLICES slices, spread evenly."""
    count = min(size, SLICES)
    return np.asarray((np.arange(count) + 0.5) * size / count, np.intp)


def _cells(size: int) -> int:
    """Into how many cells of whole voxels, alike but for one, an axis is cut."""
    return -(-size // -(-size // SIDE))


class Stack:
    """Chosen slices of one plane of an array, in cells that are means of voxels."""

    def __init__(self, shape: Sequence[int], view: View, at: NDArray[np.intp]) -> None:
        self.view, self.at = view, at
        down, along = (shape[axis] for axis in view.axes[1:])
        self.edges = [np.arange(_cells(n) + 1) * n // _cells(n) for n in (down, along)]
        self.sums = np.zeros((len(at), *(len(one) - 1 for one in self.edges)), np.float32)

    def add(self, start: Sequence[int], values: NDArray[Any], valid: NDArray[np.bool_], nothing: float) -> None:
        """Values of a window that starts there; `nothing` stands where none is valid."""
        through, down, along = self.view.axes
        inside = np.flatnonzero((self.at >= start[through]) & (self.at < start[through] + values.shape[through]))
        for place in inside:
            plane = (slice(None),) * through + (int(self.at[place]) - start[through],)
            shown = np.where(valid[plane], np.nan_to_num(values[plane].astype(np.float32)), np.float32(nothing))
            shown = shown if down < along else shown.T
            cells = self._by_cell(shown, start[down], 0)
            cells = self._by_cell(cells.T, start[along], 1).T
            rows, columns = (
                np.searchsorted(e, start[a], "right") - 1 for e, a in zip(self.edges, (down, along), strict=True)
            )
            self.sums[place, rows : rows + cells.shape[0], columns : columns + cells.shape[1]] += cells

    def _by_cell(self, values: NDArray[np.float32], start: int, axis: int) -> NDArray[np.float32]:
        """Sums over the cells that its rows lie in."""
        edges = self.edges[axis]
        first = np.searchsorted(edges, start, "right") - 1
        last = np.searchsorted(edges, start + len(values), "left")
        return np.add.reduceat(values, np.maximum(edges[first:last] - start, 0), axis=0)

    def means(self) -> NDArray[np.float32]:
        """(slices, down, along), as the picture hangs."""
        rows, columns = (np.diff(one).astype(np.float32) for one in self.edges)
        found = self.sums / (rows[:, None] * columns[None])
        _, down, along = self.view.turned
        return np.asarray(found[:, :: -1 if down else 1, :: -1 if along else 1])


def _jpeg(codes: NDArray[np.uint8], smaller: int, quality: int) -> bytes:
    image = Image.fromarray(np.ascontiguousarray(codes))
    if smaller > 1:
        image = image.resize([max(1, n // smaller) for n in image.size], Image.Resampling.BOX)
    image.save(made := io.BytesIO(), "JPEG", quality=quality)
    return made.getvalue()
