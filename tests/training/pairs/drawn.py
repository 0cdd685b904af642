"""Drawn pairs: ground at three times the HR's sampling, seen by an HR and, blurred and with noise, by an LR."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy import ndimage

from srcore.training.pairs.sample import Sample

FINE = 3
"""Ground pixels on an HR pixel."""
MARGIN_HR_PX = 24


def ground(seed: int, shape: tuple[int, int] = (160, 144)) -> np.ndarray:
    """(y, x) of an HR of `shape` with a margin: fields with edges, texture of all sizes, between 0 and 1."""
    rng = np.random.default_rng(seed)
    sizes = tuple((n + 2 * MARGIN_HR_PX) * FINE for n in shape)
    fields = ndimage.gaussian_filter(rng.normal(size=sizes), 12) > 0
    texture = sum(
        weight * ndimage.gaussian_filter(rng.normal(size=sizes), sigma) * sigma
        for sigma, weight in ((3, 1.0), (6, 1.5), (12, 2.0), (30, 2.5))
    )
    values = texture + 2.0 * fields
    return (values - values.min()) / np.ptp(values)


def seen(
    values: np.ndarray,
    step: int,
    shape: tuple[int, int],
    *,
    blur: float = 0.3,
    shift_px: tuple[float, float] = (0.0, 0.0),
    warp: Callable[[np.ndarray], np.ndarray] | None = None,
) -> np.ndarray:
    """What a sensor with pixels of `step` ground pixels sees of the ground behind the margin, in 0 to 1.

    `blur`: deviation in its pixels; `shift_px`: what it shows lies so many of its pixels further down and right.
    """
    soft = ndimage.gaussian_filter(values, blur * step)
    if warp is not None:
        soft = warp(soft)
    if any(shift_px):
        soft = ndimage.shift(soft, [one * step for one in shift_px], order=3, mode="nearest")
    first = MARGIN_HR_PX * FINE
    inside = soft[first : first + shape[0] * step, first : first + shape[1] * step]
    return inside.reshape(shape[0], step, shape[1], step).mean((1, 3))


def pair(
    seed: int = 0,
    *,
    scale: int = 2,
    shape: tuple[int, int] = (80, 72),
    noise: float = 0.0,
    lr_blur: float = 0.3,
    dtype: Any = np.uint16,
    shift_hr_px: tuple[float, float] = (0.0, 0.0),
    warp: Callable[[np.ndarray], np.ndarray] | None = None,
) -> Sample:
    """A pair of an LR of `shape`; noise is a deviation in parts of the range."""
    fine = (shape[0] * scale, shape[1] * scale)
    world = ground(seed, fine)
    hr = seen(world, FINE, fine, shift_px=shift_hr_px, warp=warp)
    lr = seen(world, FINE * scale, shape, blur=lr_blur)
    rng = np.random.default_rng(seed + 1000)
    lr, hr = (one + noise * rng.normal(size=one.shape) for one in (lr, hr))
    return sample(number(lr, dtype), number(hr, dtype), scale)


def number(values: np.ndarray, dtype: Any) -> np.ndarray:
    """0 to 1 as numbers of a dtype that are not clipped."""
    if np.dtype(dtype).kind == "f":
        return values.astype(dtype)
    top = {1: 200, 2: 9000}[np.dtype(dtype).itemsize]
    low = -top // 2 if np.dtype(dtype).kind == "i" else 20
    return np.rint(low + values * top).astype(dtype)


def sample(lr: np.ndarray, hr: np.ndarray, scale: int) -> Sample:
    """All valid, of one band."""
    ones = [np.ones((1, *one.shape), bool) for one in (lr, hr)]
    return Sample(lr[None], ones[0], hr[None], ones[1], (scale, scale))
