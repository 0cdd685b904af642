"""Radiometry: dtype, mask, finite numbers, and whether the values of each band stayed what they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.checks.differences import CELL_PX, Differences, cells_of
from srcore.checks.ends import clipped_by
from srcore.checks.spread import Spread
from srcore.limits import Limit

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
LEAST_SAMPLES = 1000
"""Pixels of a band below which its distribution is not known well enough."""
SAME = 0.01
"""Yardsticks by which two numbers may differ and count as one in a distribution: many pixels can hold one number."""


class RadiometryCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, ends: Sequence[tuple[float, float]], spread: Spread, compared: bool) -> None:
        self.ends, self.spread, self.compared = ends, spread, compared
        """`compared` is False where bicubic along rows and columns is no yardstick."""
        self.mask_errors = self.not_finite = 0
        self.overflown = False
        """True when sums of a few pixels left float64: then nothing can be said of means."""
        self.valid = np.zeros(len(ends), np.int64)
        self.differences = Differences(len(ends))
        self.flat: list[tuple[int, float]] = []
        """Band and LR range of every cell in which the SR is constant."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        self.mask_errors += block.mask_errors
        self.valid += block.counts
        difference = block.averaged - block.lr
        if block.sr.dtype.kind == "f":
            finite = np.isfinite(difference)
            sound = finite | (np.isfinite(block.low) & np.isfinite(block.high))
            self.not_finite += int(np.count_nonzero(~sound & block.valid))
            self.overflown |= bool((sound & ~finite & block.valid).any())
            difference = np.where(finite, difference, 0)
        self._add_flat(block)
        bicubic = block.averaged_bicubic - block.lr if self.compared else 0.0
        self.differences.add(difference, block.lr, bicubic, block.valid & ~clipped_by(block, self.ends))

    def _add_flat(self, block: Block) -> None:
        reach, got = _reach(block.lr, block.lr, block.valid), _reach(block.low, block.high, block.valid)
        for band, *cell in np.argwhere((got == 0) & (reach > 0)):
            self.flat.append((int(band), float(reach[(band, *cell)])))

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """What was found."""
        return [
            judge(
                limits,
                "scene.empty",
                float(not self.valid.any()),
                "",
                "1 when no pixel of the scene is valid",
                "the source holds nothing but nodata",
            ),
            judge(
                limits,
                "mask.equal",
                float(self.mask_errors),
                "px",
                "nodata(SR) = nodata(LR), nearest",
                "valid pixels took the nodata number, or the mask moved",
            ),
            judge(
                limits,
                "values.finite",
                float(self.not_finite),
                "px",
                "no NaN or Inf in valid pixels",
                "the generator gave no number",
            ),
            *self._means(limits),
        ]

    def _means(self, limits: Mapping[str, Limit]) -> list[Check]:
        if not self.valid.any() or self.overflown:
            why = "sums of these numbers leave float64" if self.overflown else "no pixel is valid"
            return [abstain(f"values.{name}", why) for name in ("flat", "mean", "block_mean", "quantiles")]
        bands = self.spread.bands
        return [
            judge(
                limits,
                "values.flat",
                float(sum(reach > 4 * bands[band].resolution for band, reach in self.flat)),
                "cells",
                f"no constant {CELL_PX} px cell where the LR varies",
                "a block was not written, or the generator went flat",
            ),
            judge(
                limits,
                "values.mean",
                self.differences.mean_shift(bands),
                "of mean or spread",
                "mean of each band against the LR, beyond chance and rounding",
                "a bias of the model, or an offset that was lost",
            ),
            judge(
                limits,
                "values.block_mean",
                self.differences.worst_cell(bands),
                "of the band's span",
                f"mean of SR - LR in the worst {CELL_PX} px cell, beyond chance and rounding",
                "one tile differs from its neighbours",
            ),
            self._quantiles(limits),
        ]

    def _quantiles(self, limits: Mapping[str, Limit]) -> Check:
        """Largest difference of the two distribution functions at the LR's QUANTILES, of the worst band."""
        shifts = [
            distribution_shift(sample, max(band.resolution, SAME * band.yardstick))
            for band, sample in ((one, self.spread.sample(i)) for i, one in enumerate(self.spread.bands))
            if sample.shape[1] >= LEAST_SAMPLES
        ]
        if not shifts:
            return abstain("values.quantiles", f"fewer than {LEAST_SAMPLES} pixels were looked at")
        return judge(
            limits,
            "values.quantiles",
            max(shifts),
            "of the pixels",
            "distribution of the averaged SR against the LR's, at its quantiles",
            "tails were cut, or the contrast changed",
        )


def dtype_check(expected: str, found: str) -> Check:
    """Whether the SR has the dtype of its source."""
    hint = "the product was written in another dtype"
    return Check("values.dtype", "GATE", found == expected, found, "", expected, "dtype of the source", hint)


def distribution_shift(sample: NDArray[Any], same: float) -> float:
    """Share of the pixels that lie on the other side of one of the LR's QUANTILES, when numbers within `same` of it
    may be counted on either side. `sample` (2, n): LR and averaged SR."""
    lr, sr = np.sort(sample.astype(np.float64), axis=1)
    at = np.quantile(lr, QUANTILES)
    below, above = np.searchsorted(lr, at - same, "left"), np.searchsorted(lr, at + same, "right")
    found = np.stack([np.searchsorted(sr, at - same, "left"), np.searchsorted(sr, at + same, "right")])
    beyond = np.maximum(below - found[1], found[0] - above)
    return max(float(beyond.max()), 0.0) / len(lr)


def _reach(low: NDArray[Any], high: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Greatest of `high` minus least of `low` in each cell; negative infinity without a valid pixel."""
    if valid.all():
        return np.asarray(cells_of(high, np.maximum) - cells_of(low, np.minimum))
    highest = cells_of(np.where(valid, high, -np.inf), np.maximum)
    return highest - np.where(np.isfinite(highest), cells_of(np.where(valid, low, np.inf), np.minimum), 0)
