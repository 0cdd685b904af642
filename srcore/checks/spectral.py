"""Spectra: the vector of a pixel's bands must keep its direction and its length, averaged down."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.checks.spread import BandSpread
from srcore.limits import Limit

ROUNDINGS = 0.65
"""Twice the deviation of a rounded LR pixel less the mean of rounded SR pixels, in steps."""


class SpectralCheck:
    """Collects block by block: `add` every block of a scene of two or more bands, then `checks`."""

    def __init__(self, bands: int) -> None:
        self.bands = bands
        self.angle = self.length = self.error = self.size = 0.0
        """Angles weighted by the length of the LR's spectrum: next to 0 a spectrum has no direction."""
        self.count = 0

    def add(self, block: Block) -> None:
        """Take a block into account; only pixels that are valid in all bands have a spectrum."""
        if self.bands < 2:
            return
        # Every second row and column: a mean over pixels needs no more.
        thin = (..., slice(None, None, 2), slice(None, None, 2))
        lr, sr = block.lr[thin], block.averaged[thin]
        dot, a, b = _dot(lr, sr), _dot(lr, lr), _dot(sr, sr)
        seen = block.valid[thin].all(axis=0) & (a > 0) & (b > 0)
        length = np.sqrt(a[seen])
        cosine = dot[seen] / (length * np.sqrt(b[seen]))
        self.angle += float((np.arccos(np.clip(cosine, -1, 1)) * length).sum())
        self.length += float(length.sum())
        self.error += float(np.abs(sr - lr)[:, seen].sum(dtype=np.float64))
        self.size += float(np.abs(lr)[:, seen].sum(dtype=np.float64))
        self.count += int(seen.sum())

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread]) -> list[Check]:
        """The mean spectral angle (Kruse et al. 1993), weighted by length, and the mean error relative to the mean
        value; nothing for one band."""
        if self.bands < 2:
            return []
        if not self.length > 0 or not np.isfinite(self.length):
            why = "no pixel is valid in all bands and has a spectrum that float64 can square"
            return [abstain("spectral.angle", why), abstain("spectral.reflectance", why)]
        # Rounding of LR and SR turns a short spectrum: by about so much in one direction.
        rounding = max(band.resolution for band in bands) * (self.bands - 1) ** 0.5 * self.count / self.length
        angle = max(self.angle / self.length - ROUNDINGS * rounding, 0.0)
        return [
            judge(
                limits,
                "spectral.angle",
                float(np.degrees(angle)),
                "degrees",
                "mean angle of the averaged SR's spectrum to the LR's, beyond rounding",
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


def _dot(a: Any, b: Any) -> Any:
    return np.einsum("c...,c...->...", a, b, dtype=np.float64)
