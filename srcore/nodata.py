"""Numbers that mean 'nothing here', as GDAL compares them: equal, and for floats nearly equal, too.

GDAL takes a and b for one number when |a - b| < 2 eps |a + b|, computed in their own dtype with the eps of float32. So
a tag that lost digits on its way through text still finds its pixels: -9999.0001 is -9999, and -3.4e38 is
-3.4028235e38, since the sum of the two overflows. The same rule decides here what is hidden in a source, and what a
valid pixel of a product must keep off.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPS = float(np.finfo(np.float32).eps)
"""For float64, too."""
NEAR = 2 * EPS
"""GDAL's tolerance, as a part of the sum."""
APART = 4 * NEAR
"""Part of the number that a valid pixel is moved by, off it: beyond the tolerance."""


def is_nodata(values: NDArray[Any], nodata: float) -> NDArray[np.bool_]:
    """Which of `values` GDAL takes for the number `nodata`; a NaN finds NaN."""
    if np.isnan(nodata):
        return np.asarray(np.isnan(values)) if values.dtype.kind == "f" else np.zeros(values.shape, bool)
    number = values.dtype.type(nodata)
    same: NDArray[np.bool_] = np.asarray(values == number)
    if values.dtype.kind != "f" or not number or not np.isfinite(number):
        return same
    with np.errstate(over="ignore", invalid="ignore"):
        same |= np.abs(values - number) < values.dtype.type(NEAR) * np.abs(values + number)
    return same


def beside(nodata: float, dtype: np.dtype[Any]) -> float:
    """A number of `dtype` close to `nodata` that GDAL does not take for it.

    For integers one more, or one less at the end of the range; for floats a little towards zero, and the least normal
    number for zero itself.
    """
    if np.issubdtype(dtype, np.integer):
        return nodata - 1 if int(nodata) == np.iinfo(dtype).max else nodata + 1
    limits = np.finfo(dtype)
    if not nodata:
        return float(limits.tiny)
    near = dtype.type(nodata) * dtype.type(1 - APART)
    # Where the sums overflow, all that is that large counts as the number.
    return 0.0 if is_nodata(near[None], nodata)[0] else float(near)


def keep_off(values: NDArray[Any], nodata: float) -> NDArray[Any]:
    """`values` with every pixel that GDAL takes for `nodata` moved `beside` it, so that it stays visible."""
    if np.isnan(nodata):
        return values
    taken = is_nodata(values, nodata)
    return np.where(taken, values.dtype.type(beside(nodata, values.dtype)), values) if taken.any() else values
