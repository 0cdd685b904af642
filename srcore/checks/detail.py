"""Detail that the LR alone does not decide, against bicubic's: too little is blur, too much is made up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import BICUBIC_PX, MARGIN_PX, Block, average_down, bicubic, shrunk
from srcore.checks.patches import Patch
from srcore.limits import Limit

BEYOND = 0.5
"""An SR pixel is beyond its neighbourhood when it leaves the LR's 3 x 3 range by more than this share of it."""
FLOOR_STEPS = 4.0
"""Range below which a neighbourhood counts as so wide, in steps of the dtype."""


class RangeCheck:
    """Collects block by block: `add` every block, then `share`."""

    def __init__(self, step: float) -> None:
        self.step = step
        self.beyond = self.count = 0

    def add(self, block: Block) -> None:
        """Take a block into account."""
        near = shrunk(block.around, MARGIN_PX - 1).astype(block.work, copy=False)
        low, high = _over_3x3(near, np.minimum), _over_3x3(near, np.maximum)
        allowed = BEYOND * np.maximum(high - low, max(FLOOR_STEPS * self.step, 1e-9))
        beyond = (block.high > high + allowed) | (block.low < low - allowed)
        self.beyond += int(np.count_nonzero(beyond & block.valid))
        self.count += int(np.count_nonzero(block.valid))

    @property
    def share(self) -> float:
        """LR pixels in which some SR pixel leaves the range around, of all valid ones."""
        return self.beyond / max(self.count, 1)


def _over_3x3(values: NDArray[Any], operation: np.ufunc) -> NDArray[Any]:
    """(..., y + 2, x + 2) to (..., y, x)"""
    rows = operation(operation(values[..., :-2, :], values[..., 1:-1, :]), values[..., 2:, :])
    return np.asarray(operation(operation(rows[..., :-2], rows[..., 1:-1]), rows[..., 2:]))


def detail_checks(
    patches: Sequence[Patch], beyond: RangeCheck, step: float, limits: Mapping[str, Limit]
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
        return [*checks, abstain("detail.least", "no patch of valid pixels")]
    sums = np.array([[_energy(patch.sr, patch.scale), _energy(patch.bicubic, patch.scale)] for patch in patches])
    ours, theirs = np.sqrt(sums.mean(axis=0))  # (B,) each
    ratio = ours / np.maximum(np.hypot(theirs, step / 12**0.5), 1e-12)
    basis = "RMS of what is beyond the SR's own average, over bicubic's"
    least = judge(limits, "detail.least", float(ratio.min()), "x bicubic", f"{basis}, least band", "the SR is blurred")
    if float(theirs.min()) < step:  # a flat band has no detail to lose
        least = judge({}, "detail.least", float(ratio.min()), "x bicubic", f"{basis}, least band")
    return [
        *checks,
        least,
        judge(
            limits,
            "detail.most",
            float(ratio.max()),
            "x bicubic",
            f"{basis}, most detailed band",
            "texture that the LR does not hint at",
        ),
    ]


def _energy(sr: NDArray[Any], scale: int) -> NDArray[np.float64]:
    """Mean square (B,) of an SR (B, Y * s, X * s) minus bicubic of its own average: what no LR pixel decides."""
    own = average_down(sr, (scale, scale))
    high = shrunk(sr, BICUBIC_PX * scale) - bicubic(own, scale)
    return np.asarray((high**2).mean(axis=(1, 2)))
