"""What an HR holds beyond its LR. Pure.

An HR that was only enlarged (nearest, bilinear, bicubic, Lanczos) can be told from its own averages: every pixel is one
weighted sum of the averages around it, the same weights everywhere. What the best such sum cannot tell is detail.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

REACH_LR_PX = 2
"""LR pixels around one that its HR pixels are told from: (2 * REACH + 1)^2 weights."""
LARGEST_HR_PX = 512
"""Of the middle that is looked at."""


def detail(hr: NDArray[Any], scale: tuple[int, int]) -> float:
    """Of a plane (y * s, x * s) without nodata: rms of what its averages do not tell, over the rms of their own changes
    from pixel to pixel. 0 for a plane that was enlarged, or has no changes."""
    plane = _middle(hr, scale).astype(np.float64)
    rows, columns = scale
    blocks = plane.reshape(plane.shape[0] // rows, rows, plane.shape[1] // columns, columns)
    lr = blocks.mean((1, 3))
    changes = np.sqrt((np.diff(lr, axis=0) ** 2).mean() + (np.diff(lr, axis=1) ** 2).mean())
    if not changes > 0:
        return 0.0
    side = 2 * REACH_LR_PX + 1
    around = sliding_window_view(lr, (side, side)).reshape(-1, side * side)
    inner = blocks[REACH_LR_PX:-REACH_LR_PX, :, REACH_LR_PX:-REACH_LR_PX]
    fine = inner.transpose(0, 2, 1, 3).reshape(len(around), -1)
    level = around.mean(axis=1, keepdims=True)
    weights, *_ = np.linalg.lstsq(around - level, fine - level, rcond=None)
    left = fine - level - (around - level) @ weights
    return float(np.sqrt((left**2).mean()) / changes)


def _middle(hr: NDArray[Any], scale: tuple[int, int]) -> NDArray[Any]:
    inside = []
    for size, s in zip(hr.shape, scale, strict=True):
        side = min(size, LARGEST_HR_PX) // s * s
        first = (size - side) // 2 // s * s
        inside.append(slice(first, first + side))
    return hr[tuple(inside)]
