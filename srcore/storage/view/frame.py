"""In which square of tiles a product lies, and where in it.

globe   affine and CRS of the product --> metres of Web Mercator --> the square of the web's maps
pixels  no CRS, or one without a place there: pixels of the product --> a square of their own
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from rasterio.crs import CRS
from rasterio.transform import Affine, from_gcps
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
        """What a tile has of the product, in its pixels; None where it has nothing, or there is no way there."""
        count = 2.0**place.level
        left, right = (min(max(end / count, self.box[0]), self.box[2]) for end in (place.column, place.column + 1))
        top, bottom = (min(max(end / count, self.box[1]), self.box[3]) for end in (place.row, place.row + 1))
        if left >= right or top >= bottom:
            return None
        if not self.on_globe:
            side = TILE_PX * 2.0**self.level
            return left * side, top * side, right * side, bottom * side
        # the part within the product alone: a projection of one zone tells nothing of the other side of the globe
        metres = ((2 * left - 1) * HALF_M, (1 - 2 * bottom) * HALF_M, (2 * right - 1) * HALF_M, (1 - 2 * top) * HALF_M)
        try:
            west, south, east, north = transform_bounds(WEB, self.crs, *metres, densify_pts=DENSE)
        except GDAL_ERRORS:
            return None
        found = [~self.affine @ (x, y) for x in (west, east) for y in (south, north)]
        columns, rows = zip(*found, strict=True)
        box = (min(columns), min(rows), max(columns), max(rows))
        return box if all(map(math.isfinite, box)) else None

    def step(self, place: Place) -> float:
        """Pixels of the product along a pixel of a tile, about."""
        return 2.0 ** (self.level - place.level)


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
        corners = [affine @ (column, row) for row in (0, shape[0]) for column in (0, shape[1])]
        low, high = (tuple(map(end, zip(*corners, strict=True))) for end in (min, max))  # also south up, and turned
        west, south, east, north = transform_bounds(crs, WEB, *low, *high, densify_pts=DENSE)
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
