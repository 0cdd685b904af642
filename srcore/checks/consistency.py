"""Consistency: the SR averaged down must give the LR back (Wald et al. 1997, the consistency property)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, judge
from srcore.checks.blocks import BICUBIC_PX, MARGIN_PX, Block, shrunk, sum_of_squares
from srcore.limits import Limit
from srcore.models.blocks import cubic_weights


class ConsistencyCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, bands: int, step: float) -> None:
        self.step = step
        """Smallest difference of two numbers of the dtype: 1 for integers, 0 for floats."""
        self.ours = np.zeros(bands)
        self.bicubic = np.zeros(bands)
        self.count = np.zeros(bands)

    def add(self, block: Block) -> None:
        """Take a block into account."""
        difference = block.averaged - block.lr
        self.ours += sum_of_squares(difference)
        theirs = averaged_bicubic(block) - block.lr
        if not block.whole:
            theirs *= block.valid
        self.bicubic += sum_of_squares(theirs)
        self.count += block.counts

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """The largest ratio of all bands, and the RMSE behind it."""
        count = np.maximum(self.count, 1)
        ours, bicubic = np.sqrt(self.ours / count), np.sqrt(self.bicubic / count)
        # The product is rounded, the bicubic here is not: rounding has a variance of step^2 / 12.
        ratio = float((ours / np.maximum(np.hypot(bicubic, self.step / 12**0.5), 1e-12)).max(initial=0.0))
        return [
            judge(
                limits,
                "consistency.ratio",
                ratio,
                "x bicubic",
                "RMSE(mean of SR, LR) over RMSE(mean of bicubic, LR), worst band",
                "the model changes the radiometry",
            ),
            judge(limits, "consistency.rmse", float(ours.max(initial=0.0)), "DN", "RMSE(mean of SR, LR), worst band"),
        ]


def averaged_bicubic(block: Block) -> NDArray[Any]:
    """Bicubic SR of a block, averaged down (C, *core): one fixed 5 x 5 kernel on the LR, one row and one column."""
    scale = block.scale[-1]
    kernel = cubic_weights(scale).mean(dim=0).numpy().astype(block.work)
    values = shrunk(block.around, MARGIN_PX - BICUBIC_PX).astype(block.work, copy=False)
    size = 2 * BICUBIC_PX + 1
    for axis in (-2, -1):
        length = values.shape[axis] - 2 * BICUBIC_PX
        taps = [values[..., k : k + length] if axis == -1 else values[..., k : k + length, :] for k in range(size)]
        values = kernel[0] * taps[0]
        for weight, tap in zip(kernel[1:], taps[1:], strict=True):
            values += weight * tap
    return values
