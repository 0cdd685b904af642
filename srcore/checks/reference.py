"""Reference: the SR against the true HR, where there is one, beside bicubic."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check


class ReferenceCheck:
    """Collects squared errors block by block: `add` every core, then `checks`."""

    def __init__(self, span: tuple[float, ...]) -> None:
        self.span = np.asarray(span)
        """Data range of PSNR per band, in DN: the LR's 2nd to 98th percentile."""
        self.squares = np.zeros((2, len(span)))
        """SR and bicubic."""
        self.count = np.zeros(len(span))

    def add(self, hr: NDArray[Any], sr: NDArray[Any], bicubic: NDArray[np.float64], valid: NDArray[np.bool_]) -> None:
        """HR, SR and bicubic SR, all (C, *core * scale), over the pixels that are valid in HR and SR."""
        axes = tuple(range(1, hr.ndim))
        truth = np.where(valid, hr, 0).astype(np.float64)
        for row, values in enumerate((sr, bicubic)):
            self.squares[row] += np.square(np.where(valid, values, 0) - truth).sum(axis=axes)
        self.count += valid.sum(axis=axes)

    def checks(self) -> list[Check]:
        """PSNR of the SR and of bicubic as the mean over the bands, and the gain."""
        if not self.count.all():
            return []
        mse = np.maximum(self.squares / self.count / np.square(self.span), 1e-30)
        ours, bicubic = (float(value) for value in (-10 * np.log10(mse)).mean(axis=1))
        basis = "against the true HR, data range = 2nd to 98th percentile of the LR, mean of bands"
        return [
            Check("reference.psnr", "INFO", True, ours, "dB", None, basis),
            Check("reference.psnr_bicubic", "INFO", True, bicubic, "dB", None, basis),
            Check("reference.gain", "WARN", ours >= bicubic, ours - bicubic, "dB", 0.0, basis,
                  "the model does worse than bicubic here"),
        ]  # fmt: skip
