"""What an HR holds beyond its LR, and whether that is more than noise or a pattern. Pure.

An HR that was only enlarged (nearest, bilinear, bicubic, Lanczos) can be told from its own averages: every pixel is one
weighted sum of the averages around it, the same weights everywhere. What the best such sum cannot tell is detail.

What somebody added to an enlarged HR is no averages' either. But white noise says nothing of the pixel beside it, and a
checkerboard repeats: it is a single line of the spectrum. Edges and texture go on from pixel to pixel.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from scipy import ndimage

Plane = NDArray[np.float64]

REACH_LR_PX = 2
"""LR pixels around one that its HR pixels are told from: (2 * REACH + 1)^2 weights."""
LARGEST_HR_PX = 512
"""Of the middle that is looked at."""
PERIODS = (120, 24)
"""Sides are cropped to multiples of one of these, so that patterns of 2, 3, 4, 5, 6 or 8 pixels are whole lines."""
LINE, AROUND = 40.0, 9
"""A line of the spectrum is so many times as strong as the median of the 9 x 9 around it: white noise reaches 16."""
FEW = 4
"""Blocks for each weight that are needed to say what surroundings tell."""


@dataclass(frozen=True)
class Detail:
    """Of an HR, in rms over the rms of its averages' changes from pixel to pixel."""

    beyond: float
    """What its averages do not tell: 0 for a plane that was enlarged, or has no changes."""
    told: float
    """What of that the pixels beside it tell, without lines: 0 for white noise and for what repeats."""


def detail(hr: NDArray[Any], scale: tuple[int, int]) -> Detail:
    """Of a plane (y * s, x * s) without nodata."""
    plane = _middle(hr, scale).astype(np.float64)
    rows, columns = scale
    blocks = plane.reshape(plane.shape[0] // rows, rows, plane.shape[1] // columns, columns)
    lr = blocks.mean((1, 3))
    changes = np.sqrt((np.diff(lr, axis=0) ** 2).mean() + (np.diff(lr, axis=1) ** 2).mean())
    if not changes > 0:
        return Detail(0.0, 0.0)
    side = 2 * REACH_LR_PX + 1
    around = sliding_window_view(lr, (side, side)).reshape(-1, side * side)
    inner = blocks[REACH_LR_PX:-REACH_LR_PX, :, REACH_LR_PX:-REACH_LR_PX]
    fine = inner.transpose(0, 2, 1, 3).reshape(len(around), -1)
    level = around.mean(axis=1, keepdims=True)
    weights, *_ = np.linalg.lstsq(around - level, fine - level, rcond=None)
    left = (fine - level - (around - level) @ weights).reshape(inner.shape[0], inner.shape[2], rows, columns)
    beyond = float(np.sqrt((left**2).mean()) / changes)
    plain = _without_lines(left.transpose(0, 2, 1, 3).reshape(inner.shape[0] * rows, -1), scale)
    return Detail(beyond, float(np.sqrt((plain**2).mean() * _from_beside(plain, scale)) / changes))


def _without_lines(left: Plane, scale: tuple[int, int]) -> Plane:
    """What does not repeat, of the first pixels that patterns fit in whole."""
    size = [max((n // p * p for p in PERIODS if n >= p), default=n) for n in left.shape]
    size = [n // s * s for n, s in zip(size, scale, strict=True)]
    spectrum = np.fft.rfft2(left[: size[0], : size[1]])
    power = np.abs(spectrum) ** 2
    usual = ndimage.median_filter(power, size=AROUND, mode="wrap")
    spectrum[power > LINE * np.maximum(usual, np.finfo(float).eps * power.max())] = 0
    return np.fft.irfft2(spectrum, s=size)


def _from_beside(left: Plane, scale: tuple[int, int]) -> float:
    """Share of the power of each block that the best weighted sum of the pixels around the block tells, 0 to 1.

    1 where there are too few blocks to say it.
    """
    rows, columns = scale
    windows = sliding_window_view(left, (rows + 2, columns + 2))[rows - 1 :: rows, columns - 1 :: columns]
    outside = np.ones((rows + 2, columns + 2), bool)
    outside[1:-1, 1:-1] = False
    beside, blocks = windows[:, :, outside], windows[:, :, ~outside]
    beside, blocks = (one.reshape(-1, one.shape[-1]) for one in (beside, blocks))
    free = len(beside) - beside.shape[1]
    if free < (FEW - 1) * beside.shape[1]:
        return 1.0
    weights, *_ = np.linalg.lstsq(beside, blocks, rcond=None)
    power = float((blocks**2).mean())
    left_over = float(((blocks - beside @ weights) ** 2).sum(axis=0).mean() / free)
    return max(0.0, 1.0 - left_over / power) if power > 0 else 0.0


def _middle(hr: NDArray[Any], scale: tuple[int, int]) -> NDArray[Any]:
    inside = []
    for size, s in zip(hr.shape, scale, strict=True):
        side = min(size, LARGEST_HR_PX) // s * s
        first = (size - side) // 2 // s * s
        inside.append(slice(first, first + side))
    return hr[tuple(inside)]
