"""Detail of finer bands added to a much coarser one of the same scene: MTF-GLP with weights found around every pixel.

    guides --optics--> what the coarse sensor sees of them --+--> weights by least squares in windows of SIDE coarse px
       |                                                     |                   |
       +-------------- minus, enlarged ----------------------+--> details  x  weights  +  the band, enlarged

As Aiazzi et al. 2006 (context-based), and as `models.guided` does it before its network. Each pixel is made of the same
sums in the same order, wherever the window begins.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from srcore.radiometry import enlarged

Plane = NDArray[np.float64]

SIDE = 5
"""Coarse pixels of the side of a window in which weights are found."""
OPTICS_PX = 2
"""Coarse pixels on each side of one that its sensor sees."""


def reach_px(side: int) -> int:
    """Coarse pixels on each side that decide a pixel: the window, the way up of the weights, the optics."""
    return side // 2 + 1 + OPTICS_PX


REACH_PX = reach_px(SIDE)
MTF = 0.3
"""Contrast at its Nyquist frequency that is taken for the coarse sensor."""
BYTES_PX = 120
"""Peak of memory of `injected` and of what is read for it, of four guides, a pixel of their window."""
RIDGE, FLAT = 1e-3, 1e-8
"""Parts of a guide's variance and of its mean square that are added to its variance: guides that say the same share the
weight, and one without detail has none."""


def injected(
    bands: NDArray[np.generic], guides: NDArray[np.generic], zoom: int, *, side: int = SIDE, ridge: float = RIDGE
) -> Plane:
    """`bands` (B, y, x) with the detail of `guides` (G, y * zoom, x * zoom), without `reach_px(side)` coarse pixels on
    each side: (B, (y - 2 reach) * zoom, ...), unrounded. The defaults are those that `benchmarks.sixty` chose."""
    lr, reach = bands.astype(np.float64), reach_px(side)
    seen = np.stack([_seen(guide.astype(np.float64), zoom) for guide in guides])  # without OPTICS_PX
    weights = _weights(_cut(lr, OPTICS_PX), seen, side, ridge)  # without OPTICS_PX + side // 2
    out = np.stack([_cut(enlarged(band, zoom), reach * zoom) for band in lr])
    for k, guide in enumerate(guides):
        low = _cut(enlarged(seen[k], zoom), (reach - OPTICS_PX) * zoom)
        detail = _cut(guide.astype(np.float64), reach * zoom) - low
        for band, weight in zip(out, weights[:, k], strict=True):
            band += _linear(weight, zoom) * detail
    return out


def _cut(values: Plane, margin: int) -> Plane:
    """Without so many pixels on each side."""
    return values[..., margin:-margin, margin:-margin]


def _seen(guide: Plane, zoom: int) -> Plane:
    """(y, x) what the coarse sensor sees of a guide (Y, X), without OPTICS_PX on each side."""
    taps = (2 * OPTICS_PX + 1) * zoom
    distance = (np.arange(taps) - (taps - 1) / 2) / zoom
    kernel = np.exp(distance**2 * np.pi**2 / (4 * np.log(MTF)))
    kernel /= kernel.sum()
    for axis in (0, 1):
        along = np.moveaxis(guide, axis, -1)
        count = along.shape[-1] // zoom - 2 * OPTICS_PX
        found = np.zeros((*along.shape[:-1], count))
        for k, weight in enumerate(kernel):
            found += weight * along[..., k : k + count * zoom : zoom]
        guide = np.moveaxis(found, -1, axis)
    return guide


def _mean(values: Plane, side: int) -> Plane:
    """Mean over windows of side x side (..., y - side + 1, x - side + 1)."""
    for axis in (-2, -1):
        along = np.moveaxis(values, axis, -1)
        count = along.shape[-1] - side + 1
        total = along[..., :count].copy()
        for k in range(1, side):
            total += along[..., k : k + count]
        values = np.moveaxis(total / side, -1, axis)
    return values


def _weights(bands: Plane, guides: Plane, side: int, ridge: float) -> Plane:
    """(B, G, ...) how much of each guide belongs to each band: least squares in each window."""
    count = len(guides)
    means, own = _mean(guides, side), _mean(bands, side)
    square = np.empty((*means.shape[1:], count, count))
    for i in range(count):
        for j in range(i + 1):
            square[..., i, j] = square[..., j, i] = _mean(guides[i] * guides[j], side) - means[i] * means[j]
    for i in range(count):  # by each guide's own variance: near infrared has many times that of blue
        least = FLAT * means[i] ** 2 + np.finfo(np.float64).tiny ** 0.5
        square[..., i, i] += ridge * np.maximum(square[..., i, i], 0) + least
    shared = np.stack(
        [
            np.stack([_mean(band * guide, side) - mean * m for guide, m in zip(guides, means, strict=True)], -1)
            for band, mean in zip(bands, own, strict=True)
        ],
        -1,
    )  # (..., G, B)
    return np.moveaxis(np.linalg.solve(square, shared), (-1, -2), (0, 1))


def _linear(coarse: Plane, zoom: int) -> Plane:
    """(y, x) between its pixels, without one of them on each side: ((y - 2) * zoom, (x - 2) * zoom)."""
    place = (np.arange(zoom) + 0.5) / zoom - 0.5
    for axis in (0, 1):
        along = np.moveaxis(coarse, axis, -1)
        before, at, behind = along[..., :-2], along[..., 1:-1], along[..., 2:]
        phases = [(1 - abs(p)) * at + abs(p) * (before if p < 0 else behind) for p in place]
        coarse = np.moveaxis(np.stack(phases, -1).reshape(*at.shape[:-1], -1), -1, axis)
    return coarse
