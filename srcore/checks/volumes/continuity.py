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
RINGING = (0.25, 0.05, 0.05)
"""Parts of jumps one, two and three slices further away that explain a bend: where a body begins at once, what
interpolates and back-projection ring in the slices beside it, which may be flat themselves."""
FAR = 1 + len(RINGING)
"""LR slices on each side that one is looked at with."""

Kept = tuple[int, dict[str, NDArray[Any]]]


class ContinuityCheck:
    """Collects block by block, in raster order: `add` every block, then `checks`."""

    def __init__(self, slices: int, scale: Sequence[int], step: float, least: float = 0.0) -> None:
        self.slices, self.scale = slices, tuple(scale)
        self.step, self.least = step, least
        """What is no bend, and the least range of the LR that a bend is measured in, in numbers of the LR."""
        self.sums = np.zeros((3, slices * scale[0]))
        """Of each SR slice: bends in ranges, ranges, and how many."""
        self.before: dict[tuple[int, int], Kept] = {}
        """By the first row and column of a block: where it ended, and its last slices of the LR, up to 2 FAR."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        depth, rows, columns = block.core
        mine, key = self._thin(block), (rows.start, columns.start)
        end, kept = self.before.get(key, (-1, {}))
        first, start = depth.start, 1
        if end == depth.start:
            first, start = first - len(kept["lr"]), max(1, len(kept["lr"]) - FAR)
            mine = {name: np.concatenate([kept[name], values]) for name, values in mine.items()}
        stop = len(mine["lr"]) - (1 if depth.stop == self.slices else FAR)
        if start < stop:
            self._add_slices(first, mine, np.arange(start, stop))
        last = {
            name: values[-2 * FAR * (self.scale[0] if name.startswith("sr") else 1) :] for name, values in mine.items()
        }
        self.before[key] = (depth.stop, {name: values.copy() for name, values in last.items()})

    def _thin(self, block: Block) -> dict[str, NDArray[Any]]:
        """Some rows, slices first: LR with its least and greatest around, and the SR voxels at the corner of each."""
        lr, (low, high) = block.lr, block.near
        _, down, along = self.scale
        thin = (0, slice(None), slice(None, None, ROW_STEP))
        fine = (0, slice(None), slice(None, None, ROW_STEP * down), slice(None, None, along))
        values = {"lr": lr[thin], "low": low[thin], "high": high[thin]}
        return {**values, "sr": block.sr[fine].astype(block.work), "sr_valid": block.sr_valid[fine]}

    def _add_slices(self, first: int, found: dict[str, NDArray[Any]], at: NDArray[np.intp]) -> None:
        """The slices `at` of an LR that starts at slice `first` of the scene: they lie between two others."""
        times, sr, seen = self.scale[0], found["sr"], found["sr_valid"]
        explained = _explained(found["lr"], at).repeat(times, axis=0)
        low, high = (_over_three(found[name], at, by) for name, by in (("low", np.minimum), ("high", np.maximum)))
        ranges = (high - low).repeat(times, axis=0)
        start, stop = int(at[0]) * times, (int(at[-1]) + 1) * times
        inside, behind, ahead = (slice(start + k, stop + k) for k in (0, -1, 1))
        beside = (sr[behind] + sr[ahead]) / 2
        known = seen[inside] & seen[behind] & seen[ahead]
        floor = np.maximum(self.step, 1e-5 * np.maximum(np.abs(low), np.abs(high)).repeat(times, axis=0))
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            bend = np.abs(sr[inside] - beside)
            against = np.maximum(ranges, self.least) + floor
            quotient = np.fmin(np.maximum(bend - explained - floor, 0) / against, EXPLAINED)
        # all of floats counts: a network bends a flat ground around a body more in one slice of five, and a mean of
        # that ground and the body alone is of other voxels in each slice
        known &= np.isfinite(quotient) & ((ranges > floor) | (bend > 2 * floor) | (self.least > 0))
        of_scene = slice(first * times + start, first * times + stop)
        for total, part in zip(self.sums, (quotient, ranges, np.ones_like(bend)), strict=True):
            total[of_scene] += np.where(known, part, 0).sum(axis=(1, 2), dtype=np.float64)

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


def _explained(lr: NDArray[Any], at: NDArray[np.intp]) -> NDArray[Any]:
    """What the jumps of the LR around the slices `at` explain of a bend there."""
    jumps = np.abs(np.diff(lr, axis=0))
    found: NDArray[Any] = np.zeros_like(jumps[at])
    for away, part in enumerate((HINTED, *RINGING)):
        both = np.maximum(jumps[np.maximum(at - 1 - away, 0)], jumps[np.minimum(at + away, len(jumps) - 1)])
        found = np.maximum(found, part * both)
    return found


def _over_three(values: NDArray[Any], at: NDArray[np.intp], by: np.ufunc) -> NDArray[Any]:
    """Of the slices `at` with the one before and the one behind each."""
    return np.asarray(by(by(values[at - 1], values[at]), values[at + 1]))


def _around(values: NDArray[np.float64], enough: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Median over AROUND on both sides, of those with enough behind them."""
    usual = np.where(enough, values, np.median(values[enough]))
    return np.asarray(ndimage.median_filter(usual, 2 * AROUND + 1, mode="nearest"))
