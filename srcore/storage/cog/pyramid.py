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
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.nodata import beside, is_nodata
from srcore.storage.cog.pixels import Window
from srcore.storage.cog.profile import nodata_tag
from srcore.storage.header import Header
from srcore.tiling import BLOCK_HR as BLOCK

CACHED_PIXELS = 2**17
"""Pixels that `halve` works on at a time: what lies between stays in the processor's cache."""
ROUNDING = 1e-8
"""A share of a pixel below this is none."""


class Level(Protocol):
    """An image of the product that is averaged into the next one."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def values(self, window: Window) -> NDArray[Any]:
        """(count, y, x) of the data bands and, where there is one, of the alpha band."""

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) 0 or 255; asked for where the scene has a mask."""


@dataclass(frozen=True)
class OpenLevel:
    """A level that GDAL has open."""

    dataset: DatasetReader

    @property
    def shape(self) -> tuple[int, int]:
        return self.dataset.height, self.dataset.width

    def values(self, window: Window) -> NDArray[Any]:
        read: NDArray[Any] = self.dataset.read(window=GdalWindow.from_slices(window.rows, window.cols))
        return read

    def mask(self, window: Window) -> NDArray[np.uint8]:
        read: NDArray[np.uint8] = self.dataset.read_masks(1, window=GdalWindow.from_slices(window.rows, window.cols))
        return read


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


def overview(finer: Level, window: Window, header: Header) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """Values (count, y, x) and mask (y, x; 0 or 255) for a `window` of the level above `finer`.

    Where nothing beneath is usable stands nodata (0 for a mask or alpha). The mask is 255 where anything beneath
    is usable: there is an average then.
    """
    rows, cols = reduction(finer.shape[0], window.rows), reduction(finer.shape[1], window.cols)
    beneath = Window(rows.source, cols.source)
    values = finer.values(beneath)
    mask = finer.mask(beneath) if header.nodata == "mask" else None
    if _is_even(finer.shape):
        return halve(values, mask, header)
    usable = _usable(values, mask, header)
    weight = cols.total(rows.total(np.broadcast_to(usable, values.shape).astype(np.float64), -2), -1)
    summed = cols.total(rows.total(np.where(usable, values, 0).astype(np.float64), -2), -1)
    found = weight > 0
    mean = summed / np.where(found, weight, 1)
    rounded = (np.floor(mean + 0.5) if values.dtype.kind in "iu" else mean).astype(values.dtype)
    return _marked(rounded, found, header), _mask(found)


def _is_even(shape: tuple[int, int]) -> bool:
    return not any(size % 2 for size in shape)


def halve(
    values: NDArray[Any], mask: NDArray[np.uint8] | None, header: Header
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """What `overview` gives for values (count, y, x) and mask (y, x) of even sizes that it covers two by two.

    The same numbers to the bit, in a fraction of the time: the sums of integers are exact as integers, and those of
    floats are added in the same order.
    """
    count, height, width = values.shape
    reduced = np.empty((count, height // 2, width // 2), values.dtype)
    reduced_mask = np.empty(reduced.shape[1:], np.uint8)
    step = 2 * max(1, CACHED_PIXELS // (2 * count * width))
    for top in range(0, height, step):
        rows, half_rows = slice(top, top + step), slice(top // 2, (top + step) // 2)
        part = None if mask is None else mask[rows]
        reduced[:, half_rows], reduced_mask[half_rows] = _halve(values[:, rows], part, header)
    return reduced, reduced_mask


def _halve(
    values: NDArray[Any], mask: NDArray[np.uint8] | None, header: Header
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    usable = _usable(values, mask, header)
    if values.dtype.kind == "f":
        mean, found = _float_means(values, usable)
    else:
        mean, found = _integer_means(values, usable)
    return _marked(mean.astype(values.dtype), found, header), _mask(found)


def _float_means(values: NDArray[Any], usable: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Means of two by two pixels, and where there is one: first along columns, then along rows, as `Reduction` adds."""

    def quads(part: NDArray[Any]) -> NDArray[np.float64]:
        rows = part[..., 0::2, :].astype(np.float64) + part[..., 1::2, :]
        total: NDArray[np.float64] = rows[..., 0::2] + rows[..., 1::2]
        return total

    if usable.all():
        mean = quads(values) / 4
        return mean, np.broadcast_to(np.True_, mean.shape)
    count = quads(usable)
    return quads(np.where(usable, values, np.zeros((), values.dtype))) / np.maximum(count, 1), count > 0


def _integer_means(values: NDArray[Any], usable: NDArray[np.bool_]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Means of two by two pixels, rounded half up, and where there is one; exact, in integers."""
    if usable.all():
        mean = (_quads(values) + 2) >> 2
        return mean, np.broadcast_to(np.True_, mean.shape)
    total, count = _quads(values * usable), _quads(usable.view(np.uint8))
    mean = (total + 2) >> 2
    partly = count < 4
    some, of = total[partly].astype(np.int64), np.maximum(count[partly], 1).astype(np.int64)
    mean[partly] = (2 * some + of) // (2 * of)
    return mean, count > 0


def _quads(values: NDArray[Any]) -> NDArray[Any]:
    """Sums of two by two integers, in integers of twice the width: two neighbours are read as one and taken apart."""
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    pairs = np.ascontiguousarray(values).view(f"<{kind}{values.dtype.itemsize * 2}")
    low = (pairs << bits) >> bits  # with the sign, where there is one
    pairs = (pairs >> bits) + low
    total: NDArray[Any] = pairs[..., 0::2, :] + pairs[..., 1::2, :]
    return total


def _usable(values: NDArray[Any], mask: NDArray[np.uint8] | None, header: Header) -> NDArray[np.bool_]:
    """Which pixels of a level count in an average, of the shape of `values` or one that spreads to it.

    All do of the alpha band itself.
    """
    bands, nodata = len(header.bands), nodata_tag(header)
    conditions = [mask > 0] if mask is not None else []
    if header.alpha is not None:
        conditions.append(values[-1] > 0)
    if nodata is not None and not np.isnan(nodata):
        conditions.append(values[:bands] != np.asarray(nodata).astype(values.dtype))
    if values.dtype.kind != "f" and not conditions:
        return np.ones((), bool)
    usable: NDArray[np.bool_] = np.isfinite(values)
    for condition in conditions:
        usable[:bands] &= condition
    return usable


def _mask(found: NDArray[np.bool_]) -> NDArray[np.uint8]:
    return np.where(found.all(axis=0), np.uint8(255), np.uint8(0))


def _marked(stored: NDArray[Any], found: NDArray[np.bool_], header: Header) -> NDArray[Any]:
    """Averages with nodata where none was found; none of a data band is the nodata number by chance."""
    bands, nodata, dtype = len(header.bands), nodata_tag(header), stored.dtype
    nothing = (np.nan if dtype.kind == "f" and header.nodata in ("none", "nan") else 0.0) if nodata is None else nodata
    empty, data = np.asarray(nothing).astype(dtype), stored[:bands]
    if nodata is not None and not np.isnan(nodata):
        np.copyto(data, np.asarray(beside(nodata, dtype)).astype(dtype), where=is_nodata(data, nodata))
    np.copyto(data, empty, where=~found[:bands])
    return stored
