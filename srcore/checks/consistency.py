"""Consistency: the SR averaged down must give the LR back (Wald et al. 1997, the consistency property)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block, sum_of_squares
from srcore.checks.spread import BandSpread
from srcore.limits import Limit


class ConsistencyCheck:
    """Collects block by block: `add` every block, then `checks`."""

    seen_as = "mean of"
    """What is compared with the LR."""

    def __init__(self, bands: int, compared: bool) -> None:
        self.compared = compared
        """False where bicubic along rows and columns is no yardstick."""
        self.ours = np.zeros(bands)
        self.bicubic = np.zeros(bands)
        self.count = np.zeros(bands)

    def add(self, block: Block) -> None:
        """Take a block into account."""
        difference = block.averaged - block.lr
        self.ours += sum_of_squares(difference)
        self.count += block.counts
        if self.compared:
            theirs = block.averaged_bicubic - block.lr
            self.bicubic += sum_of_squares(theirs if block.whole else np.where(block.valid, theirs, 0))

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread], why_not: str) -> list[Check]:
        """The largest ratio of all bands, and the RMSE behind it; `why_not`: what speaks against bicubic here."""
        count = np.maximum(self.count, 1)
        ours, bicubic = np.sqrt(self.ours / count), np.sqrt(self.bicubic / count)
        rmse = float(ours.max(initial=0.0))
        return [
            abstain("consistency.ratio", why_not) if why_not else self._ratio(limits, bands, ours, bicubic),
            judge(limits, "consistency.rmse", rmse, "DN", f"RMSE({self.seen_as} SR, LR), worst band"),
        ]

    def _ratio(
        self,
        limits: Mapping[str, Limit],
        bands: Sequence[BandSpread],
        ours: NDArray[np.float64],
        bicubic: NDArray[np.float64],
    ) -> Check:
        # The product is rounded, the bicubic here is not: rounding has a variance of step^2 / 12.
        least = np.hypot(bicubic, [band.resolution / 12**0.5 for band in bands])
        known = (self.count > 0) & [band.squarable for band in bands]
        if not known.any():
            return abstain("consistency.ratio", "the LR is 0 everywhere, or its numbers have no squares in float64")
        return judge(
            limits,
            "consistency.ratio",
            float((ours[known] / least[known]).max()),
            "x bicubic",
            f"RMSE({self.seen_as} SR, LR) over RMSE({self.seen_as} bicubic, LR), worst band",
            "the model changes the radiometry",
        )
