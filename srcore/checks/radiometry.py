"""Radiometry: dtype, nodata, finite numbers and the mean of every band."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check
from srcore.radiometry import nearest

MEAN = 0.005
"""Shift of a band's mean, as a share of the LR's spread about its own mean or of the mean itself."""


class RadiometryCheck:
    """Collects block by block: `add` every core, then `checks`."""

    def __init__(self, bands: int) -> None:
        self.mask_errors = 0
        self.not_finite = 0
        self.sums = np.zeros((2, bands))
        """LR and SR, per band, over pixels whose LR is valid."""
        self.squares = np.zeros(bands)
        self.counts = np.zeros((2, bands))

    def add(
        self, lr: NDArray[Any], valid: NDArray[np.bool_], sr: NDArray[Any], sr_valid: NDArray[np.bool_],
        scale: tuple[int, ...],
    ) -> None:  # fmt: skip
        """LR (C, *core) with its validity, SR (C, *core * scale) with its own."""
        expected = nearest(valid, scale)
        self.mask_errors += int((sr_valid != expected).sum())
        axes = tuple(range(1, lr.ndim))
        numbers = np.where(sr_valid, sr, 0).astype(np.float64)
        self.not_finite += int((~np.isfinite(numbers)).sum())
        ours = np.where(valid, lr, 0).astype(np.float64)
        self.sums += (ours.sum(axis=axes), numbers.sum(axis=axes))
        self.squares += np.square(ours).sum(axis=axes)
        self.counts += (valid.sum(axis=axes), sr_valid.sum(axis=axes))

    def checks(self, expected_dtype: str, found_dtype: str) -> list[Check]:
        """What was found."""
        shift = self.mean_shift()
        return [
            Check("values.dtype", "GATE", found_dtype == expected_dtype, found_dtype, "", expected_dtype,
                  "dtype of the source", "the product was written in another dtype"),
            Check("mask.equal", "GATE", self.mask_errors == 0, float(self.mask_errors), "px", 0.0,
                  "nodata(SR) = nodata(LR), nearest", "valid pixels took the nodata number, or the mask moved"),
            Check("values.finite", "GATE", self.not_finite == 0, float(self.not_finite), "px", 0.0,
                  "no NaN or Inf in valid pixels", "the generator gave no number"),
            Check("values.mean", "WARN", shift <= MEAN, shift, "of mean or spread", MEAN,
                  "mean of each band against the LR", "a bias of the model, or clipping at the end of the dtype"),
        ]  # fmt: skip

    def mean_shift(self) -> float:
        """Largest |mean(SR) - mean(LR)| of a band, over the larger of |mean(LR)| and the LR's standard deviation."""
        counts = np.maximum(self.counts, 1)
        lr, sr = self.sums / counts
        spread = np.sqrt(np.maximum(self.squares / counts[0] - lr**2, 0))
        reference = np.maximum(np.maximum(np.abs(lr), spread), 1e-12)
        shift = np.where(self.counts.min(axis=0) > 0, np.abs(sr - lr) / reference, 0.0)
        return float(shift.max(initial=0.0)) if np.isfinite(shift).all() else float("inf")
