"""Geometry: the product lies where the source lies: its grid at the scale, or its control points, exactly."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from srcore.checks import Check, abstain, judge
from srcore.grid import Grid
from srcore.limits import Limit
from srcore.storage.header import GroundControlPoint, Header


@dataclass(frozen=True)
class Place:
    """Where a scene lies: by its grid, or by control points and a grid that is pixels alone."""

    grid: Grid
    points: tuple[GroundControlPoint, ...] = ()
    points_crs: str | None = None

    @property
    def crs(self) -> str | None:
        """WKT; None when there is none."""
        return self.points_crs if self.points else self.grid.crs

    def scaled(self, scale: Sequence[int]) -> Place:
        """The same ground in pixels divided by `scale` (one int for each axis)."""
        points = tuple(GroundControlPoint(p.row * scale[0], p.col * scale[1], p.x, p.y, p.z, p.id) for p in self.points)
        return Place(self.grid.scaled(scale), points, self.points_crs)


def place_of(header: Header) -> Place:
    """Where a scene lies; control points count only where nothing else places it."""
    return Place(header.grid, header.gcps, header.gcps_crs) if header.lies_by_points else Place(header.grid)


def check_place(expected: Place, found: Place, limits: Mapping[str, Limit]) -> list[Check]:
    """Shape, CRS, and corners or control points of the product against the source's at the scale."""
    return [
        Check(
            "grid.shape",
            "GATE",
            found.grid.shape == expected.grid.shape,
            _times(found.grid.shape),
            "px",
            _times(expected.grid.shape),
            "LR shape x scale",
            "the product was cut or padded",
        ),
        Check(
            "grid.crs",
            "GATE",
            (found.crs is None) == (expected.crs is None) and same_crs(expected.crs, found.crs),
            crs_name(found.crs),
            "",
            crs_name(expected.crs),
            "CRS of the source",
            "the CRS was lost or changed",
        ),
        *(_points(expected, found, limits) if expected.points or found.points else _corners(expected, found, limits)),
    ]


def _corners(expected: Place, found: Place, limits: Mapping[str, Limit]) -> list[Check]:
    return [
        judge(
            limits,
            "grid.corners",
            corner_shift_px(expected.grid, found.grid),
            "px",
            "corners of the source's grid",
            "a half pixel lost, or another affine",
            of="grid.corners" if len(expected.grid.shape) == 2 else "grid.corners_volume",
        )
    ]


def _points(expected: Place, found: Place, limits: Mapping[str, Limit]) -> list[Check]:
    return [
        abstain("grid.corners", "control points place the scene, no affine"),
        judge(
            limits,
            "grid.points",
            points_shift_px(expected, found),
            "px",
            f"the source's {len(expected.points)} control points at the scale",
            "control points were lost, or moved with the pixels in another way",
        ),
    ]


def points_shift_px(expected: Place, found: Place) -> float:
    """Largest distance between the control points of two scenes, in pixels of `expected`; infinite when one has others.

    A point elsewhere on the ground is off by its share of the ground that all points span.
    """
    ours, theirs = (np.array(sorted(_numbers(place))) for place in (expected, found))
    if ours.shape != theirs.shape:
        return float("inf")
    apart = np.abs(ours - theirs)
    ground, pixels = apart[:, :3], apart[:, 3:]
    with np.errstate(divide="ignore", invalid="ignore"):
        share = np.where(ground == 0, 0.0, ground / np.ptp(ours[:, :3], axis=0))
    return float(np.concatenate([pixels, share * max(expected.grid.shape)], axis=1).max())


def _numbers(place: Place) -> list[tuple[float, ...]]:
    return [(p.x, p.y, p.z, p.row, p.col) for p in place.points]


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


def same_crs(expected: str | None, found: str | None) -> bool:
    """True when the CRS (WKT) are equal, or one of the two is None."""
    if expected is None or found is None:
        return True
    from pyproj import CRS

    return bool(CRS.from_wkt(expected).equals(CRS.from_wkt(found), ignore_axis_order=True))


def crs_name(crs: str | None) -> str:
    """The name of a CRS, to show."""
    return "none" if crs is None else crs.split('"')[1] if '"' in crs else crs[:40]


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))
