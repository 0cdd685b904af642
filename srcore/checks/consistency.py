"""Consistency: the SR averaged down must give the LR back (Wald et al. 1997, the consistency property)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block, sum_of_squares
from srcore.checks.spread import BandSpread
from srcore.limits import Limit
from srcore.radiometry import slice_weights

BOX_SLICES = 2
"""SR slices in one of the LR up to which their plain mean is near what a scanner sees. Thicker slices see their
neighbours: the true 1 mm slices of a scanner's own 5 mm ones come to 22 to 52 HU by it."""


FINE = 1e-3
"""Of the span of a volume: less is no difference. A ramp of floats is interpolated exactly, and nothing else is."""


class ConsistencyCheck:
    """Collects block by block: `add` every block, then `checks`."""

    seen_as = bicubic_as = "mean of"
    """What is compared with the LR."""

    yardstick = "bicubic"

    def __init__(self, bands: int, compared: bool, unit: str = "DN") -> None:
        self.compared = compared
        """False where bicubic along rows and columns is no yardstick."""
        self.unit, self.factor = unit, 1.0
        """What differences are told in, and how many of it a stored number is."""
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
            judge(
                limits,
                "consistency.rmse",
                rmse * self.factor,
                self.unit,
                f"RMSE({self.seen_as} SR, LR), worst band",
            ),
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
            f"x {self.yardstick}",
            f"RMSE({self.seen_as} SR, LR) over RMSE({self.bicubic_as} {self.yardstick}, LR), worst band",
            "the model changes the radiometry",
        )


class VolumeCheck(ConsistencyCheck):
    """As above, of a volume whose slices are made finer: the SR as the LR's slices see it, in all three directions, by
    the slice profile where that is known; in place of bicubic stands the LR that is interpolated, linear through slices
    and bicubic in them, seen alike. Slices at the ends of a block are left out of the ratio."""

    yardstick = "trilinear"

    def __init__(self, bands: int, scale: int, by_profile: bool, slope: float | None) -> None:
        super().__init__(bands, compared=True, unit="as stored" if slope is None else "HU")
        self.factor = abs(slope) if slope is not None else 1.0
        self.limited = by_profile or scale <= BOX_SLICES
        """False where the plain mean of thin slices is not what a thick one sees: then there is no limit."""
        self.seen_as = self.bicubic_as = "slice profile's view of" if by_profile else "mean of"
        self.weight = _beside(scale, by_profile)
        self.all, self.number = np.zeros(bands), np.zeros(bands)

    def add(self, block: Block) -> None:
        """Take a block into account."""
        difference = block.averaged - block.lr
        self.all += sum_of_squares(difference)
        self.number += block.counts
        if block.lr.shape[1] < 3:
            return
        plane = block.averaged_bicubic
        beside = (plane[:, :-2] + plane[:, 2:]) * self.weight
        theirs = plane[:, 1:-1] * (1 - 2 * self.weight) + beside - block.lr[:, 1:-1]
        seen = block.valid[:, 1:-1] & block.valid[:, :-2] & block.valid[:, 2:]
        self.ours += sum_of_squares(np.where(seen, difference[:, 1:-1], 0))
        self.bicubic += sum_of_squares(np.where(seen, theirs, 0))
        self.count += np.count_nonzero(seen.reshape(len(seen), -1), axis=1)

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread], why_not: str) -> list[Check]:
        """As above; the RMSE is that of all slices."""
        why_not = "" if self.count.any() else "no slice between two others: nothing to interpolate"
        bands = [replace(band, resolution=max(band.resolution, FINE * band.span)) for band in bands]
        ratio, _ = super().checks(limits if self.limited else {}, bands, why_not)
        rmse = float(np.sqrt(self.all / np.maximum(self.number, 1)).max(initial=0.0)) * self.factor
        return [ratio, judge(limits, "consistency.rmse", rmse, self.unit, f"RMSE({self.seen_as} SR, LR), 3-D")]


def _beside(scale: int, by_profile: bool) -> float:
    """How much of the slice beside a slice of the LR sees of its own linear interpolation."""
    if not by_profile:
        place = (np.arange(scale) - (scale - 1) / 2) / scale
        return float(np.maximum(place, 0).mean())
    weights = slice_weights(scale)
    place = (np.arange(len(weights)) - (len(weights) - 1) / 2) / scale
    return float(weights @ np.maximum(place, 0))


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
