"""Spectra: the vector of a pixel's bands must keep its direction and its length, averaged down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.checks.spread import BandSpread
from srcore.limits import Limit

ROUNDINGS = 0.65
"""Twice the deviation of a rounded LR pixel less the mean of rounded SR pixels, in steps."""


class SpectralCheck:
    """Collects block by block: `add` every block of a scene of two or more bands, then `checks`."""

    def __init__(self, bands: int, compared: bool) -> None:
        self.bands, self.compared = bands, compared
        """`compared` is False where bicubic along rows and columns is no yardstick."""
        self.angle = self.bicubic = self.length = self.error = self.size = 0.0
        """Angles weighted by the length of the LR's spectrum: next to 0 a spectrum has no direction."""
        self.count = 0

    def add(self, block: Block) -> None:
        """Take a block into account; only pixels that are valid in all bands have a spectrum."""
        if self.bands < 2:
            return
        # Every second row and column: a mean over pixels needs no more.
        thin = (..., slice(None, None, 2), slice(None, None, 2))
        lr, sr = block.lr[thin], block.averaged[thin]
        seen = block.valid[thin].all(axis=0) & (_dot(lr, lr) > 0) & (_dot(sr, sr) > 0)
        lr, sr = lr[:, seen], sr[:, seen]
        length = np.sqrt(_dot(lr, lr))
        self.angle += _angle(lr, sr, length)
        if self.compared:
            self.bicubic += _angle(lr, block.averaged_bicubic[thin][:, seen], length)
        self.length += float(length.sum())
        self.error += float(np.abs(sr - lr).sum(dtype=np.float64))
        self.size += float(np.abs(lr).sum(dtype=np.float64))
        self.count += int(seen.sum())

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread]) -> list[Check]:
        """The mean spectral angle (Kruse et al. 1993), weighted by length, beyond rounding and what bicubic turns too:
        noise around 0 has no direction that any product could keep; and the mean error relative to the mean value.
        Nothing for one band."""
        if self.bands < 2:
            return []
        if not self.length > 0 or not np.isfinite(self.length):
            why = "no pixel is valid in all bands and has a spectrum that float64 can square"
            return [abstain("spectral.angle", why), abstain("spectral.reflectance", why)]
        # Rounding of LR and SR turns a short spectrum: by about so much in one direction.
        rounding = max(band.resolution for band in bands) * (self.bands - 1) ** 0.5 * self.count / self.length
        angle = max((self.angle - self.bicubic) / self.length - ROUNDINGS * rounding, 0.0)
        return [
            judge(
                limits,
                "spectral.angle",
                float(np.degrees(angle)),
                "degrees",
                "mean angle of the averaged SR's spectrum to the LR's, beyond rounding and bicubic's own",
                "bands are mixed up, or scaled one by one",
            ),
            judge(
                limits,
                "spectral.reflectance",
                self.error / self.size,
                "of the mean",
                "mean |averaged SR - LR| over mean |LR|, all bands",
                "the model changes the radiometry",
            ),
        ]


def _angle(lr: NDArray[Any], sr: NDArray[Any], length: NDArray[np.float64]) -> float:
    """Sum of the angles of spectra (C, n), weighted by the `length` of the LR's; one without length counts as 90."""
    size = length * np.sqrt(_dot(sr, sr))
    cosine = np.divide(_dot(lr, sr), size, out=np.zeros_like(size), where=size > 0)
    return float((np.arccos(np.clip(cosine, -1, 1)) * length).sum())


def _dot(a: NDArray[Any], b: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(np.einsum("c...,c...->...", a, b, dtype=np.float64))
