"""How much of an SR's detail is true, missing or made up, where the true HR is known.

The figures of opensr-test, computed anew from their published definitions: C. Aybar, D. Montero, S. Donike,
F. Kalaitzis, L. Gomez-Chova, "A Comprehensive Benchmark for Optical Remote Sensing Image Super-Resolution", IEEE
Geoscience and Remote Sensing Letters 21 (2024), and the metrics' pages of its documentation. With LR enlarged by a
method without parameters, and all distances L1, mean of the bands, pixel by pixel:

    d_ref = |LR - HR|    d_im = |SR - HR| / d_ref    d_om = |SR - LR| / d_ref    H = d_im + d_om - 1
    improvement   = d_im + d_om (1 - exp(-g H))      0 where the SR is the HR
    omission      = d_om + d_im (1 - exp(-g H))      0 where the SR is the LR
    hallucination = exp(-g d_im d_om)                0 where it is far from both

A pixel belongs to the least of the three. Only pixels with detail count: where one of the three distances is above the
75th percentile of d_ref. Before that, the SR's histogram is matched to the HR's, band by band, and a shift is taken
out, so that only detail is compared. Ours: distances in units of the band's span instead of reflectance, and
cross-correlation where the original has learned features to find the shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.registration import phase_cross_correlation

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import average_down
from srcore.checks.patches import Patch
from srcore.limits import Limit
from srcore.metrics import spectral_angle

GAMMA = 0.8
BORDER_PX = 16
"""SR pixels on each side that do not count."""
DETAIL = 0.75
"""Quantile of |LR - HR| above which a pixel has detail."""


@dataclass(frozen=True)
class OpenSr:
    """The figures of one image; shares add up to 1."""

    reflectance: float
    """Mean |averaged SR - LR| in spans of the bands: 0 is best."""
    spectral: float
    """Mean angle between the spectra of averaged SR and LR, in degrees: 0 is best."""
    spatial: float
    """Shift between averaged SR and LR, in LR pixels: 0 is best."""
    synthesis: float
    """Mean |SR - LR| of the harmonised SR in spans: how much detail was added, true or not."""
    hallucination: float
    """Share of the pixels with detail."""
    omission: float
    improvement: float


def compare(lr: NDArray[Any], sr: NDArray[Any], hr: NDArray[Any]) -> OpenSr:
    """The figures of sr (C, Y, X) against lr (C, Y / s, X / s) and hr (C, Y, X)."""
    scale = tuple(fine // coarse for fine, coarse in zip(sr.shape[1:], lr.shape[1:], strict=True))
    low, high = np.percentile(hr, (2, 98), axis=(1, 2))
    span = np.where(high > low, high - low, 1.0)[:, None, None]
    lr, sr, hr = (np.asarray(values, np.float64) / span for values in (lr, sr, hr))
    averaged = average_down(sr, scale)
    enlarged = np.stack([ndimage.zoom(band, scale, order=1, mode="grid-mirror", grid_mode=True) for band in lr])
    harmonised = _harmonised(sr, hr)
    cut = (slice(None), slice(BORDER_PX, -BORDER_PX), slice(BORDER_PX, -BORDER_PX))
    shares = _shares(enlarged[cut], harmonised[cut], hr[cut])
    return OpenSr(
        reflectance=float(np.abs(averaged - lr).mean()),
        spectral=spectral_angle(lr, averaged),
        spatial=float(np.hypot(*_shift(lr, averaged))),
        synthesis=float(np.abs(harmonised - enlarged)[cut].mean()),
        hallucination=shares[2],
        omission=shares[1],
        improvement=shares[0],
    )


def scores(d_im: NDArray[Any], d_om: NDArray[Any]) -> NDArray[np.float64]:
    """Improvement, omission and hallucination (3, ...) of relative distances; the least names the class."""
    away = 1 - np.exp(-GAMMA * (d_im + d_om - 1))
    return np.stack([d_im + d_om * away, d_om + d_im * away, np.exp(-GAMMA * d_im * d_om)])


def _shares(lr: NDArray[Any], sr: NDArray[Any], hr: NDArray[Any]) -> list[float]:
    reference, to_hr, to_lr = (np.abs(a - b).mean(axis=0) for a, b in ((lr, hr), (sr, hr), (sr, lr)))
    detail = np.maximum(np.maximum(reference, to_hr), to_lr) > np.quantile(reference, DETAIL)
    if not detail.any():
        return [0.0, 0.0, 0.0]
    by = np.maximum(reference[detail], 1e-9)
    classes = scores(to_hr[detail] / by, to_lr[detail] / by).argmin(axis=0)
    return [float((classes == index).mean()) for index in range(3)]


def _harmonised(sr: NDArray[Any], hr: NDArray[Any]) -> NDArray[Any]:
    """The SR with the HR's histograms, moved onto the HR."""
    from skimage.exposure import match_histograms  # slow to import, and needed only where the true HR is known

    matched = np.stack([match_histograms(a, b) for a, b in zip(sr, hr, strict=True)])
    shift = _shift(hr, matched)
    if np.hypot(*shift) < 0.1:
        return matched
    return np.stack([ndimage.shift(band, shift, order=3, mode="nearest") for band in matched])


def _shift(truth: NDArray[Any], moved: NDArray[Any]) -> tuple[float, float]:
    """Rows and columns by which `moved` has to be moved onto `truth`."""
    a, b = (values.mean(axis=0) - values.mean() for values in (truth, moved))
    window = np.hanning(a.shape[0] + 2)[1:-1, None] * np.hanning(a.shape[1] + 2)[1:-1]
    found = phase_cross_correlation(  # type: ignore[no-untyped-call]
        a * window, b * window, upsample_factor=50, normalization=None
    )[0]
    return float(found[0]), float(found[1])


def opensr_checks(patches: Sequence[Patch], limits: Mapping[str, Limit]) -> list[Check]:
    """Mean figures of the patches whose HR is known; none without."""
    given = [patch for patch in patches if patch.hr is not None and min(patch.hr.shape[1:]) > 3 * BORDER_PX]
    known = [patch for patch in given if np.isfinite(patch.sr).all()]
    if not known:
        return [abstain("opensr.improvement", "no patch with numbers alone")] if given else []
    rows = [astuple(compare(patch.lr, patch.sr, patch.hr)) for patch in known if patch.hr is not None]
    figures = OpenSr(*np.mean(rows, axis=0))
    basis = f"opensr-test (Aybar et al. 2024) on {len(known)} patches against the true HR"
    return [
        judge(limits, "opensr.improvement", figures.improvement, "of detail", basis),
        judge(limits, "opensr.omission", figures.omission, "of detail", basis),
        judge(limits, "opensr.hallucination", figures.hallucination, "of detail", basis),
        judge(limits, "opensr.synthesis", figures.synthesis, "spans", basis),
        judge(limits, "opensr.reflectance", figures.reflectance, "spans", basis),
        judge(limits, "opensr.spectral", figures.spectral, "degrees", basis),
        judge(limits, "opensr.spatial", figures.spatial, "LR px", basis),
    ]
