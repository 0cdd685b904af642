"""Continuity: no slice of the SR stands out from those beside it more than the LR explains.

The bend of a voxel, |SR - mean of the slices before and behind|, less what the jumps of the LR there explain, is
divided by the range of the LR around: nearest and cubic slices come to nothing. The mean over a slice, over that of the
slices around, is 1 where no slice stands out; where the LR itself varies more in a slice than around, the quotient is
divided by how much more, as at seams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit

ROW_STEP = 3
"""Every so many LR rows are looked at."""
AROUND = 12
"""SR slices on each side that one is compared with."""
LEAST = 64
"""Voxels of a slice below which its mean says nothing."""
EXPLAINED, HINTED, SMALL = 0.5, 1.25, 0.03
"""As in `srcore.checks.seams`: ranges that a bend counts for at most (a slice that stands out does so everywhere, a
plate of bone in few places), jumps of the LR that explain one, and what is added to both sides of a quotient."""

Kept = tuple[int, dict[str, NDArray[Any]]]


class ContinuityCheck:
    """Collects block by block, in raster order: `add` every block, then `checks`."""

    def __init__(self, slices: int, scale: Sequence[int], step: float) -> None:
        self.scale = tuple(scale)
        self.step = step
        self.sums = np.zeros((3, slices * scale[0]))
        """Of each SR slice: bends in ranges, ranges, and how many."""
        self.before: dict[tuple[int, int], Kept] = {}
        """By the first row and column of a block: where it ended, and its last two slices of the LR."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        depth, rows, columns = block.core
        mine, key = self._thin(block), (rows.start, columns.start)
        end, kept = self.before.get(key, (-1, {}))
        first = depth.start
        if end == depth.start:
            first -= len(kept["lr"])
            mine = {name: np.concatenate([kept[name], values]) for name, values in mine.items()}
        if len(mine["lr"]) > 2:
            self._add_slices(first, mine)
        last = {name: values[-2 * (self.scale[0] if name.startswith("sr") else 1) :] for name, values in mine.items()}
        self.before[key] = (depth.stop, {name: values.copy() for name, values in last.items()})

    def _thin(self, block: Block) -> dict[str, NDArray[Any]]:
        """Some rows, slices first: LR with its least and greatest around, and the SR voxels at the corner of each."""
        lr, (low, high) = block.lr, block.near
        _, down, along = self.scale
        thin = (0, slice(None), slice(None, None, ROW_STEP))
        fine = (0, slice(None), slice(None, None, ROW_STEP * down), slice(None, None, along))
        values = {"lr": lr[thin], "low": low[thin], "high": high[thin]}
        return {**values, "sr": block.sr[fine].astype(block.work), "sr_valid": block.sr_valid[fine]}

    def _add_slices(self, first: int, found: dict[str, NDArray[Any]]) -> None:
        """All but the first and the last slice of the LR, which starts at slice `first` of the scene."""
        times, lr, sr, seen = self.scale[0], found["lr"], found["sr"], found["sr_valid"]
        steps = np.abs(np.diff(lr, axis=0))
        hint = np.maximum(steps[1:], steps[:-1]).repeat(times, axis=0)
        low = np.minimum(np.minimum(found["low"][:-2], found["low"][1:-1]), found["low"][2:])
        high = np.maximum(np.maximum(found["high"][:-2], found["high"][1:-1]), found["high"][2:])
        ranges = (high - low).repeat(times, axis=0)
        inside, stop = slice(times, -times), len(sr) - times
        beside = (sr[times - 1 : stop - 1] + sr[times + 1 : stop + 1]) / 2
        known = seen[inside] & seen[times - 1 : stop - 1] & seen[times + 1 : stop + 1]
        floor = self.step or 1e-5 * np.maximum(np.abs(low), np.abs(high)).repeat(times, axis=0)
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            bend = np.abs(sr[inside] - beside)
            quotient = np.fmin(np.maximum(bend - HINTED * hint - floor, 0) / (ranges + floor), EXPLAINED)
        known &= np.isfinite(quotient) & ((ranges > floor) | (bend > 2 * floor))
        at = slice((first + 1) * times, (first + 1) * times + len(bend))
        for total, part in zip(self.sums, (quotient, ranges, np.ones_like(bend)), strict=True):
            total[at] += np.where(known, part, 0).sum(axis=(1, 2), dtype=np.float64)

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """How much the slice that stands out most does."""
        bends, ranges, number = self.sums
        enough = number >= max(LEAST, 0.25 * number.max(initial=0))
        if np.count_nonzero(enough) < 4:
            return [abstain("slices.step", "too few slices between others, or too little to see in them")]
        count = np.maximum(number, 1)
        tiny = float(np.finfo(np.float64).tiny)
        larger = (ranges / count + tiny) / (_around(ranges / count, enough) + tiny)
        ratio = (bends / count + SMALL) / (_around(bends / count, enough) + SMALL) / np.maximum(1, larger)
        ratio = np.where(enough, ratio, 0)
        worst = int(np.argmax(ratio))
        basis = f"mean bend of a slice beyond the LR's, over that of the slices around; worst is slice {worst + 1}"
        hint = "a slice does not fit those beside it"
        return [judge(limits, "slices.step", float(ratio[worst]), "x around", basis, hint)]


def _around(values: NDArray[np.float64], enough: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median over AROUND on both sides, of those with enough behind them."""
    usual = np.where(enough, values, np.median(values[enough]))
    return np.asarray(ndimage.median_filter(usual, 2 * AROUND + 1, mode="nearest"))
