"""Detail that the LR alone does not decide, against bicubic's: too little is blur, too much is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import BICUBIC_PX, Block, average_down, bicubic
from srcore.checks.patches import Patch
from srcore.checks.spread import BandSpread
from srcore.limits import Limit

BEYOND = 0.5
"""An SR pixel is beyond its neighbourhood when it leaves the LR's 3 x 3 range by more than this share of it."""
FLOOR_STEPS, FLOOR_ULPS = 4.0, 64.0
"""Range below which a neighbourhood counts as so wide, in steps of whole numbers, or in roundings of float32."""


class RangeCheck:
    """Collects block by block: `add` every block, then `share`."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.beyond = self.count = 0

    def add(self, block: Block) -> None:
        """Take a block into account."""
        low, high = block.near
        allowed = BEYOND * np.maximum(high - low, self._floor(low, high))
        beyond = (block.high > high + allowed) | (block.low < low - allowed)
        self.beyond += int(np.count_nonzero(beyond & block.valid))
        self.count += int(np.count_nonzero(block.valid))

    def _floor(self, low: NDArray[Any], high: NDArray[Any]) -> Any:
        """Range below which a neighbourhood counts as so wide."""
        if self.step:
            return FLOOR_STEPS * self.step
        return FLOOR_ULPS * np.finfo(np.float32).eps * np.maximum(np.abs(low), np.abs(high))

    @property
    def share(self) -> float:
        """LR pixels in which some SR pixel leaves the range around, of all valid ones."""
        return self.beyond / max(self.count, 1)


def detail_checks(
    patches: Sequence[Patch], beyond: RangeCheck, bands: Sequence[BandSpread], limits: Mapping[str, Limit]
) -> list[Check]:
    """Detail of the SR over detail of bicubic in the least and in the most detailed band, and values out of range."""
    checks = [
        judge(
            limits,
            "detail.beyond",
            beyond.share,
            "of LR pixels",
            f"SR leaves the LR's 3 x 3 range by more than {BEYOND:.0%} of it",
            "ringing, or texture that the LR does not hint at",
        ),
    ]
    if not patches:
        return [*checks, *(abstain(f"detail.{name}", "no patch of valid pixels") for name in ("least", "most"))]
    both = ([patch.sr for patch in patches], [patch.bicubic for patch in patches])
    ours, theirs = (np.sqrt(_energy(np.stack(one), patches[0].scale)) for one in both)  # (B,) each
    steps = np.array([bands[band].resolution for band in patches[0].bands])
    known = np.isfinite(ours) & np.isfinite(theirs) & (theirs > steps)
    if not known.any():  # a flat band has no detail to lose
        why = "bicubic has no detail here to compare with"
        return [*checks, *(abstain(f"detail.{name}", why) for name in ("least", "most"))]
    ratio = (ours / np.hypot(theirs, steps / 12**0.5))[known]
    basis = "RMS of what is beyond the SR's own average, over bicubic's"
    least, most = float(ratio.min()), float(ratio.max())
    blurred, made_up = "the SR is blurred", "texture that the LR does not hint at"
    return [
        *checks,
        judge(limits, "detail.least", least, "x bicubic", f"{basis}, least band", blurred),
        judge(limits, "detail.most", most, "x bicubic", f"{basis}, most detailed band", made_up),
    ]


def _energy(sr: NDArray[Any], scale: tuple[int, int]) -> NDArray[np.float64]:
    """Mean square (B,) of patches (n, B, Y * s, X * s) minus bicubic of their own average: what no LR pixel decides."""
    count, bands = sr.shape[:2]
    planes = sr.reshape(-1, *sr.shape[2:])
    rows, columns = (slice(BICUBIC_PX * factor, -BICUBIC_PX * factor) for factor in scale)
    high = planes[:, rows, columns] - bicubic(average_down(planes, scale), scale)
    return np.asarray((high**2).mean(axis=(1, 2)).reshape(count, bands).mean(axis=0))
