"""PSNR, SSIM and the like as papers on super-resolution report them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError

SSIM_WINDOW_PX = 11


def psnr(truth: NDArray[Any], test: NDArray[Any], data_range: float) -> float:
    """Peak signal-to-noise ratio in dB of two arrays of one shape; infinite when they are equal.

    Written out: scikit-image's brings scipy.stats, a second of every validation, for one line.
    """
    _same_shape(truth, test)
    with np.errstate(divide="ignore"):
        return float(10 * np.log10(data_range**2 / np.mean((_double(truth) - _double(test)) ** 2)))


def ssim(truth: NDArray[Any], test: NDArray[Any], data_range: float) -> float:
    """Structural similarity (Wang et al. 2004) of two planes (Y, X), 1 when they are equal.

    Gaussian window of 11 x 11 pixels, sigma 1.5, means over the region where it fits. GridError below 11 pixels.
    """
    _same_shape(truth, test)
    if min(truth.shape) < SSIM_WINDOW_PX:
        raise GridError("SSIM needs 11 x 11 pixels", f"{truth.shape}", "give a larger image")
    from skimage.metrics import structural_similarity

    return float(
        structural_similarity(  # type: ignore[no-untyped-call]
            _double(truth),
            _double(test),
            data_range=data_range,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
    )


def spectral_angle(truth: NDArray[Any], test: NDArray[Any]) -> float:
    """Mean angle in degrees between the spectra of two images (C, ..., Y, X) (SAM, Kruse et al. 1993).

    0 for one band, which has no spectrum: numbers of another sign, as HU around water's 0, would be 180 degrees apart.
    """
    _same_shape(truth, test)
    if len(truth) == 1:
        return 0.0
    a, b = _double(truth), _double(test)
    size = np.sqrt((a * a).sum(axis=0) * (b * b).sum(axis=0))
    cosine = (a * b).sum(axis=0)[size > 0] / size[size > 0]
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))).mean()) if cosine.size else 0.0


def ergas(truth: NDArray[Any], test: NDArray[Any], scale: float) -> float:
    """Relative dimensionless error of synthesis (Wald 2000) of images (C, Y, X): 0 when they are equal.

    100 / scale times the root of the mean over the bands of (RMSE / mean of the band) squared.
    """
    _same_shape(truth, test)
    a, b = (_double(values).reshape(len(values), -1) for values in (truth, test))
    relative = ((a - b) ** 2).mean(axis=1) / np.maximum(a.mean(axis=1) ** 2, 1e-12)
    return float(100 / scale * np.sqrt(relative.mean()))


def luma(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Y (Y, X) in 16..235, unrounded, of an 8-bit image (3, Y, X): ITU-R BT.601 as MATLAB's rgb2ycbcr."""
    red, green, blue = _double(rgb)
    y: NDArray[np.float64] = 16 + (65.481 * red + 128.553 * green + 24.966 * blue) / 255
    return y


def crop_border(plane: NDArray[Any], border_px: int) -> NDArray[Any]:
    """`plane` (..., Y, X) without `border_px` pixels on each side."""
    height, width = plane.shape[-2:]
    return plane[..., border_px : height - border_px, border_px : width - border_px]


def _double(values: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(values, np.float64)


def _same_shape(truth: NDArray[Any], test: NDArray[Any]) -> None:
    if truth.shape != test.shape:
        raise GridError("images of different shapes cannot be compared", f"{truth.shape} and {test.shape}", "crop them")
