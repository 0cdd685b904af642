"""Where the slices of a series lie: their order, the steps between them, and the affine. Pure numbers, in mm, LPS."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from srcore.grid import Grid
from srcore.storage.dicom.slices import Slice

SAME_MM = 1e-3
"""Positions that differ by less are one: headers round to that."""
EVEN = 0.01
"""Fraction of a step by which steps may differ: a scanner's table is no better."""
TILT_PX = 0.25
"""Pixels that the last slice may lie beside the normal of the first: more is a tilted gantry."""
PLANES = ("sagittal", "coronal", "axial")


@dataclass(frozen=True)
class Stack:
    """The positions of a series along the normal of its slices, in order."""

    order: tuple[int, ...]
    """Of the given slices."""
    heights: tuple[float, ...]
    """Of the first pixel along the normal, ascending."""
    positions: NDArray[np.float64]
    """(slices, 3), in that order."""
    normal: NDArray[np.float64]

    @property
    def gaps(self) -> NDArray[np.float64]:
        """Between neighbours."""
        return np.diff(np.array(self.heights))

    @property
    def step(self) -> float:
        """The usual gap that is none between doubles; 0 where there is none."""
        found = self.gaps[self.gaps > SAME_MM]
        return float(np.median(found)) if found.size else 0.0

    @property
    def doubles(self) -> list[int]:
        """Places behind which another slice lies at the same place."""
        return [i for i, gap in enumerate(self.gaps) if gap <= SAME_MM]

    @property
    def volumes(self) -> int:
        """How many slices lie at every place, where that is the same number everywhere; else 1."""
        counts = Counter(np.cumsum([0, *(self.gaps > SAME_MM)]).tolist())
        each = set(counts.values())
        return each.pop() if len(each) == 1 else 1

    @property
    def tilt_deg(self) -> float:
        """Angle between the line through the slices and their normal; 0 within TILT_PX of a pixel of 1 mm."""
        along = self.positions[-1] - self.positions[0]
        aside = np.linalg.norm(along - self.normal * (along @ self.normal))
        return float(np.degrees(np.arctan2(aside, abs(along @ self.normal))))

    def drift_mm(self) -> float:
        """How far the last slice lies beside the normal through the first."""
        along = self.positions[-1] - self.positions[0]
        return float(np.linalg.norm(along - self.normal * (along @ self.normal)))


def stacked(slices: Sequence[Slice]) -> Stack:
    """Slices of one orientation, in the order of their positions along the normal."""
    normal = normal_of(slices[0])
    positions = np.array([one.position for one in slices], np.float64)
    heights = positions @ normal
    order = np.argsort(heights, kind="stable")
    return Stack(tuple(order.tolist()), tuple(heights[order].tolist()), positions[order], normal)


def normal_of(one: Slice) -> NDArray[np.float64]:
    """Unit vector out of the slice, so that row, column and normal are right-handed."""
    orientation = np.array(one.orientation, np.float64)
    normal = np.cross(orientation[:3], orientation[3:])
    found: NDArray[np.float64] = normal / np.linalg.norm(normal)
    return found


def plane_of(one: Slice) -> str:
    """axial, coronal or sagittal, with oblique before it where it is more than 10 degrees off."""
    if one.orientation is None:
        return "plane unknown"
    normal = np.abs(normal_of(one))
    name = PLANES[int(normal.argmax())]
    return name if normal.max() > np.cos(np.radians(10)) else f"oblique {name}"


def even_grid(slices: Sequence[Slice], stack: Stack, depth_mm: float) -> Grid:
    """The corner-based grid (Z, Y, X), RAS+, of even slices; `depth_mm` is the step where there is one slice alone."""
    count = len(slices)
    step = (stack.positions[-1] - stack.positions[0]) / (count - 1) if count > 1 else stack.normal * depth_mm
    return grid_of(slices[stack.order[0]], stack.positions[0], step, count)


def grid_of(one: Slice, start: NDArray[np.float64], step: NDArray[np.float64], count: int) -> Grid:
    """The grid of `count` slices like one, the first pixel's centre at `start`, each a `step` (LPS, mm) further."""
    orientation, spacing = np.array(one.orientation, np.float64), one.spacing
    assert spacing is not None, "checked before"
    # columns (Z, Y, X): to the next slice, the next row, the next column
    columns = np.stack([step, orientation[3:] * spacing[0], orientation[:3] * spacing[1]], axis=1)
    corner = start - columns @ [0.5, 0.5, 0.5]
    flip = np.array([-1.0, -1.0, 1.0])  # LPS to RAS
    rows = np.concatenate([columns, corner[:, None]], axis=1) * flip[:, None]
    return Grid((count, *one.size), tuple(tuple(map(float, row)) for row in rows))
