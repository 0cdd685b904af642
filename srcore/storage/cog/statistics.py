"""Least, greatest, mean and deviation of a band, gathered block by block while its pixels stream past."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray

from srcore.storage.raster.gdal import gdal_env

PART = 2**16
"""Integers of 16 bits whose squares add up exactly in float64, in any order; they stay in the cache, too."""


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

    @classmethod
    def of(cls, values: NDArray[Any], usable: NDArray[np.bool_]) -> Statistics:
        """Of one block."""
        chosen = values.reshape(-1) if usable.all() else values[usable]
        if chosen.dtype.kind in "iu" and chosen.dtype.itemsize <= 2 and chosen.size:
            return cls._of_integers(chosen, values.size)
        chosen = chosen.astype(np.float64)
        chosen = chosen[np.isfinite(chosen)]
        if not chosen.size:
            return cls(seen=values.size)
        with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the ends of float64
            mean = float(chosen.mean())
            squares = float(np.square(chosen - mean).sum())
        return cls(chosen.size, values.size, float(chosen.min()), float(chosen.max()), mean, squares)

    @classmethod
    def _of_integers(cls, chosen: NDArray[Any], seen: int) -> Statistics:
        """Of small integers, exactly: float64 holds the sums of a part, Python's integers those of the whole."""
        total = squares = 0
        for first in range(0, chosen.size, PART):
            part = chosen[first : first + PART].astype(np.float64)
            total += int(part.sum())
            squares += int(part @ part)
        count = int(chosen.size)
        spread = (squares * count - total**2) / count
        return cls(count, seen, float(chosen.min()), float(chosen.max()), total / count, spread)

    def merged(self, other: Statistics) -> Statistics:
        """These and others. As in Chan, Golub, LeVeque 1979: no sum of squares that cancels."""
        count, apart = self.count + other.count, other.mean - self.mean
        if not count:
            return Statistics(seen=self.seen + other.seen)
        return Statistics(
            count,
            self.seen + other.seen,
            min(self.least, other.least),
            max(self.greatest, other.greatest),
            self.mean + apart * other.count / count,
            self.squares + other.squares + apart**2 * self.count * other.count / count,
        )

    def tags(self) -> dict[str, str]:
        """As GDAL names them; none where no pixel is usable, nor what float64 cannot hold: a square of 1e300."""
        if not self.count:
            return {}
        told = {"MINIMUM": self.least, "MAXIMUM": self.greatest, "MEAN": self.mean, "STDDEV": self.std}
        finite = {f"STATISTICS_{name}": repr(value) for name, value in told.items() if math.isfinite(value)}
        return {**finite, "STATISTICS_VALID_PERCENT": f"{100 * self.count / self.seen:.4g}"}


def read_statistics(path: Path, bands: int) -> list[dict[str, float]]:
    """Minimum, maximum, mean, stddev and valid_percent of the first `bands` bands of a product; {} where none."""
    with gdal_env(), rasterio.open(path, driver="GTiff") as product:
        tags = [product.tags(index) for index in range(1, bands + 1)]
    names = ("minimum", "maximum", "mean", "stddev", "valid_percent")
    keys = {name: f"STATISTICS_{name.upper()}" for name in names}
    return [{name: float(band[key]) for name, key in keys.items() if key in band} for band in tags]
