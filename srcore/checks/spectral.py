"""Spectra: the vector of a pixel's bands must keep its direction and its length, averaged down."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from srcore.checks import Check, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit


class SpectralCheck:
    """Collects block by block: `add` every block of a scene of two or more bands, then `checks`."""

    def __init__(self, bands: int) -> None:
        self.bands = bands
        self.angle = self.error = self.size = 0.0
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
        cosine = dot[seen] / np.sqrt(a[seen] * b[seen])
        self.angle += float(np.arccos(np.clip(cosine, -1, 1)).sum())
        self.error += float(np.abs(sr - lr)[:, seen].sum(dtype=np.float64))
        self.size += float(np.abs(lr)[:, seen].sum(dtype=np.float64))
        self.count += int(seen.sum())

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """The mean spectral angle (Kruse et al. 1993) and the mean error relative to the mean value."""
        if not self.count:
            return []
        angle = float(np.degrees(self.angle / self.count))
        return [
            judge(
                limits,
                "spectral.angle",
                angle,
                "degrees",
                "mean angle of the averaged SR's spectrum to the LR's",
                "bands are mixed up, or scaled one by one",
            ),
            judge(
                limits,
                "spectral.reflectance",
                self.error / max(self.size, 1e-12),
                "of the mean",
                "mean |averaged SR - LR| over mean |LR|, all bands",
                "the model changes the radiometry",
            ),
        ]


def _dot(a: Any, b: Any) -> Any:
    return np.einsum("c...,c...->...", a, b, dtype=np.float64)
