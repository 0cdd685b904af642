"""Overviews: each pixel the average of the usable pixels beneath it, exactly, whatever the size of the scene.

Of bands that are classes, bits or angles it is the first usable one: there is no average of two classes.

An overview pixel covers n / ceil(n / 2) pixels of the finer level on each axis: two, or a little less on an axis of
odd length, so that the first and the last of the finer pixels it touches may count in part. The averages stay where
they belong in the world (GDAL >= 3.1 does the same):

    finer, 5 pixels    |-----|-----|-----|-----|-----|
    overview, 3 pixels |---------|---------|---------|

They are computed here and not by GDAL because GDAL takes an overview from the level beneath it or from the full
resolution depending on sizes and bands (measured, 3.10): with a mask the two differ widely, and what must be in the
file could not be said. Band by band, so that memory does not grow with their number.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.nodata import beside, is_nodata
from srcore.storage.cog.product import Rect, half
from srcore.storage.cog.profile import nodata_tag
from srcore.storage.header import Header

CACHED_PIXELS = 2**17
"""Pixels that `halve` works on at a time: what lies between stays in the processor's cache."""
ROUNDING = 1e-8
"""A share of a pixel below this is none."""

Reduced = tuple[NDArray[Any], NDArray[np.bool_]]
"""Averages (count, y, x), and where all bands have one (y, x): the mask."""


class Level(Protocol):
    """An image of the product that is averaged into the next one."""

    @property
    def shape(self) -> tuple[int, int]: ...

    def band(self, band: int, rect: Rect) -> NDArray[Any]:
        """(y, x) of a band; where there is an alpha band it is the last."""

    def mask(self, rect: Rect) -> NDArray[np.bool_]:
        """(y, x); asked for where the scene has a mask."""


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


def overview(finer: Level, rect: Rect, header: Header) -> Reduced:
    """Averages and mask for a rectangle of the level above `finer`.

    Where nothing beneath is usable stands nodata (0 for a mask or alpha). The mask is True where anything beneath
    is usable: there is an average then.
    """
    rows, cols = reduction(finer.shape[0], rect.rows), reduction(finer.shape[1], rect.cols)
    beneath, bands = Rect(rows.source, cols.source), len(header.bands)
    alpha = None if header.alpha is None else finer.band(bands, beneath)
    shown = _shown(finer.mask(beneath) if header.nodata == "mask" else None, alpha)
    is_even = _is_even(finer.shape)
    averages, found = [], np.ones(rect.shape, bool)
    for band in range(bands + (alpha is not None)):
        rule = _Rule.of(header, band)
        values = alpha if alpha is not None and rule.is_alpha else finer.band(band, beneath)
        usable = rule.usable(values, shown)
        if rule.is_copied:
            mean, has_mean = _firsts(values, usable, rows, cols)
        else:
            mean, has_mean = _even_means(values, usable) if is_even else _means(values, usable, rows, cols)
        averages.append(rule.marked(mean, has_mean))
        found &= has_mean
    return np.stack(averages), found


def _is_even(shape: tuple[int, int]) -> bool:
    return not any(size % 2 for size in shape)


