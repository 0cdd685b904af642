"""A window of HR with the LR in it, in memory; HR laid onto the LR's nested grid, moved by what was measured. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks.blocks import average_down
from srcore.radiometry import fill_invalid, quantise

STILL_HR_PX = 0.02
"""An HR is not resampled for less."""
SPLINE = 5
"""Order of the interpolation: moved by half a pixel, an image keeps 87 % of its finest detail, by a cubic one 76 %."""
WHOLE = 0.999
"""A moved pixel is valid where so much of what it is made of is."""


@dataclass(frozen=True)
class Sample:
    """LR (C, *n) and HR (C, *n * scale) of one window, and which of their pixels are valid."""

    lr: NDArray[Any]
    lr_valid: NDArray[np.bool_]
    hr: NDArray[Any]
    hr_valid: NDArray[np.bool_]
    scale: tuple[int, ...]
    cropped: tuple[int, ...] = ()
    """LR pixels that were taken off the beginning of each axis; (): none."""

    def __post_init__(self) -> None:
        wanted = (len(self.lr), *(n * s for n, s in zip(self.lr.shape[1:], self.scale, strict=True)))
        if self.hr.shape != wanted or self.hr_valid.shape != wanted or self.lr_valid.shape != self.lr.shape:
            raise ValueError(f"HR {self.hr.shape} is not {wanted}")

    @property
    def usable(self) -> NDArray[np.bool_]:
        """(C, *n): LR pixels that are valid together with all their HR pixels."""
        return np.asarray(self.lr_valid & (average_down(self.hr_valid, self.scale) > WHOLE))

    @property
    def reduced(self) -> NDArray[np.float64]:
        """(C, *n): mean of the HR pixels in each LR pixel, with nodata filled."""
        return average_down(fill_invalid(self.hr, self.hr_valid), self.scale)

    def moved(self, shift_lr_px: Sequence[float]) -> Sample:
        """The sample with its HR moved back by a shift on the axes; LR pixels that it then does not cover are cropped.

        A shift of +1 says that what the HR shows lies one LR pixel further along the axis than in the LR.
        """
        scale = self.scale
        first = [shift * s for shift, s in zip(shift_lr_px, scale, strict=True)]
        if all(abs(one) < STILL_HR_PX for one in first):
            return self
        sizes = self.lr.shape[1:]
        keep = tuple(
            slice(max(0, ceil(-at / s)), min(n, floor((n * s - at) / s)))
            for at, s, n in zip(first, scale, sizes, strict=True)
        )
        start = [at + one.start * s for at, one, s in zip(first, keep, scale, strict=True)]
        shape = [(one.stop - one.start) * s for one, s in zip(keep, scale, strict=True)]
        inside = (slice(None), *keep)
        fine = lay(self.hr, self.hr_valid, start, shape)
        return Sample(self.lr[inside], self.lr_valid[inside], *fine, scale, tuple(one.start for one in keep))

    def with_hr(self, values: NDArray[Any]) -> Sample:
        """The same with other HR numbers."""
        return replace(self, hr=values)


def lay(
    values: NDArray[Any], valid: NDArray[np.bool_], first: Sequence[float], shape: Sequence[int]
) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The pixels (C, *shape) that begin at index `first` of values (C, ...), by spline where that is no whole number.

    In the dtype of the values and between their ends. What lies beyond them repeats their edge.
    """
    whole = [round(one) for one in first]
    if all(abs(one - at) < STILL_HR_PX for one, at in zip(whole, first, strict=True)) and all(
        at >= 0 and at + n <= size for at, n, size in zip(whole, shape, values.shape[1:], strict=True)
    ):
        inside = (slice(None), *(slice(at, at + n) for at, n in zip(whole, shape, strict=True)))
        return values[inside], valid[inside]
    filled = fill_invalid(values, valid)
    moved = np.stack([_at(band, first, shape, SPLINE) for band in filled])
    seen = np.stack([_at(band, first, shape, 1) for band in valid]) > WHOLE
    own = [(band[ok].min(), band[ok].max()) if ok.any() else (0, 0) for band, ok in zip(values, valid, strict=True)]
    bounded = np.stack([band.clip(*ends) for band, ends in zip(moved, own, strict=True)])
    return quantise(bounded, values.dtype), np.asarray(seen)


def _at(band: NDArray[Any], first: Sequence[float], shape: Sequence[int], order: int) -> NDArray[Any]:
    from scipy import ndimage

    plain = band.astype(np.float64 if band.dtype.itemsize > 2 else np.float32)
    axes = np.ones(band.ndim)
    found = ndimage.affine_transform(plain, axes, list(first), tuple(shape), order=order, mode="nearest")
    return np.asarray(found)
