"""Differences of averaged SR and LR: their mean over the scene and over each cell, beyond what chance explains.

A mean of a few pixels, or of many among which a few differ, says little of a bias. So what is judged is

    |mean of SR - LR| - |the same of bicubic| - CHANCE x its standard error - rounding     and 0 where that is negative

Bicubic's own is next to nothing where all pixels count. Where only some do, because the dtype cut off the others, the
curve through them gives to those what it takes from these.

The standard error comes from groups of GROUP_PX x GROUP_PX pixels, within which differences are alike. A bias is the
same in all groups, and a gain in the same proportion to the LR: whatever explains more of the groups is taken from
them first. So the standard error of either is 0, and all of it is judged.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks.spread import BandSpread

CELL_PX = 64
"""LR pixels along a side of the smallest area that is looked at for itself."""
GROUP_PX = 8
CHANCE = 3.0
MOST_BY_CHANCE = 0.05
"""Of the reference: more is no chance, however few pixels there are."""
LEAST_SHARE = 0.5
"""Of a cell's pixels: below it the cell is not looked at."""

Sums = NDArray[np.float64]
"""(10, C, ...): of groups, their sum s and number n, the sum m of their LR and b of bicubic's differences: s, n, m, b,
s^2, s n, s m, n^2, m^2, and groups."""


class Differences:
    """Collects block by block: `add` every block, then ask."""

    def __init__(self, bands: int) -> None:
        self.whole = np.zeros((10, bands))
        self.cells: list[tuple[Sums, NDArray[np.float64]]] = []
        """Sums of every cell, and the share of its pixels that count."""

    def add(
        self, difference: NDArray[Any], lr: NDArray[Any], bicubic: NDArray[Any] | float, counted: NDArray[np.bool_]
    ) -> None:
        """`difference` (C, *core): averaged SR - LR, and the same of bicubic; only `counted` pixels are looked at."""
        s, m, b, n = (
            over_squares(np.where(counted, values, 0).astype(np.float64, copy=False), GROUP_PX, np.add)
            for values in (difference, lr, bicubic, 1)
        )
        groups = np.stack([s, n, m, b, s * s, s * n, s * m, n * n, m * m, n > 0])
        cells = np.stack([over_squares(one, CELL_PX // GROUP_PX, np.add) for one in groups])
        size = cells_of(np.ones((1, *difference.shape[1:]), np.float32), np.add)
        self.whole += cells.sum(axis=(2, 3))
        self.cells.append((cells, cells[1] / size))

    def mean_shift(self, bands: Sequence[BandSpread]) -> float:
        """The largest judged mean of a band, over the larger of |mean| and deviation of its LR."""
        reference = np.array([max(abs(band.mean), band.deviation) for band in bands])
        return _worst(self.whole, bands, reference)

    def worst_cell(self, bands: Sequence[BandSpread]) -> float:
        """The largest judged mean of a cell that is at least half there, over the yardstick of its band."""
        yard = np.array([band.yardstick for band in bands])
        return max(
            (_worst(np.where(share > LEAST_SHARE, sums, 0), bands, yard[:, None, None]) for sums, share in self.cells),
            default=0.0,
        )


def _worst(sums: Sums, bands: Sequence[BandSpread], reference: NDArray[np.float64]) -> float:
    s, n, m, b, ss, sn, sm, nn, mm, groups = sums
    count = np.maximum(n, 1)
    mean = s / count
    with np.errstate(divide="ignore", invalid="ignore"):
        gain = s / m
        scatter = np.maximum(np.fmin(ss - 2 * mean * sn + mean**2 * nn, ss - 2 * gain * sm + gain**2 * mm), 0)
        error = np.where(groups > 1, np.sqrt(scatter * groups / np.maximum(groups - 1, 1)) / count, np.inf)
    rounding = np.array([band.resolution * (band.mode / 2 if band.whole else 1) for band in bands])
    chance = np.minimum(CHANCE * error, MOST_BY_CHANCE * reference)
    beyond = np.abs(mean) - np.abs(b / count) - chance - rounding.reshape(-1, *(1,) * (mean.ndim - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(np.where((beyond > 0) & (n > 0), beyond / reference, 0.0).max(initial=0.0))


def cells_of(values: NDArray[Any], operation: np.ufunc) -> NDArray[Any]:
    """(C, ..., y, x) to (C, ny, nx): `operation` over cells of CELL_PX, and over the slices of a volume."""
    return over_squares(values, CELL_PX, operation)


def over_squares(values: NDArray[Any], side_px: int, operation: np.ufunc) -> NDArray[Any]:
    """(C, ..., y, x) to (C, ny, nx): `operation` over squares of `side_px`, and over the slices of a volume."""
    height, width = values.shape[-2:]
    if height % side_px or width % side_px:  # the last squares are cut
        columns = operation.reduceat(values, np.arange(0, width, side_px), axis=-1)
        cells = operation.reduceat(columns, np.arange(0, height, side_px), axis=-2)
    else:  # the same in a tenth of the time
        rows = operation.reduce(values.reshape(*values.shape[:-2], -1, side_px, width), axis=-2)
        cells = operation.reduce(rows.reshape(*rows.shape[:-1], -1, side_px), axis=-1)
    while cells.ndim > 3:
        cells = operation.reduce(cells, axis=1)
    return np.asarray(cells)
