"""Where a grid lies on the globe: its outline in longitude and latitude as GeoJSON, also at 180 degrees and a pole.

RFC 7946: rings run counter-clockwise, a shape that crosses the antimeridian is cut there, and the bbox of one that
does has its west edge east of its east edge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyproj import CRS, Transformer
from pyproj.exceptions import CRSError, ProjError

from srcore.grid import Grid
from srcore.storage.header import GroundControlPoint

POINTS_AN_EDGE = 21
"""So that edges which are curved on the globe stay within it: a projected straight line is none there."""
DECIMALS = 7
"""About a centimetre."""

Ring = NDArray[np.float64]
"""(n, 2) longitude, latitude; open."""


@dataclass(frozen=True)
class Footprint:
    """An outline on the globe."""

    geometry: dict[str, Any]
    bbox: list[float]
    """West, south, east, north."""
    centroid: tuple[float, float]
    """Longitude, latitude of the grid's centre."""


def footprint(grid: Grid) -> Footprint | None:
    """The outline of a (Y, X) grid; None when it has no CRS or one that is not on the globe."""
    if grid.crs is None:
        return None
    try:
        to_globe = _to_globe(grid.crs)
        places = np.array([*_outline(grid.shape), [size / 2 for size in grid.shape]])
        found = _project(to_globe, places @ grid.matrix[:, :-1].T + grid.matrix[:, -1])
        ring, centre = found[:-1], found[-1]
    except (CRSError, ProjError):
        return None
    if not np.isfinite(ring).all() or not np.isfinite(centre).all() or np.abs(ring[:, 1]).max() > 90 + 1e-6:
        return None
    rings = _cut(ring)
    boxes = [(r[:, 0].min(), r[:, 1].min(), r[:, 0].max(), r[:, 1].max()) for r in rings]
    west, east = (boxes[0][0], boxes[0][2]) if len(rings) == 1 else (boxes[0][0], boxes[1][2])
    bbox = [west, min(b[1] for b in boxes), east, max(b[3] for b in boxes)]
    closed = [[_closed(r)] for r in rings]
    geometry = (
        {"type": "Polygon", "coordinates": closed[0]}
        if len(closed) == 1
        else {"type": "MultiPolygon", "coordinates": closed}
    )
    longitude = float((centre[0] + 180) % 360 - 180)
    return Footprint(
        geometry, [round(float(v), DECIMALS) for v in bbox], (round(longitude, DECIMALS), round(centre[1], DECIMALS))
    )


@lru_cache(maxsize=8)  # the scenes of a night share a few; making one takes longer than an outline
def _to_globe(crs: str) -> Transformer:
    return Transformer.from_crs(CRS.from_user_input(crs), CRS.from_epsg(4326), always_xy=True)


def fitted(grid: Grid, points: Sequence[GroundControlPoint], crs: str | None) -> Grid:
    """The grid with the affine that fits its control points best (least squares); as it is with fewer than three."""
    if len(points) < 3:
        return grid
    index = np.array([[p.row, p.col, 1.0] for p in points])
    world = np.array([[p.x, p.y] for p in points])
    solved = np.linalg.lstsq(index, world, rcond=None)[0].T
    return Grid(grid.shape, tuple(tuple(float(v) for v in row) for row in solved), crs)


def _outline(shape: Sequence[int]) -> list[tuple[float, float]]:
    """Array indices around the grid, from corner 0 down, right, up and back; the first point is not repeated."""
    rows, cols = (np.linspace(0, size, POINTS_AN_EDGE)[:-1] for size in shape)
    height, width = shape
    down, right = [(r, 0.0) for r in rows], [(float(height), c) for c in cols]
    up, left = [(height - r, float(width)) for r in rows], [(0.0, width - c) for c in cols]
    return [(float(r), float(c)) for r, c in (*down, *right, *up, *left)]


def _project(transformer: Transformer, points: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y = transformer.transform(*points.T)
    return np.column_stack([x, y]).astype(np.float64)


def _cut(ring: Ring) -> list[Ring]:
    """The ring within -180 to 180 degrees: whole, or in two parts, the western (up to 180) first."""
    longitudes = np.unwrap(np.append(ring[:, 0], ring[0, 0]), period=360)
    turn = longitudes[-1] - longitudes[0]
    if abs(turn) > 180:
        return [_around_pole(longitudes, np.append(ring[:, 1], ring[0, 1]))]
    middle = (longitudes.min() + longitudes.max()) / 2
    flat = np.column_stack([longitudes[:-1] - 360 * np.round(middle / 360), ring[:, 1]])
    if np.abs(flat[:, 0]).max() <= 180:
        return [flat]
    for edge in (180.0, -180.0):
        west, east = _clip(flat, edge, keep_west=True), _clip(flat, edge, keep_west=False)
        if len(west) > 2 and len(east) > 2:
            shift = np.array([360.0, 0.0])
            return [west, east - shift] if edge > 0 else [west + shift, east]
    return [flat]


def _clip(ring: Ring, edge: float, *, keep_west: bool) -> Ring:
    """The part of a ring on one side of a meridian (Sutherland-Hodgman); empty when it has no area there."""
    kept: list[tuple[float, float]] = []
    sign = 1.0 if keep_west else -1.0
    for (x0, y0), (x1, y1) in zip(ring, np.roll(ring, -1, axis=0), strict=True):
        inside, next_inside = sign * (edge - x0) >= 0, sign * (edge - x1) >= 0
        if inside:
            kept.append((x0, y0))
        if inside != next_inside:
            kept.append((edge, y0 + (y1 - y0) * (edge - x0) / (x1 - x0)))
    result = np.array(kept).reshape(-1, 2)
    return result if len(result) and np.ptp(result[:, 0]) > 0 else np.empty((0, 2))


def _around_pole(longitudes: NDArray[np.float64], latitudes: NDArray[np.float64]) -> Ring:
    """A ring that goes once around a pole, opened at 180 degrees and led along the pole."""
    if longitudes[-1] < longitudes[0]:
        longitudes, latitudes = longitudes[::-1], latitudes[::-1]
    turns = np.concatenate([longitudes + 360 * k for k in (-1, 0, 1)])
    thrice = np.tile(latitudes, 3)
    start = np.ceil((turns[0] + 180) / 360) * 360 - 180
    inside = (turns > start) & (turns < start + 360)
    edge = float(np.interp(start, turns, thrice))
    pole = 90.0 if latitudes.mean() > 0 else -90.0
    body = np.column_stack([turns[inside] - start - 180, thrice[inside]])
    return np.vstack([[-180.0, edge], body, [180.0, edge], [180.0, pole], [-180.0, pole]])


def _closed(ring: Ring) -> list[list[float]]:
    """Counter-clockwise, rounded, the first point repeated at the end."""
    x, y = ring.T
    area = float(np.sum(x * np.roll(y, -1) - np.roll(x, -1) * y))
    points = [[round(float(v), DECIMALS) for v in point] for point in (ring if area > 0 else ring[::-1])]
    return [*points, points[0]]
