"""Geometry: the product's grid is the source's grid at the scale, exactly."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from srcore.checks import Check, judge
from srcore.grid import Grid
from srcore.limits import Limit


def check_grid(expected: Grid, found: Grid, limits: Mapping[str, Limit]) -> list[Check]:
    """Shape, CRS and corners of the product against the source's grid at the scale."""
    of = "grid.corners" if len(expected.shape) == 2 else "grid.corners_volume"
    return [
        Check(
            "grid.shape",
            "GATE",
            found.shape == expected.shape,
            _times(found.shape),
            "px",
            _times(expected.shape),
            "LR shape x scale",
            "the product was cut or padded",
        ),
        Check(
            "grid.crs",
            "GATE",
            (found.crs is None) == (expected.crs is None) and same_crs(expected, found),
            crs_name(found),
            "",
            crs_name(expected),
            "CRS of the source",
            "the CRS was lost or changed",
        ),
        judge(
            limits,
            "grid.corners",
            corner_shift_px(expected, found),
            "px",
            "corners of the source's grid",
            "a half pixel lost, or another affine",
            of=of,
        ),
    ]


def corner_shift_px(expected: Grid, found: Grid) -> float:
    """Largest distance between the corners of two grids, in pixels of `expected`; infinite for another rank."""
    if len(expected.shape) != len(found.shape):
        return float("inf")
    inverse = np.linalg.inv(expected.matrix[:, :-1])
    axes = len(expected.shape)
    shifts = []
    for corner in np.ndindex(*(2,) * axes):
        ours = np.array(expected.to_world([c * n for c, n in zip(corner, expected.shape, strict=True)]))
        theirs = np.array(found.to_world([c * n for c, n in zip(corner, found.shape, strict=True)]))
        shifts.append(np.abs(inverse @ (theirs - ours)).max())
    return float(max(shifts))


def same_crs(expected: Grid, found: Grid) -> bool:
    """True when the CRS are equal, or one of the two has none."""
    if expected.crs is None or found.crs is None:
        return True
    from pyproj import CRS

    return bool(CRS.from_wkt(expected.crs).equals(CRS.from_wkt(found.crs), ignore_axis_order=True))


def crs_name(grid: Grid) -> str:
    """The name of a grid's CRS, to show."""
    crs = grid.crs
    return "none" if crs is None else crs.split('"')[1] if '"' in crs else crs[:40]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
