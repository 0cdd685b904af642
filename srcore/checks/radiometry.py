"""Radiometry: dtype, mask, finite numbers, and where the values of each band lie."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit

CELL_PX = 64
"""LR pixels along a side of the smallest area that is looked at for itself."""
QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
BY_CHANCE = 20
"""Pixels that may be at the extreme without anything being cut off."""
SAMPLE_STEP = 3
"""Every so many LR rows and columns are kept for the quantiles, at most SAMPLES a band."""
SAMPLES = 2**17


class RadiometryCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, ends: Sequence[tuple[float, float]], step: float) -> None:
        self.step = step
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        self.ends = ends
        """Least and greatest number that a valid pixel of each band can have."""
        bands = len(ends)
        self.mask_errors = self.not_finite = self.flat = 0
        self.valid = np.zeros(bands, np.int64)
        self.sums = np.zeros((2, bands))
        """LR and averaged SR, per band, where no SR pixel is at an end: clipping is no bias."""
        self.squares, self.counts = np.zeros(bands), np.zeros(bands)
        self.saturated = np.zeros((2, bands))
        """LR pixels at an end of the dtype, in the LR and in any SR pixel."""
        self.cells: list[tuple[NDArray[np.float64], NDArray[np.float64]]] = []
        """Mean of SR - LR and validity of every cell, per band: 16 bytes for CELL_PX x CELL_PX pixels."""
        self.kept: list[list[NDArray[Any]]] = [[] for _ in range(bands)]
        self.piles = [(Pile(1, end), Pile(-1, end), Pile(1, end), Pile(-1, end)) for end in ends]
        """Of each band: greatest and least of the SR, greatest and least of the LR."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        self.mask_errors += block.mask_errors
        self.valid += block.counts
        difference = block.averaged - block.lr
        if block.sr.dtype.kind == "f":
            finite = np.isfinite(difference)
            self.not_finite += int(np.count_nonzero(~finite & block.valid))
            difference = np.where(finite, difference, 0)
        self._add_cells(block, difference)
        self._keep(block)
        for band in range(len(self.ends)):
            self._add_band(block, band, difference[band])

    def _add_band(self, block: Block, band: int, difference: NDArray[Any]) -> None:
        low, high = self.ends[band]
        seen = slice(None) if block.whole else block.valid[band]
        lr, least, most = (values[band][seen].reshape(-1) for values in (block.lr, block.low, block.high))
        difference = difference[seen].reshape(-1)
        for pile, values in zip(self.piles[band], (most, least, lr, lr), strict=True):
            pile.add(values)
        if least.size and (least.min() <= low or most.max() >= high):
            at_end = (least <= low) | (most >= high)
            self.saturated[:, band] += np.count_nonzero((lr <= low) | (lr >= high)), np.count_nonzero(at_end)
            lr, difference = lr[~at_end], difference[~at_end]
        total = lr.sum(dtype=np.float64)
        self.sums[:, band] += total, total + difference.sum(dtype=np.float64)
        self.squares[band] += np.einsum("n,n->", lr, lr, dtype=np.float64)
        self.counts[band] += lr.size

    def _add_cells(self, block: Block, difference: NDArray[Any]) -> None:
        size = _cells(np.ones((1, *block.lr.shape[1:]), np.float32), np.add)
        number = size if block.whole else _cells(block.valid.astype(np.float32), np.add)
        mean = _cells(difference, np.add) / np.maximum(number, 1)
        self.cells.append((mean, np.broadcast_to(number / size, mean.shape)))
        reach = _reach(block.lr, block.lr, block.valid)
        got = _reach(block.low, block.high, block.valid)
        self.flat += int(np.count_nonzero((got == 0) & (reach > 4 * self.step)))

    def _keep(self, block: Block) -> None:
        grid = (..., slice(None, None, SAMPLE_STEP), slice(None, None, SAMPLE_STEP))
        for band, kept in enumerate(self.kept):
            seen = block.valid[band][grid]
            kept.append(np.stack([block.lr[band][grid][seen], block.averaged[band][grid][seen]]))
            if sum(part.shape[1] for part in kept) > 2 * SAMPLES:
                kept[:] = [np.concatenate(kept, axis=1)[:, ::2]]

    def checks(self, limits: Mapping[str, Limit], expected_dtype: str, found_dtype: str) -> list[Check]:
        """What was found."""
        spans = self.spans()
        worst = max((abs(self._cell_shift(band, span)) for band, span in enumerate(spans)), default=0.0)
        return [
            Check(
                "values.dtype",
                "GATE",
                found_dtype == expected_dtype,
                found_dtype,
                "",
                expected_dtype,
                "dtype of the source",
                "the product was written in another dtype",
            ),
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
            judge(
                limits,
                "values.flat",
                float(self.flat),
                "cells",
                f"no constant {CELL_PX} px cell where the LR varies",
                "a block was not written, or the generator went flat",
            ),
            judge(
                limits,
                "values.mean",
                self.mean_shift(),
                "of mean or spread",
                "mean of each band against the LR",
                "a bias of the model, or an offset that was lost",
            ),
            judge(
                limits,
                "values.block_mean",
                worst,
                "of the band's span",
                f"mean of SR - LR in the worst {CELL_PX} px cell",
                "one tile differs from its neighbours",
            ),
            judge(
                limits,
                "values.quantiles",
                self._quantile_shift(),
                "of the pixels",
                "distribution of the averaged SR against the LR's, at its quantiles",
                "tails were cut, or the contrast changed",
            ),
            judge(
                limits,
                "values.clipped",
                self._pile_up(),
                "of the pixels",
                "pixels at the band's own extreme, SR beyond LR",
                "highlights or shadows were cut off",
            ),
            judge(
                limits,
                "values.saturated",
                self._saturation(),
                "of the pixels",
                "pixels with an SR at an end of the dtype, beyond the LR's",
                "the dtype is too narrow for the SR",
            ),
        ]

    def mean_shift(self) -> float:
        """Largest |mean(SR) - mean(LR)| of a band, over the larger of |mean(LR)| and the LR's standard deviation."""
        counts = np.maximum(self.counts, 1)
        lr, sr = self.sums / counts
        spread = np.sqrt(np.maximum(self.squares / counts - lr**2, 0))
        reference = np.maximum(np.maximum(np.abs(lr), spread), 1e-12)
        return float(np.where(self.counts > 0, np.abs(sr - lr) / reference, 0.0).max(initial=0.0))

    def spans(self) -> list[float]:
        """2nd to 98th percentile of the LR of each band, and at least ten steps; infinite where no pixel was kept."""
        spans = []
        for kept in self.kept:
            lr = np.concatenate([part[0] for part in kept]) if kept else np.zeros(0)
            low, high = np.percentile(lr, (2, 98)) if lr.size else (0.0, np.inf)
            spans.append(max(float(high - low), 10 * self.step, 1e-12))
        return spans

    def _cell_shift(self, band: int, span: float) -> float:
        """Mean of SR - LR in the worst cell that is at least half valid."""
        shifts = [np.abs(mean[band][share[band] > 0.5]).max(initial=0.0) for mean, share in self.cells]
        return float(max(shifts, default=0.0)) / span

    def _quantile_shift(self) -> float:
        """Largest difference of the two distribution functions at the LR's QUANTILES, of the worst band."""
        shifts = [0.0]
        for kept in self.kept:
            lr, sr = np.concatenate(kept, axis=1) if kept else np.zeros((2, 0))
            if lr.size >= 1000:
                # Half a step more: means of whole numbers lie between them. Floats often hold whole numbers.
                step = float(np.diff(np.unique(lr)).min(initial=np.inf))
                at = np.quantile(lr, QUANTILES)[:, None] + 0.5 * (step if np.isfinite(step) else 0.0)
                shifts += [abs(float((lr <= q).mean() - (sr <= q).mean())) for q in at]
        return max(shifts)

    def _pile_up(self) -> float:
        """Share of LR pixels in which the SR is at its own extreme, beyond the LR's share at its own."""
        worst = 0.0
        for (up, down, lr_up, lr_down), count in zip(self.piles, self.valid, strict=True):
            beyond = max(up.found() - lr_up.found(), down.found() - lr_down.found())
            worst = max(worst, (beyond - BY_CHANCE) / max(int(count), 1))
        return worst

    def _saturation(self) -> float:
        return float(((self.saturated[1] - self.saturated[0]) / np.maximum(self.valid, 1)).max(initial=0.0))


