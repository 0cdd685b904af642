"""Overviews: each pixel the average of the usable pixels beneath it, exactly, whatever the size of the scene.

An overview pixel covers n / ceil(n / 2) pixels of the finer level on each axis: two, or a little less on an axis of
odd length, so that the first and the last of the finer pixels it touches may count in part. The averages stay where
they belong in the world (GDAL >= 3.1 does the same):

    finer, 5 pixels    |-----|-----|-----|-----|-----|
    overview, 3 pixels |---------|---------|---------|

They are computed here and not by GDAL because GDAL takes an overview from the level beneath it or from the full
resolution depending on sizes and bands (measured, 3.10): with a mask the two differ widely, and what must be in the
file could not be said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.storage.cog_form import nodata_tag
from srcore.storage.header import Header
from srcore.storage.pixels import BLOCK, Window

ROUNDING = 1e-8
"""A share of a pixel below this is none."""


@dataclass(frozen=True)
class Reduction:
    """How one axis of a level comes from the finer one, for a span of its pixels."""

    source: slice
    """Pixels of the finer level that are needed."""
    index: NDArray[np.intp]
    """(n, k) each pixel's contributors, counted from the start of `source`."""
    weight: NDArray[np.float64]
    """(n, k) how much of each contributor the pixel covers; 0 where there are fewer than k."""

    def total(self, values: NDArray[np.float64], axis: int) -> NDArray[np.float64]:
        """Sum of weight x value along `axis`."""
        moved = np.moveaxis(values, axis, 0)
        shape = (-1,) + (1,) * (moved.ndim - 1)
        parts = [moved[i] * w.reshape(shape) for i, w in zip(self.index.T, self.weight.T, strict=True)]
        return np.moveaxis(sum(parts[1:], start=parts[0]), 0, axis)


def reduction(finer: int, span: slice) -> Reduction:
    """The reduction of an axis of `finer` pixels to half as many, for the coarser pixels in `span`."""
    ratio = finer / half(finer)
    start = np.arange(span.start, span.stop) * ratio
    stop = np.arange(span.start + 1, span.stop + 1) * ratio
    first = np.floor(start + ROUNDING).astype(np.intp)
    last = np.minimum(np.ceil(stop - ROUNDING).astype(np.intp), finer)
    index = first[:, None] + np.arange((last - first).max())
    covered = np.minimum(index + 1, stop[:, None]) - np.maximum(index, start[:, None])
    weight = np.where(index < last[:, None], np.clip(covered, 0, 1), 0)
    source = slice(int(first[0]), int(last[-1]))
    return Reduction(source, np.minimum(index, source.stop - 1) - source.start, weight)


def half(size: int) -> int:
    """Pixels of an axis on the next level, rounded up as GDAL does."""
    return -(-size // 2)


def level_shapes(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """Shapes of the overviews of a (Y, X) scene, until one fits a block; none for a scene that fits one."""
    levels: list[tuple[int, int]] = []
    height, width = shape
    while max(height, width) > BLOCK:
        height, width = half(height), half(width)
        levels.append((height, width))
    return levels


def overview(finer: DatasetReader, window: Window, header: Header) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Values (count, y, x) and mask (y, x; 0 or 255) for a `window` of the level above the open level `finer`.

    Where nothing beneath is usable stands nodata (0 for a mask or alpha). The mask is 255 where anything beneath
    is usable: there is an average then.
    """
    rows, cols = reduction(finer.height, window.rows), reduction(finer.width, window.cols)
    place = GdalWindow.from_slices(rows.source, cols.source)
    values = finer.read(window=place)
    mask = finer.read_masks(1, window=place) if header.nodata == "mask" else None
    usable = _usable(values, mask, header)
    weight = cols.total(rows.total(usable.astype(np.float64), -2), -1)
    summed = cols.total(rows.total(np.where(usable, values, 0).astype(np.float64), -2), -1)
    found = weight > 0
    mean = summed / np.where(found, weight, 1)
    return _stored(mean, found, values.dtype, header), np.where(found.all(axis=0), np.uint8(255), np.uint8(0))


def _usable(values: NDArray[Any], mask: NDArray[np.uint8] | None, header: Header) -> NDArray[np.bool_]:
    """(count, y, x) which pixels of a level count in an average; all do of the alpha band itself."""
    usable: NDArray[np.bool_] = np.isfinite(values)
    bands, nodata = len(header.bands), nodata_tag(header)
    if mask is not None:
        usable[:bands] &= mask > 0
    if header.alpha is not None:
        usable[:bands] &= values[-1] > 0
    if nodata is not None and not np.isnan(nodata):
        usable[:bands] &= values[:bands] != np.asarray(nodata).astype(values.dtype)
    return usable


def _stored(mean: NDArray[np.float64], found: NDArray[np.bool_], dtype: np.dtype[Any], header: Header) -> NDArray[Any]:
    """Averages in the native dtype, integers rounded half up; none of a data band is the nodata number by chance."""
    bands, nodata = len(header.bands), nodata_tag(header)
    nothing = (np.nan if dtype.kind == "f" and header.nodata in ("none", "nan") else 0.0) if nodata is None else nodata
    stored = (np.floor(mean + 0.5) if dtype.kind in "iu" else mean).astype(dtype)
    empty, data = np.asarray(nothing).astype(dtype), stored[:bands]
    if nodata is not None:
        data[data == empty] = _beside(empty)
    data[~found[:bands]] = empty
    return stored


def _beside(value: NDArray[Any]) -> NDArray[Any]:
    """The next number above `value` that its dtype has; below it, for the greatest."""
    if value.dtype.kind == "f":
        return np.asarray(np.nextafter(value, np.asarray(-np.inf if value > 0 else np.inf, value.dtype)))
    return np.asarray(value - 1 if value == np.iinfo(value.dtype).max else value + 1)
