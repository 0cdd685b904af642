"""Numbers and their meaning: normalisation for the network, nodata around it, and the way back to native DN."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.nodata import APART, is_nodata

CACHED_NUMBERS = 2**16
"""Numbers that `to_native` works on at a time: their float64 stay in the processor's cache."""

LOW, HIGH = 2.0, 98.0
"""Percentiles that become 0 and 1 under percentile normalisation."""


@dataclass(frozen=True)
class Normalisation:
    """A linear map of every band: network value = (DN - offset) / scale."""

    offset: tuple[float, ...]
    scale: tuple[float, ...]

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """DN (C, ...) to network values (C, ...)."""
        offset, scale = self._columns(values.ndim)
        return ((values.astype(np.float64) - offset) / scale).astype(np.float32)

    def undo(self, values: NDArray[np.float32]) -> NDArray[np.float64]:
        """Network values (C, ...) back to DN, unrounded."""
        offset, scale = self._columns(values.ndim)
        wide = values.astype(np.float64)  # and then in place: fresh memory costs more than the arithmetic
        wide *= scale
        wide += offset
        return wide

    def _columns(self, ndim: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shape = (-1,) + (1,) * (ndim - 1)
        return np.reshape(self.offset, shape).astype(np.float64), np.reshape(self.scale, shape).astype(np.float64)


def percentile_normalisation(samples: Sequence[NDArray[Any]]) -> Normalisation:
    """The map that takes each band's 2nd and 98th percentile to 0 and 1.

    `samples` holds the valid DN of each band (any shape). A band without a valid pixel, or with one value
    only, is shifted and not scaled.
    """
    offset, scale = [], []
    for band in samples:
        finite = np.asarray(band, np.float64)
        finite = finite[np.isfinite(finite)]
        low, high = np.percentile(finite, (LOW, HIGH)) if finite.size else (0.0, 0.0)
        if high <= low and finite.size:
            low, high = float(finite.min()), float(finite.max())
        offset.append(float(low))
        scale.append(float(high) - float(low) if high > low else 1.0)
    return Normalisation(tuple(offset), tuple(scale))


def fill_invalid(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """`values` (C, ...) with each invalid pixel replaced by its nearest valid pixel of the same band.

    A band without a valid pixel becomes 0. So that nodata never enters the network.
    """
    if valid.all():
        return values
    from scipy import ndimage  # slow to import, and a scene without nodata never needs it

    filled = values.copy()
    for band in range(len(values)):
        if not valid[band].any():
            filled[band] = 0
        elif not valid[band].all():
            box = _around(~valid[band])
            nearest = ndimage.distance_transform_edt(~valid[band][box], return_distances=False, return_indices=True)
            filled[band][box] = values[band][box][tuple(nearest)]
    return filled


def _around(invalid: NDArray[np.bool_]) -> tuple[slice, ...]:
    """The box of the invalid pixels and one more on each side: the nearest valid pixel of each of them is in it.

    One step from that pixel towards the invalid one lies nearer, so it is invalid, too.
    """
    box = []
    for axis in range(invalid.ndim):
        hit = np.flatnonzero(invalid.any(axis=tuple(other for other in range(invalid.ndim) if other != axis)))
        box.append(slice(max(0, int(hit[0]) - 1), int(hit[-1]) + 2))
    return tuple(box)


class Extent:
    """`add` every part of a scene: between which ends the valid numbers of each band lie, and how many leave theirs."""

    def __init__(self, bands: int, ranges: Sequence[tuple[float, float] | None] = ()) -> None:
        self.ranges = tuple(ranges) or (None,) * bands
        self.least, self.most = [np.inf] * bands, [-np.inf] * bands
        self.outside, self.valid = [0] * bands, [0] * bands

    def add(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Take values (C, ...) and their validity into account."""
        for band, ends in enumerate(self.ranges):
            found = values[band] if valid[band].all() else values[band][valid[band]]
            if not found.size:
                continue
            least, most = float(found.min()), float(found.max())
            self.least[band], self.most[band] = min(self.least[band], least), max(self.most[band], most)
            self.valid[band] += found.size
            if ends is not None and (least < ends[0] or most > ends[1]):
                self.outside[band] += int(np.count_nonzero((found < ends[0]) | (found > ends[1])))

    @property
    def ends(self) -> tuple[tuple[float, float] | None, ...]:
        """Least and greatest valid number of each band; None where nothing is valid."""
        each = zip(self.least, self.most, strict=True)
        return tuple((least, most) if least <= most else None for least, most in each)


def native_range(
    valid_range: tuple[float | None, float | None], dtype: np.dtype[Any], nodata: float | None
) -> tuple[float, float] | None:
    """Least and greatest number of `dtype` within a range that a valid pixel can have; None where it has no end.

    Without the number for 'nothing here' where that is an end. The first is greater than the second where no number is
    left.
    """
    if valid_range == (None, None):
        return None
    least, most = (end if end is not None else sign * np.inf for end, sign in zip(valid_range, (-1, 1), strict=True))
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        least, most = max(np.ceil(least), limits.min), min(np.floor(most), limits.max)
        return float(least + (least == nodata)), float(most - (most == nodata))
    low, high = dtype.type(least), dtype.type(most)
    low = np.nextafter(low, dtype.type(np.inf)) if float(low) < least else low
    high = np.nextafter(high, dtype.type(-np.inf)) if float(high) > most else high
    if nodata is None or np.isnan(nodata):
        return float(low), float(high)
    apart = dtype.type(max(abs(nodata) * APART, np.finfo(dtype).tiny))
    near = is_nodata(np.array([low, high], dtype), nodata)
    return float(low + apart if near[0] else low), float(high - apart if near[1] else high)


def quantise(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Float DN to the native dtype: rounded half to even and clipped for integers, cast for floats."""
    if np.issubdtype(dtype, np.integer):
        limits = np.iinfo(dtype)
        values = np.rint(values)
        np.clip(values, limits.min, limits.max, out=values)
    return np.asarray(values, dtype)


def to_native(values: NDArray[np.float32], normalisation: Normalisation, dtype: np.dtype[Any]) -> NDArray[Any]:
    """Network values (C, ...) as DN in the native dtype: `undo` and `quantise`, some rows at a time."""
    native = np.empty(values.shape, dtype)
    step = max(1, CACHED_NUMBERS * values.shape[1] // max(1, values.size))
    for first in range(0, values.shape[1], step):
        rows = (slice(None), slice(first, first + step))
        native[rows] = quantise(normalisation.undo(values[rows]), dtype)
    return native


def enlarged(values: NDArray[Any], scale: int) -> NDArray[np.float64]:
    """`values` (Y, X) enlarged by bicubic interpolation (Keys 1981, a = -1/2), mirrored at the edges, unrounded.

    Each pixel is the sum of the same 25 products in the same order, wherever the window begins.
    """
    phase = (np.arange(scale) + 0.5) / scale - 0.5
    distance = np.abs(np.arange(-2, 3)[None] - phase[:, None])
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))  # (phase, tap)
    found = np.asarray(values, np.float64)
    for axis in (0, 1):
        along = np.pad(np.moveaxis(found, axis, -1), [(0, 0), (2, 2)], mode="symmetric")
        length = along.shape[-1] - 4
        phases = [sum(weight[k] * along[:, k : k + length] for k in range(5)) for weight in weights]
        found = np.moveaxis(np.stack(phases, axis=-1).reshape(len(along), -1), -1, axis)
    return np.ascontiguousarray(found)


HALF_PX = 4
"""Pixels on each side of the middle between two that `half_way` sees."""


def half_way(values: NDArray[Any]) -> NDArray[np.float64]:
    """`values` (Y + 2 HALF_PX - 1, X + 2 HALF_PX - 1) in the middles between four pixels each (Y, X), unrounded.

    Sinc in a window (Lanczos): half a pixel to the side of where the sensor looked, and as sharp below 0.4 cycles.
    """
    distance = np.arange(HALF_PX) + 0.5
    half = np.sinc(distance) * np.sinc(distance / HALF_PX)
    taps = np.concatenate([half[::-1], half]) / (2 * half.sum())
    found = np.asarray(values, np.float64)
    for axis in (0, 1):
        along = np.moveaxis(found, axis, -1)
        length = along.shape[-1] - len(taps) + 1
        found = np.moveaxis(np.sum([tap * along[:, k : k + length] for k, tap in enumerate(taps)], axis=0), -1, axis)
    return np.ascontiguousarray(found)


def slice_weights(scale: int) -> NDArray[np.float64]:
    """How a slice weighs the `scale` times thinner ones around it, of sum 1: cos^2 over twice its thickness.

    The first belongs to the thin slice that lies scale // 2 before the first one in the slice.
    """
    place = np.arange(scale + 2 * (scale // 2)) - scale // 2 - (scale - 1) / 2
    weights = np.cos(np.pi * place / (2 * scale)) ** 2
    return np.asarray(weights / weights.sum(), np.float64)


def nearest(values: NDArray[Any], scale: Sequence[int]) -> NDArray[Any]:
    """`values` (C, ...) with every pixel repeated `scale` times on its axis."""
    for axis, factor in enumerate(scale, start=1):
        values = np.repeat(values, factor, axis=axis) if factor > 1 else values
    return values
