"""Ends: what is cut off at the ends of the dtype, or at an extreme of the band's own that the LR knows nothing of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import BICUBIC_PX, MARGIN_PX, Block, shrunk
from srcore.limits import Limit

BY_CHANCE = 20
"""Pixels that may be at the extreme without anything being cut off."""
ULPS = 64
"""Roundings of float32 within which two numbers are one."""


def clipped_by(block: Block, ends: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
    """LR pixels (C, *core) whose mean the dtype may have moved: an SR pixel in them is at its end, which the LR around
    comes as near to as it varies there; and those that the same curve goes through, whose other half was not cut."""
    clipped = np.zeros(block.lr.shape, np.bool_)
    for band, (low, high) in enumerate(ends):
        least, most = block.low[band], block.high[band]
        if least.min(initial=high) <= low or most.max(initial=low) >= high:
            near_low, near_high = (values[band] for values in block.near)
            reach = near_high - near_low
            at_low = (least <= low) & (near_low - reach <= low)
            at_high = (most >= high) & (near_high + reach >= high)
            clipped[band] = _reached(at_low | at_high, block.around[band], (low, high))
    return clipped


def _reached(at_end: NDArray[np.bool_], around: NDArray[Any], ends: tuple[float, float]) -> NDArray[np.bool_]:
    """`at_end` (*core) and all within bicubic's reach of it in a slice; beyond the block the LR alone says what is at
    an end."""
    wide = shrunk((around <= ends[0]) | (around >= ends[1]), MARGIN_PX - BICUBIC_PX)
    shrunk(wide, BICUBIC_PX)[...] = at_end
    size = (1,) * (wide.ndim - 2) + (2 * BICUBIC_PX + 1,) * 2
    return np.asarray(shrunk(ndimage.maximum_filter(wide, size), BICUBIC_PX))


class EndsCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, ends: Sequence[tuple[float, float]], step: float, kept: Sequence[bool] = ()) -> None:
        self.ends = ends
        """Least and greatest number that a valid pixel of each band can have."""
        self.kept = tuple(kept) or (False,) * len(ends)
        """Of each band whether those are the ends of its own range, and not of the dtype."""
        self.valid = np.zeros(len(ends), np.int64)
        self.saturated = np.zeros((2, len(ends)))
        """LR pixels at an end of the dtype, in the LR and in any SR pixel."""
        self.piles = [(Pile(1, end, step), Pile(-1, end, step)) for end in ends]

    def add(self, block: Block) -> None:
        """Take a block into account."""
        self.valid += block.counts
        for band, (low, high) in enumerate(self.ends):
            seen = block.valid[band]
            lr, least, most = (values[band][seen] for values in (block.lr, block.low, block.high))
            if not lr.size:
                continue
            up, down = self.piles[band]
            near_low, near_high = (values[band][seen] for values in block.near)
            varied = lr[near_high > near_low]
            up.add(most, lr, varied, near_high)
            down.add(least, lr, varied, near_low)
            if not self.kept[band] and (least.min() <= low or most.max() >= high):
                at_end = np.count_nonzero((lr <= low) | (lr >= high)), np.count_nonzero((least <= low) | (most >= high))
                self.saturated[:, band] += at_end

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """What was cut off."""
        if not self.valid.any():
            return [abstain(f"values.{name}", "no pixel is valid") for name in ("clipped", "saturated")]
        return [
            judge(
                limits,
                "values.clipped",
                self._pile_up(),
                "of the pixels",
                "pixels at the SR's own extreme where the LR around is not at it",
                "highlights or shadows were cut off",
            ),
            judge(
                limits,
                "values.saturated",
                float(((self.saturated[1] - self.saturated[0]) / np.maximum(self.valid, 1)).max(initial=0.0)),
                "of the pixels",
                "pixels with an SR at an end of the dtype, beyond the LR's",
                "the dtype is too narrow for the SR",
            ),
        ]

    def _pile_up(self) -> float:
        """Share of LR pixels in which the SR is at its own extreme, and the LR around is not."""
        shares = [
            (pile.found() - BY_CHANCE) / max(int(count), 1)
            for piles, count in zip(self.piles, self.valid, strict=True)
            for pile in piles
        ]
        return max(0.0, *shares)


class Pile:
    """How many values are equal to the greatest (`sign` 1) or the least (-1) of all, inside the ends of the dtype,
    beyond what is no pile: an extreme that the LR does not reach, a roof or a lake that has this number in the LR too,
    as many as hold the whole number before it, and as many as the LR has at its own where it varies: a pattern may
    repeat itself."""

    def __init__(self, sign: int, ends: tuple[float, float], step: float) -> None:
        self.sign, self.ends, self.step = sign, ends, step
        self.extreme = self.lr = -np.inf
        self.apart = self.number = self.before = self.lr_number = 0
        """At the extreme where the LR is not, at the extreme, a step before it, and of the LR at its own extreme."""

    def add(self, values: NDArray[Any], lr: NDArray[Any], varied: NDArray[Any], near: NDArray[Any]) -> None:
        """Take values of the SR, the LR, those of it that others lie around, and its extremes there into account."""
        outwards = self.sign * values
        self._add_lr(float((self.sign * lr).max()), self.sign * varied)
        extreme = float(outwards.max())
        if extreme > self.extreme:
            self.before = self.number if self.step and extreme - self.step == self.extreme else 0
            self.extreme, self.apart, self.number = extreme, 0, 0
        at = outwards == self.extreme
        self.number += int(np.count_nonzero(at))
        self.apart += int(np.count_nonzero(np.abs(near[at] - self.sign * self.extreme) > self._same))
        if self.step:
            self.before += int(np.count_nonzero(outwards == self.extreme - self.step))

    def _add_lr(self, extreme: float, outwards: NDArray[Any]) -> None:
        if extreme > self.lr:
            self.lr, self.lr_number = extreme, 0
        self.lr_number += int(np.count_nonzero(outwards == self.lr))

    @property
    def _same(self) -> float:
        """Difference up to which two numbers are one."""
        return max(self.step, ULPS * float(np.finfo(np.float32).eps) * abs(self.extreme))

    def found(self) -> int:
        """The number; 0 when the extreme is an end of the dtype, or beyond all of the LR: then nothing was cut off."""
        at_end = self.extreme >= self.ends[1] if self.sign > 0 else -self.extreme <= self.ends[0]
        if at_end or self.extreme > self.lr + self._same:
            return 0
        return self.apart - max(self.before, self.lr_number)
