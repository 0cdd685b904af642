"""The two filters around the generator: noise out of the LR before it, edges up in the SR behind it.

Both see a fixed number of pixels around each pixel and add them up in one order, so a tile gets the bits of the
whole scene. Volumes slice by slice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

DENOISE_PX, SHARPEN_PX = 1, 2
"""LR pixels that each filter sees on each side, on the axes of a slice."""
RADIUS = 0.5
"""Standard deviation of the blur that sharpening subtracts, in LR pixels; scikit-image cuts it off at 4 of them."""
FLATTEST = 10.0
"""Percentile of the windows of a scene whose noise counts: texture looks like noise, and the flattest have least."""
LEAST = 64
"""Differences that a window needs to say anything."""

_DIFFERENCE = np.outer((1, -2, 1), (1, -2, 1))
"""Blind to all that is smooth along either axis; of white noise it makes 6 times the deviation."""


def noise_deviation(windows: Sequence[tuple[NDArray[Any], NDArray[np.bool_]]]) -> tuple[float, ...]:
    """Standard deviation of the noise of each band in DN; 0 where no window tells.

    `windows` are values and validity (C, Y, X) from all over the scene. Immerkaer's difference (1996) with the median
    instead of the mean, in the flattest windows.
    """
    found = [[_deviation(*band) for band in zip(*window, strict=True)] for window in windows]
    bands = ([value for value in band if value > 0] for band in zip(*found, strict=True))
    return tuple(float(np.percentile(band, FLATTEST)) if band else 0.0 for band in bands)


def _deviation(values: NDArray[Any], valid: NDArray[np.bool_]) -> float:
    """Of one band (Y, X) of a window; 0 where too few pixels, or too few different ones, tell."""
    from scipy import ndimage  # here and below: slow to import, and most scenes are not filtered

    whole = ndimage.minimum_filter(valid, 3)[1:-1, 1:-1]
    if np.count_nonzero(whole) < LEAST:
        return 0.0
    difference = ndimage.correlate(np.where(valid, values, 0).astype(np.float64), _DIFFERENCE)[1:-1, 1:-1]
    return float(np.median(np.abs(difference[whole]))) / 0.6745 / 6


def denoised(values: NDArray[Any], deviation: Sequence[float]) -> NDArray[np.float64]:
    """`values` (C, ..., Y, X), nodata filled, with noise of such a deviation per band taken out, unrounded.

    The local Wiener filter (Lim 1990, 9.2) over 3 x 3 pixels: what varies no more than the noise becomes its mean.
    `scipy.signal.wiener` pads with zeros, and may go through an FFT, which rounds each window otherwise.
    """
    found = values.astype(np.float64)
    around = (1,) * (values.ndim - 3) + (3, 3)
    for band, noise in enumerate(deviation):
        if noise > 0:
            mean = _mean(found[band], around)
            variance = np.maximum(_mean(found[band] ** 2, around) - mean**2, noise**2)
            found[band] = mean + (found[band] - mean) * (1 - noise**2 / variance)
    return found


def _mean(values: NDArray[np.float64], size: tuple[int, ...]) -> NDArray[np.float64]:
    """Over windows of `size`, mirrored at the edges; not by a running sum, which would depend on where it began."""
    from scipy import ndimage

    return np.asarray(ndimage.correlate(values, np.full(size, 1 / np.prod(size)), mode="mirror"))


def sharpened(values: NDArray[np.float32], amount: float, scale: int) -> NDArray[np.float32]:
    """SR values (C, ..., Y, X) with `amount` times their difference from their blur added.

    Good but for SHARPEN_PX * scale pixels along the edges, which see no further.
    """
    from skimage.filters import unsharp_mask

    planes = values.reshape(-1, *values.shape[-2:])
    # scikit-image has no types
    found = unsharp_mask(planes, RADIUS * scale, amount, preserve_range=True, channel_axis=0)  # type: ignore[no-untyped-call]
    return np.asarray(found, np.float32).reshape(values.shape)


def root_mean(squares: NDArray[np.float64], count: NDArray[np.int64]) -> tuple[float, ...]:
    """Per band; 0 where nothing was counted."""
    return tuple(np.sqrt(squares / np.maximum(count, 1)).tolist())
