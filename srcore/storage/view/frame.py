"""In which square of tiles a product lies, and where in it.

globe   affine and CRS of the product --> metres of Web Mercator --> the square of the web's maps
pixels  no CRS, or one without a place there: pixels of the product --> a square of their own
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rasterio.crs import CRS
from rasterio.transform import Affine, array_bounds, from_gcps
from rasterio.warp import transform_bounds

from srcore.storage.raster.gdal import GDAL_ERRORS

TILE_PX = 256
MAX_LEVEL = 24
"""Of the web's maps: 1 cm a pixel."""
HALF_M = math.pi * 6378137
"""From the middle of Web Mercator to its edge."""
WIDEST = 0.5
"""Of the square: what looks wider crosses 180 degrees."""
DENSE = 21
"""Points along an edge that is bent on the way."""
WEB = CRS.from_epsg(3857)

Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True)
class Place:
    """A tile."""

    level: int
    column: int
    row: int

    @property
    def exists(self) -> bool:
        """Whether its level has such a tile."""
        return 0 <= self.level <= MAX_LEVEL and 0 <= self.column < 2**self.level and 0 <= self.row < 2**self.level


@dataclass(frozen=True)
class Frame:
    """Where a product lies in its square."""

    on_globe: bool
    """True of the square of the web's maps."""
    box: Box
    """Of the product in the square, whose sides are 1."""
    level: int
    """The one at which a pixel of a tile is about one of the product."""
    shape: tuple[int, int]
    """Rows and columns of the product."""
    affine: Affine
    """From its pixels to the plane of `crs`; the identity where it is not on the globe."""
    crs: CRS

    def plane(self, place: Place) -> Affine:
        """From the pixels of a tile to metres of Web Mercator, or to pixels of the product."""
        side = 2 * HALF_M if self.on_globe else TILE_PX * 2.0**self.level
        step = side / 2.0**place.level
        if self.on_globe:
            px = step / TILE_PX
            return Affine(px, 0, place.column * step - HALF_M, 0, -px, HALF_M - place.row * step)
        return Affine(step / TILE_PX, 0, place.column * step, 0, step / TILE_PX, place.row * step)

    def around(self, place: Place) -> Box | None:
        """A tile in pixels of the product, with all that lies in it; None where there is no way there."""
        corner, far = self.plane(place) @ (0, 0), self.plane(place) @ (TILE_PX, TILE_PX)
        if not self.on_globe:
            return corner[0], corner[1], far[0], far[1]
        try:
            west, south, east, north = transform_bounds(
                WEB, self.crs, corner[0], far[1], far[0], corner[1], densify_pts=DENSE
            )
        except GDAL_ERRORS:
            return None
        found = [~self.affine @ (x, y) for x in (west, east) for y in (south, north)]
        columns, rows = zip(*found, strict=True)
        box = (min(columns), min(rows), max(columns), max(rows))
        return box if all(map(math.isfinite, box)) else None


def frame_of(dataset: Any) -> Frame:
    """Where an open raster lies: on the globe where Web Mercator has a place for it, else in pixels."""
    shape = (dataset.height, dataset.width)
    return _on_globe(dataset, shape) or _in_pixels(shape)


def _on_globe(dataset: Any, shape: tuple[int, int]) -> Frame | None:
    points, crs = dataset.gcps
    affine, crs = (from_gcps(points), crs) if points else (dataset.transform, dataset.crs)
    if crs is None or not affine.determinant:
        return None
    try:
        west, south, east, north = transform_bounds(crs, WEB, *array_bounds(*shape, affine), densify_pts=DENSE)
    except GDAL_ERRORS:
        return None
    metres = (west + HALF_M, HALF_M - north, east + HALF_M, HALF_M - south)
    left, top, right, bottom = (value / (2 * HALF_M) for value in metres)
    inside = all(math.isfinite(value) and 0 <= value <= 1 for value in (left, top, right, bottom))
    if not inside or not 0 < right - left < WIDEST or not top < bottom:
        return None
    level = round(math.log2(shape[1] / (TILE_PX * (right - left))))
    return Frame(True, (left, top, right, bottom), min(max(level, 0), MAX_LEVEL), shape, affine, crs)


def _in_pixels(shape: tuple[int, int]) -> Frame:
    level = max(0, math.ceil(math.log2(max(shape) / TILE_PX)))
    side = TILE_PX * 2.0**level
    return Frame(False, (0.0, 0.0, shape[1] / side, shape[0] / side), level, shape, Affine.identity(), WEB)
