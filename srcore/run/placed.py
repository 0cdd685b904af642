"""Where the pixels of a DataArray lie, and the same ground in the pixels of its SR.

Coordinates say where pixels have their centres, a transform where the first has its corner. Both are read, and the SR
says it as its source did. A CRS is not looked at: it holds for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from affine import Affine
from numpy.typing import NDArray

from srcore.errors import GridError
from srcore.grid import Grid

if TYPE_CHECKING:
    from xarray import DataArray

UNEVEN_PX = 0.01
"""By so much a coordinate may lie off its place; what its dtype rounds comes on top."""
SAME_PX = 1e-3
"""By so much, over the whole scene, coordinates may differ from a transform that they stand beside."""

Line = tuple[float, float]
"""Along one axis: the corner of the first pixel, and the size of a pixel."""


@dataclass(frozen=True)
class Place:
    """The grid of a DataArray, and how it is told."""

    y: str
    x: str
    grid: Grid
    coordinates: tuple[str, ...]
    """Which of y and x have coordinates."""
    mapping: str
    """The coordinate that holds the CRS, and maybe a transform and ground control points."""
    scale: tuple[int, ...] = (1, 1)
    """Of these pixels to those of the source."""

    def scaled(self, scale: Sequence[int]) -> Place:
        """The same ground in pixels divided by `scale` (rows, columns)."""
        return replace(self, grid=self.grid.scaled(scale), scale=tuple(scale))

    @property
    def affine(self) -> Affine:
        """Corner (column, row) to world."""
        (x_row, x_col, x), (y_row, y_col, y) = self.grid.affine
        return Affine(x_col, x_row, x, y_col, y_row, y)

    def centres(self, dim: str) -> NDArray[np.float64]:
        """Coordinates of the rows or the columns, on a grid that is not turned."""
        axis = 0 if dim == self.y else 1
        line = self.grid.affine[1 - axis]
        return np.asarray(line[2] + line[axis] * (np.arange(self.grid.shape[axis]) + 0.5))


def find_place(source: DataArray, y: str, x: str) -> Place:
    """The place of a DataArray with rows `y` and columns `x`; pixels are counted where it says nothing.

    GridError where its coordinates are not evenly spaced, or leave the size of a pixel open.
    """
    mapping = str(source.rio.grid_mapping)
    told = _transform(source, mapping)
    if told is not None and (told.b or told.d):
        return Place(y, x, _grid(source, y, x, told), (), mapping)
    there = tuple(dim for dim in (y, x) if dim in source.coords and source[dim].dtype.kind in "iuf")
    origin = told or Affine.identity()
    rows = _line(source, y, (origin.f, origin.e), told is not None) if y in there else (origin.f, origin.e)
    cols = _line(source, x, (origin.c, origin.a), told is not None) if x in there else (origin.c, origin.a)
    return Place(y, x, _grid(source, y, x, Affine(cols[1], 0, cols[0], 0, rows[1], rows[0])), there, mapping)


def _grid(source: DataArray, y: str, x: str, affine: Affine) -> Grid:
    t = affine
    return Grid((source.sizes[y], source.sizes[x]), ((t.b, t.a, t.c), (t.e, t.d, t.f)))


def _transform(source: DataArray, mapping: str) -> Affine | None:
    """What stands beside the CRS; stale where the array was cut since, which coordinates tell."""
    text = source.coords[mapping].attrs.get("GeoTransform") if mapping in source.coords else None
    return None if text is None else Affine.from_gdal(*(float(number) for number in str(text).split()))


def _line(source: DataArray, dim: str, told: Line, is_told: bool) -> Line:
    """The line that the coordinates of `dim` lie on; the one that is `told`, to the last bit, where they lie on it."""
    centres = source[dim].values.astype(np.float64)
    count = len(centres)
    step = (centres[-1] - centres[0]) / (count - 1) if count > 1 else told[1] * is_told
    if step == 0 or not np.isfinite(step):
        found = f"{count} of them, from {centres[0]:g} to {centres[-1]:g}"
        raise GridError(f"the coordinates {dim} leave the size of a pixel open", found, "write a transform beside them")
    line = (float(centres[0] - step / 2), float(step))
    index, rounding = np.arange(count) + 0.5, float(np.spacing(np.abs(source[dim].values).max() + 0.0))
    if np.abs(centres - line[0] - step * index).max() > UNEVEN_PX * abs(step) + rounding:
        raise GridError(f"the coordinates {dim} are not evenly spaced", "", "interpolate the array to even ones first")
    same = np.abs(centres - told[0] - told[1] * index).max() <= SAME_PX * abs(step)
    return told if is_told and same else line


def lost_coordinates(source: DataArray, place: Place) -> list[str]:
    """Coordinates of single pixels that say more than where they lie: there are none for the SR."""
    return [
        str(name)
        for name, coordinate in source.coords.items()
        if {place.y, place.x} & set(coordinate.dims) and name not in place.coordinates
    ]


def placed(source: DataArray, values: Any, dims: Sequence[str], place: Place, attrs: dict[Any, Any]) -> DataArray:
    """`values` with dimensions `dims` at `place`, `source`'s own or scaled, with all of `source` that holds there."""
    from xarray import DataArray

    others = source.drop_vars([*lost_coordinates(source, place), *place.coordinates]).coords
    result = DataArray(values, others, dims, source.name, attrs)
    for dim in place.coordinates:
        result = result.assign_coords({dim: (dim, place.centres(dim), source[dim].attrs)})
    if place.mapping not in others:
        return result
    mapping = others[place.mapping]
    if "GeoTransform" in mapping.attrs:
        result = result.rio.write_transform(place.affine, grid_mapping_name=place.mapping)
    if "gcps" in mapping.attrs:
        result = _with_control_points(source, result, place)
    return result


def _with_control_points(source: DataArray, result: DataArray, place: Place) -> DataArray:
    """The ground control points of `source` in the pixels of the result."""
    (rows, cols), crs = place.scale, source.rio.crs
    points = [type(p)(p.row * rows, p.col * cols, p.x, p.y, p.z, p.id, p.info) for p in source.rio.get_gcps()]
    found: DataArray = result.rio.write_gcps(points, crs, grid_mapping_name=place.mapping)
    return found
