"""Reference: the SR against the true HR, where there is one, beside bicubic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block, sum_of_squares
from srcore.checks.spread import BandSpread
from srcore.limits import Limit


class ReferenceCheck:
    """Collects squared errors block by block: `add` every core, then `checks`."""

    def __init__(self, bands: int, compared: bool) -> None:
        self.compared = compared
        """False where bicubic along rows and columns is no enlargement."""
        self.squares = np.zeros((2, bands))
        """SR and bicubic."""
        self.count = np.zeros(bands)
        self.given = False

    def add(self, block: Block, hr: NDArray[Any], hr_valid: NDArray[np.bool_]) -> None:
        """Take a block and its HR (C, *core * scale) into account, over the pixels that are valid in HR and SR."""
        self.given = True
        valid = hr_valid & block.sr_valid
        truth = hr.astype(np.float64)
        for row, values in enumerate((block.sr, block.bicubic) if self.compared else (block.sr,)):
            difference = np.where(valid, values - truth, 0)
            self.squares[row] += sum_of_squares(difference)
        self.count += valid.sum(axis=tuple(range(1, valid.ndim)))

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread], why_not: str) -> list[Check]:
        """PSNR of the SR and of bicubic as the mean over the bands, and the gain, where the HR is known; `why_not`:
        what speaks against bicubic here."""
        if not self.given:
            return []
        yard = np.array([band.yardstick for band in bands])
        if not self.count.all() or not yard.all():
            why = "a band has no pixel that is valid in HR and SR" if yard.all() else "a band of the LR is 0 everywhere"
            return [abstain("reference.psnr", why)]
        mse = np.maximum(self.squares / self.count / np.square(yard), 1e-30)
        ours, bicubic_ = (float(value) for value in (-10 * np.log10(mse)).mean(axis=1))
        basis = "against the true HR, data range = 2nd to 98th percentile of the LR, mean of bands"
        psnr = judge(limits, "reference.psnr", ours, "dB", basis)
        if why_not:
            return [psnr, abstain("reference.gain", why_not)]
        return [
            psnr,
            judge(limits, "reference.psnr_bicubic", bicubic_, "dB", basis),
            judge(limits, "reference.gain", ours - bicubic_, "dB", basis, "the model does worse than bicubic here"),
        ]
