"""The trust map: how far the SR may be from the truth, pixel by pixel. Pure numbers.

    half width = factor * (spread + floor)        spread: standard deviation of a self-ensemble

The generator sees the tile in its eight orientations (flips and quarter turns; the geometric self-ensemble of Timofte
et al., "Seven ways to improve example-based single image super resolution", CVPR 2016). Where the eight answers,
turned back, differ, the image does not decide what the detail is. The spread says where, not how much: `factor` turns
it into an interval that held-out scenes have proved, by split-conformal prediction (Lei et al., "Distribution-free
predictive inference for regression", JASA 2018), with |HR - SR| / (spread + floor) as the score.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

MEMBERS = 8
"""Orientations of a square."""
KEPT_BITS = 10
"""Of a half width's mantissa, 0.1 %: the rest is noise that no codec can shrink."""


class Trust(BaseModel):
    """What calibration found for one generator; part of its spec."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    coverage: float = Field(gt=0, lt=1)
    """Share of the true values that should lie within the half width."""
    factor: float = Field(gt=0)
    floor: float = Field(gt=0)
    """Added to the spread, in network values: where all orientations agree, noise remains."""
    back_projection: int = Field(ge=0)
    """Steps that the calibration ran with."""
    scenes: int = Field(gt=0)
    """Held-out scenes that it saw."""
    found: tuple[float, float, float]
    """Least, mean and greatest coverage of a sensor that the factor was not fitted on: one left out at a time."""


def turned(block: NDArray[Any], member: int) -> NDArray[Any]:
    """`block` (..., Y, X) in one of its eight orientations; 0 is as it is."""
    quarter = np.rot90(block, member % 4, axes=(-2, -1))
    return np.ascontiguousarray(quarter[..., ::-1] if member >= 4 else quarter)


def turned_back(block: NDArray[Any], member: int) -> NDArray[Any]:
    """What `turned` took as its input."""
    quarter = block[..., ::-1] if member >= 4 else block
    return np.ascontiguousarray(np.rot90(quarter, -(member % 4), axes=(-2, -1)))


class Spread:
    """Standard deviation over the members of an ensemble that come one by one (Welford 1962)."""

    def __init__(self, first: NDArray[np.float32]) -> None:
        self.count, self.mean = 1, first.copy()
        self.squares = np.zeros_like(first)

    def add(self, member: NDArray[np.float32]) -> None:
        """One more result of the same pixels."""
        self.count += 1
        off = member - self.mean
        self.mean += off / self.count
        self.squares += off * (member - self.mean)

    def deviation(self) -> NDArray[np.float32]:
        """Of the members so far, around their mean."""
        return np.sqrt(self.squares / self.count)


def half_width(spread: NDArray[np.float32], trust: Trust, span: Sequence[float]) -> NDArray[np.float32]:
    """Half widths (C, ...) in DN of a spread (C, ...) in network values; `span`: DN of a network value, per band.

    Rounded up, so that nothing is promised that was not proved.
    """
    widths = trust.factor * (spread + np.float32(trust.floor)) * np.reshape(span, (-1,) + (1,) * (spread.ndim - 1))
    dropped = np.uint32((1 << (23 - KEPT_BITS)) - 1)
    bits = np.ascontiguousarray(widths, np.float32).view(np.uint32)
    return ((bits + dropped) & ~dropped).view(np.float32)


def conformal_factor(scores: Sequence[NDArray[np.floating[Any]]], coverage: float) -> float:
    """The factor that covers `coverage` of a next pixel, from the scores of several groups that count alike.

    The ceil((n + 1) coverage)-th smallest score; `n` is what the smallest group has, drawn evenly from each.
    """
    least = min(group.size for group in scores)
    drawn = [np.sort(group.ravel())[np.linspace(0, group.size - 1, least).round().astype(np.intp)] for group in scores]
    pooled = np.sort(np.concatenate(drawn))
    return float(pooled[min(ceil((pooled.size + 1) * coverage), pooled.size) - 1])
