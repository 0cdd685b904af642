"""Hounsfield units of a CT by what the LR shows: the SR averaged down keeps those of air, soft tissue and bone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit
from srcore.storage.hounsfield import Scale

TISSUES: Mapping[str, tuple[float, float]] = {
    "air": (-np.inf, -400.0),
    "soft": (-150.0, 200.0),
    "bone": (300.0, np.inf),
}
"""Least and greatest HU of the LR, for what is told apart; what lies between is edges and lung."""
LEAST = 256
"""LR voxels of a tissue below which its error says nothing."""


class TissueCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, hounsfield: Scale | None, thick: bool) -> None:
        self.hounsfield, self.thick = hounsfield, thick
        """`thick`: the plain mean of the SR is not what a slice of the LR sees, and nothing better is known."""
        self.count, self.sums, self.squares = (dict.fromkeys(TISSUES, 0.0) for _ in range(3))

    def add(self, block: Block) -> None:
        """Take a block into account."""
        if self.hounsfield is None:
            return
        slope, intercept = self.hounsfield
        ends = np.stack([near[0].astype(np.float64) * slope + intercept for near in block.near])
        low, high = ends.min(axis=0), ends.max(axis=0)
        apart = (block.averaged[0].astype(np.float64) - block.lr[0]) * slope
        for name, (least, most) in TISSUES.items():
            # with its neighbours: of a single voxel noise decides what it is, and its mean would be no mean
            found = apart[block.valid[0] & (low >= least) & (high <= most)]
            self.count[name] += found.size
            self.sums[name] += float(found.sum())
            self.squares[name] += float(found @ found)

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """Root mean square and mean of each tissue; nothing of a scene that is no CT."""
        if self.hounsfield is None:
            return []
        return [check for name in TISSUES for check in self._of(name, limits)]

    def _of(self, name: str, limits: Mapping[str, Limit]) -> list[Check]:
        count, (least, most) = self.count[name], TISSUES[name]
        if count < LEAST:
            return [abstain(f"tissue.{name}", f"fewer than {LEAST} voxels")]
        told = f"{least:g} HU and more" if np.isinf(most) else f"up to {most:g} HU" if np.isinf(least) else ""
        where = f"inside LR of {told or f'{least:g} to {most:g} HU'}"
        basis = f"{where}; no limit: thick slices are no plain means" if self.thick else where
        limits = {} if self.thick else limits
        rms, mean = (self.squares[name] / count) ** 0.5, self.sums[name] / count
        return [
            judge(limits, f"tissue.{name}", rms, "HU", f"RMSE(mean of SR, LR) in 3-D, {basis}", HINT),
            judge(limits, f"tissue.{name}_mean", abs(mean), "HU", f"mean of SR less LR, {basis}", HINT),
        ]


HINT = "the model changes HU: more back_projection takes it back, or take another model"
