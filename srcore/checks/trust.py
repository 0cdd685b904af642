"""Trust: whether the trust map has its place, how wide it is, and, where the true HR is known, whether it held."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, judge
from srcore.checks.blocks import Block
from srcore.checks.spread import BandSpread
from srcore.limits import Limit
from srcore.radiometry import nearest


class TrustCheck:
    """Collects block by block: `add` every core that has half widths, then `checks`."""

    def __init__(self, bands: int) -> None:
        self.misplaced = 0
        self.count, self.wide = np.zeros(bands), np.zeros(bands)
        self.held, self.compared = 0, 0

    def add(
        self, block: Block, wide: NDArray[np.float32], hr: tuple[NDArray[Any], NDArray[np.bool_]] | None = None
    ) -> None:
        """Take the half widths (C, *core * scale) of a block into account, and its true HR with its validity."""
        valid = nearest(block.valid, block.scale)
        known = np.isfinite(wide) & (wide >= 0)
        self.misplaced += int(np.count_nonzero(known != valid))
        axes = tuple(range(1, wide.ndim))
        self.count += known.sum(axis=axes)
        self.wide += np.where(known, wide, 0).sum(axis=axes, dtype=np.float64)
        if hr is not None:
            seen = known & hr[1] & block.sr_valid
            off = np.abs(block.sr.astype(np.float64) - hr[0])
            self.held += int(np.count_nonzero((off <= wide) & seen))
            self.compared += int(np.count_nonzero(seen))

    def checks(self, limits: Mapping[str, Limit], bands: Sequence[BandSpread], promised: float) -> list[Check]:
        """`bands` of the LR; `promised` is the coverage that the model was calibrated for."""
        where = "half widths that are missing, or stand where nothing is valid"
        found = [judge(limits, "trust.mask", self.misplaced, "px", where, "the trust map is not of this product")]
        yard = np.array([band.yardstick for band in bands])
        seen = (self.count > 0) & (yard > 0)
        if seen.any():
            mean = self.wide[seen] / self.count[seen] / yard[seen]
            basis = f"mean half width of the {promised:.0%} interval over the span of the band"
            found.append(judge(limits, "trust.width", float(mean.mean()), "", basis))
        if self.compared:
            basis = f"share of the true values within the half width; {promised:.0%} was calibrated"
            hint = "the scene is unlike those of the calibration: calibrate on scenes of this sensor"
            found.append(judge(limits, "trust.coverage", self.held / self.compared, "", basis, hint))
        return found
