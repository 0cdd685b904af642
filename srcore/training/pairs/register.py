"""By how much an HR lies beside its LR, and whether by the same everywhere. Pure.

Whole LR pixels are found by the correlation of a window with all places of the other (where they would correlate best,
within REACH_LR_PX); parts of a pixel by the cross-correlation that VALIDATE uses. The HR is averaged to the LR first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.shift import beside

REACH_LR_PX = 8
"""Furthest shift of the whole that is looked for."""
NEAR_LR_PX = 4
"""Furthest shift of a window from the whole's."""
SIDE_LR_PX = 64
LEAST_SIDE_LR_PX = 20
CELLS = 5
"""Windows on an axis, at most."""
LEAST_VALID = 0.9
LEAST_PEAK = 0.6
"""Correlation of a window with its best place below which it says nothing of where it lies."""
LARGEST_LR_PX = 512
"""Of the middle that the whole's shift is found by."""
STRONG_PEAK = 0.8
"""Windows with less (moving clouds, water) count only where fewer than half have more."""
BANDS = 4
"""That are looked at, spread over all."""


@dataclass(frozen=True)
class Registration:
    """Where the HR lies beside its LR."""

    shift_lr_px: tuple[float, ...]
    """Rows and columns (before them slices, of a volume), median of the windows."""
    spread_lr_px: float
    """Furthest that the median of a quarter of the scene lies from the median of all."""
    windows: int
    """That could say it; 0: none could, and the shift is not known."""


NOWHERE = Registration((0.0, 0.0), 0.0, 0)


def register(reduced: NDArray[Any], lr: NDArray[Any], usable: NDArray[np.bool_]) -> Registration:
    """Of two images (C, y, x) of one size and the pixels that count."""
    bands = np.unique(np.linspace(0, len(lr) - 1, min(BANDS, len(lr))).round()).astype(int)
    coarse = _coarse(reduced[bands], lr[bands])
    rows = [(at, _window(reduced[bands], lr[bands], usable[bands], at, coarse)) for at in _starts(lr.shape[1:])]
    found = [(at, shift) for at, shift in rows if shift is not None]
    if not found:
        return NOWHERE
    strong = [(at, shift) for at, shift in found if shift[2] >= STRONG_PEAK]
    found = strong if 2 * len(strong) >= len(found) else found
    centres, shifts = np.array([at[:2] for at, _ in found], float), np.array([shift[:2] for _, shift in found])
    median = np.median(shifts, axis=0)
    return Registration((float(median[0]), float(median[1])), _spread(centres, shifts - median), len(found))


def _coarse(reduced: NDArray[Any], lr: NDArray[Any]) -> tuple[int, int]:
    """Whole pixels by which the middle of the LR lies elsewhere in the HR."""
    sizes = lr.shape[1:]
    sides = [min(size - 2 * REACH_LR_PX, LARGEST_LR_PX) for size in sizes]
    if min(sides) < LEAST_SIDE_LR_PX:
        return 0, 0
    first = [(size - side) // 2 for size, side in zip(sizes, sides, strict=True)]
    best = max((_peak(a, b, first, sides, REACH_LR_PX) for a, b in zip(reduced, lr, strict=True)), key=_height)
    return best[1]


def _height(peak: tuple[float, tuple[int, int]]) -> float:
    return peak[0]


def _peak(
    ours: NDArray[Any], theirs: NDArray[Any], first: Sequence[int], sides: Sequence[int], reach: int
) -> tuple[float, tuple[int, int]]:
    """Best correlation of a window of `theirs` with places of `ours` at most `reach` away, and how far away it is."""
    from skimage.feature import match_template

    (y, x), (rows, columns) = first, sides
    part = theirs[y : y + rows, x : x + columns]
    low = [max(0, at - reach) for at in first]
    around = ours[low[0] : y + rows + reach, low[1] : x + columns + reach]
    if np.ptp(part) == 0 or np.ptp(around) == 0:
        return 0.0, (0, 0)
    # scikit-image has no types for it
    found = match_template(around.astype(np.float64), part.astype(np.float64))  # type: ignore[no-untyped-call]
    at = np.unravel_index(int(np.argmax(found)), found.shape)
    return float(found[at]), (int(at[0]) + low[0] - y, int(at[1]) + low[1] - x)


def _starts(sizes: Sequence[int]) -> list[tuple[int, int, int]]:
    """First row and column of windows that are spread over the image, and their side."""
    side = min(SIDE_LR_PX, max(LEAST_SIDE_LR_PX, min(sizes) // 3), *sizes)
    each = [
        np.unique(np.linspace(0, size - side, max(1, min(CELLS, size // max(1, side)))).round()).astype(int)
        for size in sizes
    ]
    return [(int(y), int(x), side) for y in each[0] for x in each[1]]


def _window(
    reduced: NDArray[Any],
    lr: NDArray[Any],
    usable: NDArray[np.bool_],
    at: tuple[int, int, int],
    coarse: tuple[int, int],
) -> tuple[float, float, float] | None:
    """Shift of one window by its best band, and how well it is found; None where it does not say."""
    y, x, side = at
    inside = (slice(y, y + side), slice(x, x + side))
    clear = [band for band in range(len(lr)) if usable[(band, *inside)].mean() >= LEAST_VALID]
    # the HR as far away as the whole is: what has left the image there is rolled in, and does not correlate
    rolled = {band: np.roll(reduced[band], (-coarse[0], -coarse[1]), (0, 1)) for band in clear}
    peaks = {band: _peak(rolled[band], lr[band], (y, x), (side, side), NEAR_LR_PX) for band in clear}
    if not peaks:
        return None
    band = max(peaks, key=lambda one: peaks[one][0])
    height, (down, right) = peaks[band]
    if height < LEAST_PEAK:
        return None
    ours = np.roll(rolled[band], (-down, -right), (0, 1))[inside]
    theirs = lr[(band, *inside)].astype(np.float64)
    size = float(np.abs(theirs - theirs.mean()).max())
    fine = beside((ours - ours.mean()) / size, (theirs - theirs.mean()) / size)
    return None if fine is None else (coarse[0] + down + fine[0], coarse[1] + right + fine[1], height)


def _spread(centres: NDArray[Any], apart: NDArray[Any]) -> float:
    """Of the medians of the quarters of the image: one window that errs moves none of them far."""
    middle = (centres.min(axis=0) + centres.max(axis=0)) / 2
    medians = [
        np.hypot(*np.median(apart[rows & columns], axis=0))
        for rows in (centres[:, 0] <= middle[0], centres[:, 0] >= middle[0])
        for columns in (centres[:, 1] <= middle[1], centres[:, 1] >= middle[1])
        if (rows & columns).any()
    ]
    return float(max(medians))
