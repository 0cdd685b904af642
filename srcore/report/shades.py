"""Shades: numbers of a volume as 256 codes that a picture holds, and windows that a page makes light of them. Pure.

A picture has 8 bits and a CT 12. So codes lie close where windows are narrow (a step of 1.3 HU from 0 to 80) and wide
elsewhere; a window is a table of 256 lights, which the page's browser looks up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

CODES = 256
HOUNSFIELD = ((-1350.0, 0), (-1050.0, 4), (-200.0, 72), (0.0, 105), (80.0, 165), (240.0, 200), (1300.0, 255))
"""HU and their codes; straight between them."""
CT_WINDOWS = (("soft tissue", 40.0, 400.0), ("lung", -600.0, 1500.0), ("bone", 300.0, 2000.0), ("brain", 40.0, 80.0))
"""Name, level and width in HU."""
SHARES = (("usual", 2.0, 98.0), ("all", 0.1, 99.9), ("bright parts", 60.0, 99.9), ("dark parts", 0.1, 60.0))
"""Name, and percentiles of the input that are black and white."""


@dataclass(frozen=True)
class Shade:
    """A window: numbers up to `black` are black, from `white` on white."""

    name: str
    told: str
    """Level and width, or percentiles, for people."""
    lights: tuple[float, ...]
    """Of each code, from 0 to 1."""


@dataclass(frozen=True)
class Codes:
    """How numbers become codes, with the windows that suit them."""

    knots: tuple[tuple[float, float], ...]
    """Stored numbers and their codes, which ascend; numbers fall where a CT is stored upside down."""
    shades: tuple[Shade, ...]
    """The first is shown at first."""

    def of(self, values: NDArray[np.generic]) -> NDArray[np.uint8]:
        """Stored numbers of any shape as codes; what is no number is 0."""
        numbers, codes = zip(*sorted(self.knots), strict=True)
        with np.errstate(invalid="ignore"):
            found = np.interp(np.nan_to_num(values.astype(np.float64), nan=self.least), numbers, codes)
        return np.asarray(np.rint(found), np.uint8)

    @property
    def least(self) -> float:
        """The number of code 0."""
        return self.knots[0][0]

    @property
    def coarsest(self) -> float:
        """The largest difference of two numbers whose codes are neighbours, where any window shows them apart."""
        return max(abs(high - low) / (b - a) for (low, a), (high, b) in pairwise(self.knots))


def of_ct(slope: float, intercept: float) -> Codes:
    """Of stored numbers that are HU by `slope` and `intercept`."""
    shades = tuple(
        _shade(HOUNSFIELD, name, f"level {level:g} HU, width {width:g} HU", (level - width / 2, level + width / 2))
        for name, level, width in CT_WINDOWS
    )
    return Codes(tuple(((hu - intercept) / slope, code) for hu, code in HOUNSFIELD), shades)


def by_percentiles(sample: NDArray[np.generic]) -> Codes:
    """Of numbers without a unit, from some of them (any shape): from their 0.1th to their 99.9th percentile."""
    known = sample[np.isfinite(sample)].astype(np.float64)
    known = known if known.size else np.zeros(1)
    low, high = np.percentile(known, (0.1, 99.9))
    knots = ((float(low), 0.0), (float(high) if high > low else float(low) + 1.0, CODES - 1.0))
    shades = []
    for name, first, last in SHARES:
        ends = [float(one) for one in np.percentile(known, (first, last))]
        told = f"{first:g} % to {last:g} % of the voxels of the input: {ends[0]:.6g} to {ends[1]:.6g}"
        shades.append(_shade(knots, name, told, (ends[0], ends[1])))
    return Codes(knots, tuple(shades))


def _shade(knots: Sequence[tuple[float, float]], name: str, told: str, ends: tuple[float, float]) -> Shade:
    numbers, codes = zip(*knots, strict=True)
    at = np.interp(np.arange(CODES), codes, numbers)
    width = ends[1] - ends[0] or 1.0
    return Shade(name, told, tuple(round(float(one), 4) for one in np.clip((at - ends[0]) / width, 0, 1)))
