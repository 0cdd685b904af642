"""How far one window lies beside another: cross-correlation of many windows at once, to 1/100 pixel.

The peak on whole pixels comes from the Fourier transform; around it the correlation is computed as a matrix DFT
(Guizar-Sicairos et al. 2008), first every tenth of a pixel, then every hundredth around the highest: a patch holds
nothing finer than its pixels, so there is one hill between them. A Hann window, and no spectral normalisation, which
would weigh the frequencies that only one of the two has.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

SOFTER_PX = 0.7
"""Deviation of a Gaussian, in LR pixels: what aliases in an average stands still when the SR moves."""
LEAST_LIKENESS = 0.5
"""Correlation of averaged SR and LR below which a patch says nothing of where it lies."""
TENTHS = np.arange(-7, 8) / 10
"""Pixels around a whole one; half of one would do, but for the rounding of the first peak."""
HUNDREDTHS = np.arange(-10, 11) / 100


def shifts(ours: NDArray[Any], theirs: NDArray[Any]) -> NDArray[np.float64]:
    """Rows and columns (n, 2) that windows (n, y, x) of mean 0 lie beside others of their shape, in their pixels.

    NaN where the two correlate too little to say.
    """
    length = np.sqrt((ours**2).sum(axis=(1, 2)) * (theirs**2).sum(axis=(1, 2)))
    alike = (ours * theirs).sum(axis=(1, 2))
    known = np.flatnonzero((alike >= LEAST_LIKENESS * length) & (length > 0) & np.isfinite(length))
    found = np.full((len(ours), 2), np.nan)
    if known.size:
        found[known] = _peaks(_spectrum(theirs[known]) * _spectrum(ours[known]).conj())
    return 0 - found  # what is not moved is moved by 0, not by -0


def beside(ours: NDArray[Any], theirs: NDArray[Any]) -> tuple[float, float] | None:
    """`shifts` of one window (y, x); None where the two correlate too little to say."""
    row, column = shifts(ours[None], theirs[None])[0]
    return None if np.isnan(row) else (float(row), float(column))


def _spectrum(windows: NDArray[Any]) -> NDArray[np.complex128]:
    from scipy import ndimage  # half a second; the first tile comes without

    softer = ndimage.gaussian_filter(windows.astype(np.float64), (0, SOFTER_PX, SOFTER_PX), mode="nearest")
    rows, columns = (np.hanning(size + 2)[1:-1] for size in windows.shape[1:])
    return np.asarray(np.fft.fft2(softer * rows[:, None] * columns))


def _peaks(product: NDArray[np.complex128]) -> NDArray[np.float64]:
    """Where the correlation (n, y, x) of a product of spectra is highest, each (row, column)."""
    shape = product.shape[1:]
    highest = _highest(np.fft.ifft2(product))
    at = np.where(highest > np.array(shape) // 2, highest - shape, highest).astype(np.float64)
    for around in (TENTHS, HUNDREDTHS):
        rows, columns = (_waves(size, at[:, axis, None] + around) for axis, size in enumerate(shape))
        at += around[_highest(rows @ product @ columns.transpose(0, 2, 1))]
    return np.where(np.array(shape) == 1, 0.0, at)


def _waves(size: int, places: NDArray[np.float64]) -> NDArray[np.complex128]:
    """What takes a spectrum along an axis of `size` to `places` (n, m): (n, m, size)."""
    return np.asarray(np.exp(2j * np.pi * places[:, :, None] * np.fft.fftfreq(size)))


def _highest(values: NDArray[np.complex128]) -> NDArray[np.int64]:
    """Row and column (n, 2) of the largest of each of n planes."""
    flat = np.abs(values).reshape(len(values), -1).argmax(axis=1)
    return np.stack(np.unravel_index(flat, values.shape[1:]), axis=1)
