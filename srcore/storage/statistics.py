"""Least, greatest, mean and deviation of a band, gathered block by block while its pixels stream past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Statistics:
    """Of the usable, finite pixels seen so far; float64."""

    count: int = 0
    seen: int = 0
    """Pixels looked at, usable or not."""
    least: float = math.inf
    greatest: float = -math.inf
    mean: float = 0.0
    squares: float = 0.0
    """Sum of the squared differences from the mean."""

    @property
    def std(self) -> float:
        """Deviation of the population, as GDAL's STATISTICS_STDDEV."""
        return math.sqrt(self.squares / self.count) if self.count else 0.0

    def with_block(self, values: NDArray[Any], usable: NDArray[np.bool_]) -> Statistics:
        """These and one more block. Merged as in Chan, Golub, LeVeque 1979: no sum of squares that cancels."""
        chosen = values[usable].astype(np.float64)
        chosen = chosen[np.isfinite(chosen)]
        if not chosen.size:
            return Statistics(self.count, self.seen + values.size, self.least, self.greatest, self.mean, self.squares)
        mean = float(chosen.mean())
        squares = float(np.square(chosen - mean).sum())
        count, apart = self.count + chosen.size, mean - self.mean
        return Statistics(
            count,
            self.seen + values.size,
            min(self.least, float(chosen.min())),
            max(self.greatest, float(chosen.max())),
            self.mean + apart * chosen.size / count,
            self.squares + squares + apart**2 * self.count * chosen.size / count,
        )

    def tags(self) -> dict[str, str]:
        """As GDAL names them; none where no pixel is usable."""
        if not self.count:
            return {}
        return {
            "STATISTICS_MINIMUM": repr(self.least),
            "STATISTICS_MAXIMUM": repr(self.greatest),
            "STATISTICS_MEAN": repr(self.mean),
            "STATISTICS_STDDEV": repr(self.std),
            "STATISTICS_VALID_PERCENT": f"{100 * self.count / self.seen:.4g}",
        }
