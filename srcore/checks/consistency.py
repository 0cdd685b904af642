"""Consistency: the SR averaged down must give the LR back (Wald et al. 1997, the consistency property)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check

WARN, GATE = 1.05, 2.0
"""RMSE of the averaged SR against the LR, relative to that of bicubic, which itself lies at 1."""


class ConsistencyCheck:
    """Collects block by block: `add` every core, then `checks`."""

    def __init__(self, bands: int, step: float) -> None:
        self.step = step
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        self.ours = np.zeros(bands)
        self.bicubic = np.zeros(bands)
        self.count = np.zeros(bands)

    def add(
        self, lr: NDArray[Any], valid: NDArray[np.bool_], averaged: NDArray[np.float64], bicubic: NDArray[np.float64]
    ) -> None:
        """LR (C, *core), its validity, and the SR and the bicubic SR averaged down to (C, *core)."""
        axes = tuple(range(1, lr.ndim))
        exact = lr.astype(np.float64)
        self.ours += np.where(valid, np.square(averaged - exact), 0).sum(axis=axes)
        self.bicubic += np.where(valid, np.square(bicubic - exact), 0).sum(axis=axes)
        self.count += valid.sum(axis=axes)

    def checks(self) -> list[Check]:
        """The largest ratio of all bands, and the RMSE behind it."""
        count = np.maximum(self.count, 1)
        ours, bicubic = np.sqrt(self.ours / count), np.sqrt(self.bicubic / count)
        # The product is rounded, the bicubic here is not: rounding has a variance of step^2 / 12.
        ratio = float((ours / np.maximum(np.hypot(bicubic, self.step / 12**0.5), 1e-12)).max(initial=0.0))
        worst = float(ours.max(initial=0.0))
        passed = bool(np.isfinite(ratio))
        basis = "RMSE(mean of SR, LR) over RMSE(mean of bicubic, LR), worst band"
        return [
            Check("consistency.ratio", "GATE", passed and ratio <= GATE, ratio, "x bicubic", GATE, basis,
                  "the model changes the radiometry"),
            Check("consistency.drift", "WARN", passed and ratio <= WARN, ratio, "x bicubic", WARN, basis,
                  "the model keeps the radiometry less well than bicubic"),
            Check("consistency.rmse", "INFO", True, worst, "DN", None, "RMSE(mean of SR, LR), worst band"),
        ]  # fmt: skip


def average_down(sr: NDArray[Any], scale: tuple[int, ...]) -> NDArray[np.float64]:
    """Mean of the SR pixels (C, *n * scale) in each LR pixel: (C, *n)."""
    shape: list[int] = [sr.shape[0]]
    for size, factor in zip(sr.shape[1:], scale, strict=True):
        shape += [size // factor, factor]
    averaged: NDArray[np.float64] = sr.astype(np.float64).reshape(shape).mean(axis=tuple(range(2, len(shape), 2)))
    return averaged