class Pile:
    """How many values are equal to the greatest (`sign` 1) or the least (-1) of all, inside the ends of the dtype."""

    def __init__(self, sign: int, ends: tuple[float, float]) -> None:
        self.sign, self.ends = sign, ends
        self.extreme, self.number = -np.inf, 0

    def add(self, values: NDArray[Any]) -> None:
        """Take values into account."""
        if not values.size:
            return
        extreme = float(self.sign * (values.max() if self.sign > 0 else values.min()))
        if extreme > self.extreme:
            self.extreme, self.number = extreme, 0
        if extreme == self.extreme:
            self.number += int(np.count_nonzero(values == self.sign * extreme))

    def found(self) -> int:
        """The number; 0 when the extreme is an end of the dtype."""
        at_end = self.extreme >= self.ends[1] if self.sign > 0 else -self.extreme <= self.ends[0]
        return 0 if at_end else self.number


def _reach(low: NDArray[Any], high: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[Any]:
    """Greatest of `high` minus least of `low` in each cell; negative infinity without a valid pixel."""
    if valid.all():
        return np.asarray(_cells(high, np.maximum) - _cells(low, np.minimum))
    highest = _cells(np.where(valid, high, -np.inf), np.maximum)
    return highest - np.where(np.isfinite(highest), _cells(np.where(valid, low, np.inf), np.minimum), 0)


def _cells(values: NDArray[Any], operation: np.ufunc) -> NDArray[Any]:
    """(C, ..., y, x) to (C, ny, nx): `operation` over cells of CELL_PX, and over the slices of a volume."""
    starts = [np.arange(0, size, CELL_PX) for size in values.shape[-2:]]
    rows = operation.reduceat(values, starts[0], axis=-2)
    cells = operation.reduceat(rows, starts[1], axis=-1)
    while cells.ndim > 3:
        cells = operation.reduce(cells, axis=1)
    return np.asarray(cells)