def halve(values: NDArray[Any], mask: NDArray[np.bool_] | None, header: Header) -> Reduced:
    """What `overview` gives for values (count, y, x) and mask (y, x) of even sizes that it covers two by two.

    The same numbers to the bit, in a fraction of the time: the sums of integers are exact as integers, and those of
    floats are added in the same order.
    """
    count, height, width = values.shape
    reduced = np.empty((count, height // 2, width // 2), values.dtype)
    found = np.ones(reduced.shape[1:], bool)
    rules = [_Rule.of(header, band) for band in range(count)]
    step = 2 * max(1, CACHED_PIXELS // (2 * width))
    for top in range(0, height, step):
        rows, half_rows = slice(top, top + step), slice(top // 2, (top + step) // 2)
        alpha = None if header.alpha is None else values[-1, rows]
        shown = _shown(None if mask is None else mask[rows], alpha)
        for band, rule in enumerate(rules):
            piece = values[band, rows]
            usable = rule.usable(piece, shown)
            mean, has_mean = _even_firsts(piece, usable) if rule.is_copied else _even_means(piece, usable)
            reduced[band, half_rows] = rule.marked(mean, has_mean)
            found[half_rows] &= has_mean
    return reduced, found


def _shown(mask: NDArray[np.bool_] | None, alpha: NDArray[Any] | None) -> NDArray[np.bool_] | None:
    """Where mask and alpha show the data bands; None: everywhere."""
    if alpha is None:
        return mask
    return alpha > 0 if mask is None else mask & (alpha > 0)


@dataclass(frozen=True)
class _Rule:
    """Which pixels of a band count in an average, and what stands where there is none."""

    is_alpha: bool
    nodata: float | None
    """The number for 'nothing here' that pixels are compared with."""
    nothing: float
    is_copied: bool = False
    """No average of its numbers means anything."""

    @classmethod
    def of(cls, header: Header, band: int) -> _Rule:
        if band >= len(header.bands):
            return cls(True, None, 0.0)
        nodata, is_float = nodata_tag(header), np.dtype(header.dtype).kind == "f"
        copied = header.bands[band].is_copied
        if nodata is None:
            return cls(False, None, np.nan if is_float and header.nodata == "none" else 0.0, copied)
        return cls(False, nodata, nodata, copied)

    def usable(self, values: NDArray[Any], shown: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
        """Of the shape of `values`, or one that spreads to it. The alpha band averages all its pixels."""
        conditions = [np.isfinite(values)] if values.dtype.kind == "f" else []
        if not self.is_alpha and shown is not None:
            conditions.append(shown)
        if self.nodata is not None and not np.isnan(self.nodata):
            conditions.append(values != np.asarray(self.nodata).astype(values.dtype))
        return reduce(np.logical_and, conditions) if conditions else np.ones((), bool)

    def marked(self, mean: NDArray[Any], found: NDArray[np.bool_]) -> NDArray[Any]:
        """Averages with nodata where none was found; none of a data band is the nodata number by chance."""
        empty = np.asarray(self.nothing).astype(mean.dtype)
        if self.nodata is not None and not np.isnan(self.nodata):
            np.copyto(mean, mean.dtype.type(beside(self.nodata, mean.dtype)), where=is_nodata(mean, self.nodata))
        if not self.is_alpha:
            np.copyto(mean, empty, where=~found)
        return mean


def _even_firsts(values: NDArray[Any], usable: NDArray[np.bool_]) -> Reduced:
    """What `_firsts` gives of two by two pixels."""
    rows, cols = (reduction(size, slice(0, size // 2)) for size in values.shape)
    return _firsts(values, usable, rows, cols)


def _firsts(values: NDArray[Any], usable: NDArray[np.bool_], rows: Reduction, cols: Reduction) -> Reduced:
    """Of a band (y, x) the first usable pixel beneath, row by row, and where there is one."""
    usable = np.broadcast_to(usable, values.shape)
    found = np.zeros((len(rows.index), len(cols.index)), bool)
    first = np.zeros(found.shape, values.dtype)
    for row, covers_row in zip(rows.index.T, rows.weight.T > 0, strict=True):
        for col, covers_col in zip(cols.index.T, cols.weight.T > 0, strict=True):
            here = np.ix_(row, col)
            taken = usable[here] & covers_row[:, None] & covers_col & ~found
            first[taken] = values[here][taken]
            found |= taken
    return first, found


def _means(values: NDArray[Any], usable: NDArray[np.bool_], rows: Reduction, cols: Reduction) -> Reduced:
    """Means of a band (y, x) in its own dtype, integers rounded half up, and where there is one."""
    weight = cols.total(rows.total(np.broadcast_to(usable, values.shape).astype(np.float64), -2), -1)
    summed = cols.total(rows.total(np.where(usable, values, 0).astype(np.float64), -2), -1)
    found = weight > 0
    mean = summed / np.where(found, weight, 1)
    return (np.floor(mean + 0.5) if values.dtype.kind in "iu" else mean).astype(values.dtype), found


def _even_means(values: NDArray[Any], usable: NDArray[np.bool_]) -> Reduced:
    """What `_means` gives of two by two pixels."""
    mean, found = _float_means(values, usable) if values.dtype.kind == "f" else _integer_means(values, usable)
    return mean.astype(values.dtype), found


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
