"""Spread: what the numbers of each band of the LR are like, so that a difference can be called large or small.

Percentiles alone say nothing of a scene that is flat but for a few lights, and no number is exact: what lies below the
resolution of the dtype, or of the generator's float32, is no difference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks.blocks import Block

SAMPLE_STEP = 3
"""Every so many LR rows and columns are kept for percentiles, at most SAMPLES a band."""
SAMPLES = 2**17
ULPS = 8
"""Roundings of the generator's float32 that a number went through, at most."""
TINIEST, HUGEST = 1e-130, 1e130


@dataclass(frozen=True)
class BandSpread:
    """The valid numbers of one band of the LR."""

    whole: bool
    """True for whole numbers."""
    count: int
    mean: float
    deviation: float
    span: float
    """2nd to 98th percentile, or the deviation where few pixels hold all of it."""
    most: float
    """Greatest size of a number."""
    resolution: float
    """Differences up to here say nothing: a step of whole numbers, some roundings of floats."""
    mode: float
    """Share of the most frequent number."""

    @property
    def squarable(self) -> bool:
        """True where float64 holds squares of these numbers, and of their roundings."""
        return TINIEST < self.most < HUGEST

    @property
    def yardstick(self) -> float:
        """What differences are measured in: the span, and at least ten times the resolution."""
        return max(self.span, 10 * self.resolution)


class Spread:
    """Collects block by block: `add` every block, then `bands`."""

    def __init__(self, bands: int, dtype: np.dtype[Any]) -> None:
        self.whole = bool(np.issubdtype(dtype, np.integer))
        self.dtype = dtype
        self.count = np.zeros(bands, np.int64)
        self.pivot = np.full(bands, np.nan)
        """A number of each band; moments are of what is left without it, so that a large offset costs no digits."""
        self.sums, self.squares, self.most = np.zeros(bands), np.zeros(bands), np.zeros(bands)
        self.kept: list[list[NDArray[Any]]] = [[] for _ in range(bands)]
        """(2, n): LR and averaged SR."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        grid = (..., slice(None, None, SAMPLE_STEP), slice(None, None, SAMPLE_STEP))
        for band, kept in enumerate(self.kept):
            lr = block.lr[band][block.valid[band]]
            if not lr.size:
                continue
            self._add_moments(band, lr)
            seen = block.valid[band][grid]
            kept.append(np.stack([block.lr[band][grid][seen], block.averaged[band][grid][seen]]))
            if sum(part.shape[1] for part in kept) > 2 * SAMPLES:
                kept[:] = [np.concatenate(kept, axis=1)[:, ::2]]

    def _add_moments(self, band: int, lr: NDArray[Any]) -> None:
        if np.isnan(self.pivot[band]):
            self.pivot[band] = lr[0]
        without = lr - lr.dtype.type(self.pivot[band])
        self.count[band] += lr.size
        self.sums[band] += without.sum(dtype=np.float64)
        self.squares[band] += np.einsum("n,n->", without, without, dtype=np.float64)
        self.most[band] = max(self.most[band], float(np.abs(lr).max()))

    def sample(self, band: int) -> NDArray[Any]:
        """(2, n): LR and averaged SR at the same places."""
        kept = self.kept[band]
        return np.concatenate(kept, axis=1) if kept else np.zeros((2, 0))

    @cached_property
    def bands(self) -> list[BandSpread]:
        """The bands, when all blocks were added."""
        return [self._band(band) for band in range(len(self.kept))]

    def _band(self, band: int) -> BandSpread:
        lr = self.sample(band)[0]
        if not self.count[band]:
            return BandSpread(self.whole, 0, 0.0, 0.0, 0.0, 0.0, self._resolution(0.0, 0.0), 0.0)
        count = int(self.count[band])
        mean, square = self.sums[band] / count, self.squares[band] / count
        deviation = float(np.sqrt(max(square - mean**2, 0.0)))
        low, high = np.percentile(lr.astype(np.float64), (2, 98)) if lr.size else (0.0, 0.0)
        span = max(float(high - low), deviation)
        mode = float(np.unique(lr, return_counts=True)[1].max() / lr.size) if lr.size else 1.0
        most = float(self.most[band])
        resolution = self._resolution(most, span)
        return BandSpread(self.whole, count, float(self.pivot[band] + mean), deviation, span, most, resolution, mode)

    def _resolution(self, most: float, span: float) -> float:
        if self.whole:
            return 1.0
        stored = np.finfo(self.dtype)
        rounding = float(stored.eps) * most + float(np.finfo(np.float32).eps) * span
        return ULPS * max(rounding, float(stored.smallest_subnormal)) if most else 0.0
