"""Overviews computed a second time, to verify those that GDAL made: the average of the usable pixels beneath.

An overview pixel covers n / ceil(n / 2) pixels of the finer level on each axis: two, or a little less on an axis of
odd length, so that the first and the last of the finer pixels it touches may count in part (GDAL >= 3.1):

    finer, 5 pixels    |-----|-----|-----|-----|-----|
    overview, 3 pixels |---------|---------|---------|
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.storage.pixels import Window

ROUNDING = 1e-8
"""GDAL's own: a share of a pixel below this is none."""


@dataclass(frozen=True)
class Reduction:
    """How one axis of a level comes from the finer one, for a span of its pixels."""

    source: slice
    """Pixels of the finer level that are needed."""
    index: NDArray[np.intp]
    """(n, k) of each pixel's contributors, counted from the start of `source`."""
    weight: NDArray[np.float64]
    """(n, k) share of each contributor that the pixel covers; 0 where there are fewer than k."""

    def apply(self, values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Sum of weight x value along `axis`."""
        moved = np.moveaxis(values, axis, -1)
        total = np.zeros((*moved.shape[:-1], len(self.index)))
        for column in range(self.index.shape[1]):
            total += moved[..., self.index[:, column]] * self.weight[:, column]
        return np.moveaxis(total, -1, axis)


def reduction(finer: int, coarser: int, span: slice) -> Reduction:
    """The reduction of `finer` pixels to `coarser` ones, for the coarser pixels in `span`."""
    ratio = finer / coarser
    start = np.arange(span.start, span.stop) * ratio
    stop = np.arange(span.start + 1, span.stop + 1) * ratio
    first = np.floor(start + ROUNDING).astype(np.intp)
    last = np.minimum(np.ceil(stop - ROUNDING).astype(np.intp), finer)
    index = first[:, None] + np.arange((last - first).max())
    covered = np.minimum(index + 1, stop[:, None]) - np.maximum(index, start[:, None])
    weight = np.where(index < last[:, None], np.clip(covered, 0, 1), 0)
    source = slice(int(first[0]), int(last[-1]))
    return Reduction(source, np.minimum(index, source.stop - 1) - source.start, weight)


@dataclass(frozen=True)
class Average:
    """What a window of an overview must hold."""

    values: NDArray[np.float64]
    """(C, y, x); meaningless where not `usable`."""
    tolerance: NDArray[np.float64]
    """How far rounding may have taken a stored value from it."""
    usable: NDArray[np.bool_]


def source_window(finer: tuple[int, int], coarser: tuple[int, int], window: Window) -> Window:
    """Pixels of the finer level beneath a window of the coarser one."""
    rows, cols = reduction(finer[0], coarser[0], window.rows), reduction(finer[1], coarser[1], window.cols)
    return Window(rows.source, cols.source)


def average(
    values: NDArray[Any], usable: NDArray[np.bool_], finer: tuple[int, int], coarser: tuple[int, int], window: Window
) -> Average:
    """Averages for a `window` of the coarser level from `values` (C, y, x) of its source window.

    `usable` (C or 1, y, x). GDAL sums in float32 or float64 and then rounds integers: half a unit is allowed for
    that, and a few roundings of the sum.
    """
    rows, cols = reduction(finer[0], coarser[0], window.rows), reduction(finer[1], coarser[1], window.cols)

    def both(block: NDArray[np.float64]) -> NDArray[np.float64]:
        return cols.apply(rows.apply(block, -2), -1)

    numbers = np.where(usable, values, 0).astype(np.float64)
    weights = np.broadcast_to(both(usable.astype(np.float64)), (len(values), *window.shape))
    found = weights > 0
    with np.errstate(invalid="ignore", over="ignore"):
        mean = both(numbers) / np.where(found, weights, 1)
        size = both(np.abs(numbers)) / np.where(found, weights, 1)
    whole = values.dtype.kind in "iu"
    step = np.finfo(np.float64 if values.dtype == np.float64 else np.float32).eps
    return Average(mean, 8 * step * size + (0.5 if whole else 0.0), found)
