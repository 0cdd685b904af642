"""Consistency: the SR averaged down must give the LR back (Wald et al. 1997, the consistency property)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block, sum_of_squares
from srcore.checks.spread import BandSpread
from srcore.limits import Limit


class ConsistencyCheck:
    """Collects block by block: `add` every block, then `checks`."""

    seen_as = bicubic_as = "mean of"
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
            f"RMSE({self.seen_as} SR, LR) over RMSE({self.bicubic_as} bicubic, LR), worst band",
            "the model changes the radiometry",
        )


class SensorCheck(ConsistencyCheck):
    """As above, of a generator that takes the LR to be blurred by a sensor: its SR is sharper than the LR's means.

    What the sensor sees of the SR is its means M, blurred on the LR's grid: M + a L(M), where L is the sum of the four
    neighbours less four times the pixel. Of each band the `a` that brings M nearest to the LR (least squares), from 0,
    which is the plain mean, up to that of the least contrast. Both are compared with bicubic's plain means.

    The contrast at the LR's Nyquist frequency is that of the mean of s pixels, 1 / (s sin(pi / 2s)), times 1 - 4 a.
    Of volumes slice by slice. Pixels at the edge of a block are left out.
    """

    seen_as = "sensor's view of"

    def __init__(self, bands: int, scale: int, least_contrast: float) -> None:
        super().__init__(bands, compared=True)
        self.mean_contrast = 1 / (scale * np.sin(np.pi / (2 * scale)))
        self.most = max(0.0, (1 - least_contrast / self.mean_contrast) / 4)
        self.blurred, self.along = np.zeros(bands), np.zeros(bands)
        """Sums of L(M) squared, and of L(M) (LR - M)."""

    def add(self, block: Block) -> None:
        """Take a block into account."""
        if min(block.lr.shape[-2:]) <= 2:
            return
        inside = (..., slice(1, -1), slice(1, -1))
        cross = CROSS.reshape((1,) * (block.valid.ndim - 2) + CROSS.shape)
        known = ~ndimage.binary_dilation(~block.valid, cross)[inside]
        lr, means = block.lr.astype(np.float64), block.averaged.astype(np.float64)
        off = np.where(known, (lr - means)[inside], 0)
        rise = np.where(known, _laplacian(means), 0)
        self.ours += sum_of_squares(off)
        self.blurred += sum_of_squares(rise)
        self.along += (off * rise).reshape(len(off), -1).sum(axis=1)
        self.bicubic += sum_of_squares(np.where(known, (block.averaged_bicubic - lr)[inside], 0))
        self.count += known.reshape(len(known), -1).sum(axis=1)

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread], why_not: str) -> list[Check]:
        """As above, at the blur that was found."""
        blur = np.clip(self.along / np.where(self.blurred > 0, self.blurred, 1), 0, self.most)
        plain, self.ours = self.ours, np.maximum(self.ours - 2 * blur * self.along + blur**2 * self.blurred, 0)
        contrast = self.mean_contrast * (1 - 4 * blur.max(initial=0.0))
        self.seen_as = f"sensor's view, of contrast {contrast:.2f} and more, of"
        try:
            return super().checks(limits, bands, why_not)
        finally:
            self.ours = plain


CROSS = ndimage.generate_binary_structure(2, 1)
"""A pixel and its four neighbours."""


def _laplacian(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The four neighbours less four times the pixel (..., Y - 2, X - 2), of (..., Y, X)."""
    rows = values[..., :-2, 1:-1] + values[..., 2:, 1:-1]
    columns = values[..., 1:-1, :-2] + values[..., 1:-1, 2:]
    return np.asarray(rows + columns - 4 * values[..., 1:-1, 1:-1])
