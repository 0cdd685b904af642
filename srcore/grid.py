"""A grid: the shape of a scene, where it lies in the world, and the same ground at another scale.

affine: pixel CORNER to world.         LR pixel 0        LR pixel 1
                                    |----------------|----------------|
The corner of pixel 0 does not      ^ corner 0       ^ corner 1
move when pixels are divided:       |-------|--------|-------|--------|
                                     SR 0     SR 1     SR 2    SR 3
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError


@dataclass(frozen=True)
class Grid:
    """Shape, affine and CRS of a raster (Y, X) or a volume (Z, Y, X)."""

    shape: tuple[int, ...]
    """Pixels on every axis, in array order."""
    affine: tuple[tuple[float, ...], ...]
    """One row for each world coordinate (x, y[, z]): a column for each ARRAY axis, then the origin."""
    crs: str | None = None
    """WKT; None when the source has none."""

    def __post_init__(self) -> None:
        axes = len(self.shape)
        if axes not in (2, 3) or any(size < 1 for size in self.shape):
            raise GridError("the grid is empty or has an unusual number of axes", f"shape {self.shape}", "give 2 or 3")
        if len(self.affine) != axes or any(len(row) != axes + 1 for row in self.affine):
            raise GridError("the affine does not fit the shape", f"{self.affine} for {self.shape}", "give n x (n + 1)")

    @property
    def matrix(self) -> NDArray[np.float64]:
        """The affine as an array of shape (n, n + 1)."""
        return np.asarray(self.affine, np.float64)

    @property
    def gdal_affine(self) -> tuple[float, ...]:
        """GDAL's six numbers of a raster's affine: x of a column, x of a row, x of the corner, and the same of y."""
        (x_row, x_col, x), (y_row, y_col, y) = self.affine
        return x_col, x_row, x, y_col, y_row, y

    def scaled(self, scale: Sequence[int]) -> Grid:
        """The same ground in pixels divided by `scale` (one int for each axis)."""
        axes = len(self.shape)
        divided = tuple((*(row[axis] / scale[axis] for axis in range(axes)), row[axes]) for row in self.affine)
        return Grid(tuple(n * s for n, s in zip(self.shape, scale, strict=True)), divided, self.crs)

    def coarser(self, zoom: int) -> Grid:
        """The same ground in pixels `zoom` times as large on every axis, of which the shape is a multiple."""
        larger = tuple((*(step * zoom for step in row[:-1]), row[-1]) for row in self.affine)
        return Grid(tuple(n // zoom for n in self.shape), larger, self.crs)

    def part(self, start: Sequence[int], shape: Sequence[int]) -> Grid:
        """The pixels from `start` on, in that shape, where they lie."""
        origin = self.to_world(start)
        moved = tuple((*row[:-1], first) for row, first in zip(self.affine, origin, strict=True))
        return Grid(tuple(shape), moved, self.crs)

    def to_world(self, index: Sequence[float]) -> tuple[float, ...]:
        """World coordinates of an array index; whole numbers are pixel corners, halves are centres."""
        return tuple(float(v) for v in self.matrix @ np.array([*index, 1.0]))

    def bounds(self) -> tuple[float, ...]:
        """(min x, min y[, min z], max x, max y[, max z]) of all corners, also of a rotated grid."""
        corners = np.array([self.to_world(corner) for corner in product(*((0, n) for n in self.shape))])
        return tuple(float(v) for v in (*corners.min(axis=0), *corners.max(axis=0)))

    def spacing(self) -> tuple[float, ...]:
        """Size of a pixel along every array axis, in units of the CRS."""
        return tuple(float(v) for v in np.linalg.norm(self.matrix[:, :-1], axis=0))

    def to_json(self) -> dict[str, Any]:
        """Plain values, for a JSON document."""
        return {"shape": list(self.shape), "affine": [list(row) for row in self.affine], "crs": self.crs}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Grid:
        """The grid that `to_json` wrote."""
        return cls(tuple(value["shape"]), tuple(tuple(row) for row in value["affine"]), value["crs"])
