"""Seams: jumps between neighbouring SR columns and rows, where tiles meet against elsewhere.

The jump beyond what the slopes on both sides explain, |x0 - x-1 - ((x1 - x0) + (x-1 - x-2)) / 2|, less what the LR's
own jump there explains, is divided place by place by the range of the LR pixels around, which have the roads and shores
of the scene but no tiles. The mean along a border, over its median at the borders of LR pixels around, is 1 where no
seam is.

What the LR explains is no seam: one bright pixel counts for one place, however bright it is; places where nothing is
to be seen do not count; and where the LR itself varies more along a border than around, a shore lies there, and the
quotient is divided by how much more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import MARGIN_PX, Block, middle_slice
from srcore.limits import Limit

ROW_STEP = 9
"""Every so many SR rows are looked at across columns, and columns across rows: odd, to see all phases."""
NEIGHBOURS = 12
"""LR pixels on each side that a border is compared with."""
LEAST, LEAST_AROUND = 12, 6
"""Places behind a mean, and borders behind a median, at least."""
EXPLAINED = 1.5
"""LR ranges that a jump counts for at most: a line of one SR pixel makes that much."""
HINTED = 1.25
"""Jumps of the LR at a border that explain one of the SR: a wall that stands there is no seam."""
SMALL = 0.03
"""LR ranges that are added to both sides of a quotient: between smooth borders there is little to compare."""
ULPS = 64
"""Roundings of float32 below which floats do not differ."""

CHANCE = 1.0
"""Standard error by which the mean along a border may be too large: a seam runs along all of it."""

Profile = NDArray[np.float64]
"""(4, C, n), for the border before every LR pixel: sums of jumps in ranges, of their squares, of ranges, and of how
many."""


class SeamCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, shape: Sequence[int], scale: Sequence[int], step: float) -> None:
        self.step = step
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        self.scale = tuple(scale[-2:])
        self.shape = tuple(shape[-2:])
        self.strips: dict[tuple[int, int], Profile] = {}
        """By axis and start of the block across it."""
        self.left: tuple[tuple[Any, ...], NDArray[Any], NDArray[np.bool_]] | None = None
        self.above: dict[int, tuple[int, NDArray[Any], NDArray[np.bool_]]] = {}

    def add(self, block: Block) -> None:
        """Take a block into account; band after band, the middle slice of a volume."""
        values, valid = middle_slice(block.sr), middle_slice(block.sr_valid)
        around = middle_slice(block.around)
        rows, cols = (slice(w.start * s, w.stop * s) for w, s in zip(block.core[-2:], self.scale, strict=True))
        thin, thin_valid = values[:, ::ROW_STEP], valid[:, ::ROW_STEP]
        key = (rows.start, cols.start)
        if self.left is not None and self.left[0] == key:
            thin = np.concatenate([self.left[1], thin], axis=2)
            thin_valid = np.concatenate([self.left[2], thin_valid], axis=2)
        self._add_borders(1, block, around, thin, thin_valid)
        self.left = ((rows.start, cols.stop), thin[..., -3:].copy(), thin_valid[..., -3:].copy())
        thin, thin_valid = values[..., ::ROW_STEP], valid[..., ::ROW_STEP]
        kept = self.above.get(cols.start)
        tail = (rows.stop, thin[:, -3:].copy(), thin_valid[:, -3:].copy())
        if kept is not None and kept[0] == rows.start:
            thin, thin_valid = np.concatenate([kept[1], thin], axis=1), np.concatenate([kept[2], thin_valid], axis=1)
        turned = (one.transpose(0, 2, 1) for one in (around, thin, thin_valid))
        self._add_borders(0, block, *turned)
        self.above[cols.start] = tail

    def _add_borders(
        self, axis: int, block: Block, around: NDArray[Any], values: NDArray[Any], valid: NDArray[np.bool_]
    ) -> None:
        """Borders along the last axis of the SR (C, across, along), which ends where the block does, thinned across;
        `around` is the LR with MARGIN_PX on all sides, turned alike."""
        along, factor = block.core[axis - 2], self.scale[axis]
        start = along.stop * factor - values.shape[2]
        at = range(-(-(start + 2) // factor) * factor - start, values.shape[2] - 1, factor)
        if not at:
            return
        beside = [slice(at[0] + k, at[-1] + k + 1, factor) for k in (-2, -1, 0, 1)]
        exact: NDArray[Any] = values.astype(block.work, copy=False)
        jumps = _jump(*(exact[..., place] for place in beside))
        seen = reduce(np.logical_and, (valid[..., place] for place in beside), np.isfinite(jumps))
        across = np.arange(values.shape[1]) * ROW_STEP // self.scale[1 - axis] + MARGIN_PX
        first = (start + at[0]) // factor
        around = around.astype(block.work, copy=False)
        ranges, steps, floor = self._around(around, across, first - along.start + MARGIN_PX, len(at))
        seen &= (ranges > floor) | (jumps > 2 * floor)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            quotients = np.fmin(np.maximum(jumps - HINTED * steps, 0) / (ranges + floor), EXPLAINED)
        window = slice(first, first + len(at))
        strip = self._strip(axis, block.core[-1 - axis].start, len(values))
        quotients, ranges = np.where(seen, quotients, 0), np.where(seen, ranges, 0)
        for total, part in zip(strip, (quotients, quotients**2, ranges, seen), strict=True):
            total[:, window] += part.sum(axis=1, dtype=np.float64)

    def _around(
        self, around: NDArray[Any], across: NDArray[np.int64], first: int, count: int
    ) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """Range of the LR pixels around `count` borders (C, across, count), their own jump, and what is no difference
        there; the first border lies before pixel `first` of the last axis."""
        pixels = [around[:, across + k] for k in (-1, 0, 1)]
        least, most = reduce(np.minimum, pixels), reduce(np.maximum, pixels)
        parts = [slice(first + k, first + k + count) for k in range(-MARGIN_PX, MARGIN_PX)]
        low = reduce(np.minimum, (least[..., part] for part in parts))
        high = reduce(np.maximum, (most[..., part] for part in parts))
        steps = _jump(*(pixels[1][..., part] for part in parts[1:-1]))
        rounding = ULPS * float(np.finfo(np.float32).eps) * np.maximum(np.abs(low), np.abs(high))
        return high - low, steps, np.full(low.shape, self.step) if self.step else rounding

    def _strip(self, axis: int, across: int, bands: int) -> Profile:
        if (axis, across) not in self.strips:
            self.strips[axis, across] = np.zeros((4, bands, self.shape[axis]))
        return self.strips[axis, across]

    def checks(self, limits: Mapping[str, Limit], cores: Sequence[int] | None) -> list[Check]:
        """The greatest ratio at a border of tiles of `cores` LR pixels; of whole columns, when that is not known."""
        found = [self._worst(axis, None if cores is None else cores[axis - 2]) for axis in (0, 1)]
        ratios = [ratio for ratio in found if ratio is not None]
        if not ratios:
            return [abstain("seams.step", "no border of tiles inside the scene, or too little to see along it")]
        basis = "mean jump across a border in ranges of the LR there, relative to the borders around, worst border"
        return [judge(limits, "seams.step", max(ratios), "x elsewhere", basis, "the tiles do not fit each other")]

    def _worst(self, axis: int, core: int | None) -> float | None:
        """The greatest ratio of the axis; None when there is no border, or too little along it."""
        found = [np.zeros(0)]
        for profile in self._profiles(axis, whole=core is None):
            ratios = _ratios(profile)[:, core :: core or 1]
            # A seam goes through all bands; what only one of them has was there before.
            found.append(np.nanmedian(ratios[:, np.isfinite(ratios).any(axis=0)], axis=0))
        values = np.concatenate(found)
        return float(values.max()) if values.size else None

    def _profiles(self, axis: int, whole: bool) -> list[Profile]:
        """Along every strip, or along the whole scene."""
        strips = [profile for (of, _), profile in sorted(self.strips.items()) if of == axis]
        if not whole or not strips:
            return strips
        # Where borders are is not known: whole columns, so that chance has less to say.
        return [np.sum(strips, axis=0)]


def _ratios(profile: Profile) -> NDArray[np.float64]:
    """How much more the SR jumps at a border than around, beyond chance and what the LR explains (C, n); NaN where too
    little is seen there or around."""
    quotients, squares, ranges, numbers = profile
    enough = numbers >= max(LEAST, 0.25 * numbers.max(initial=0))
    seen = ndimage.convolve1d(enough.astype(np.int64), np.ones(2 * NEIGHBOURS + 1), axis=1, mode="constant")
    number = np.fmax(numbers, 1)
    mean = quotients / number
    error = np.sqrt(np.maximum(squares / number - mean**2, 0) / number)
    more = (np.maximum(mean - CHANCE * error, 0) + SMALL) / (_around(mean, enough) + SMALL)
    tiny = float(np.finfo(np.float64).tiny)
    larger = (ranges / number + tiny) / (_around(ranges / number, enough) + tiny)
    inside = np.arange(enough.shape[1]) >= MARGIN_PX
    inside &= inside[::-1]  # nearer to the scene's edge every tool has its own way
    return np.where(enough & inside & (seen > LEAST_AROUND), more / np.maximum(1, larger), np.nan)


def _around(values: NDArray[np.float64], enough: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median of (C, n) over NEIGHBOURS on both sides, of those with enough behind them."""
    usual = np.array([[np.median(band[seen]) if seen.any() else 0] for band, seen in zip(values, enough, strict=True)])
    size = (1, 2 * NEIGHBOURS + 1)
    return np.asarray(ndimage.median_filter(np.where(enough, values, usual), size, mode="nearest"))


def _jump(before: NDArray[Any], left: NDArray[Any], right: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(1.5 * (right - left) - 0.5 * (after - before)))
