"""Seams: jumps between neighbouring SR columns and rows, where tiles meet against elsewhere.

The jump beyond what the slopes on both sides explain, |x0 - x-1 - ((x1 - x0) + (x-1 - x-2)) / 2|, is averaged along
each border. Columns of one sub-pixel phase are alike in an SR without seams, so a border is compared with the
columns of its own phase around it. 1 is no seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit

ROW_STEP = 5
"""Every so many SR rows are looked at across columns, and columns across rows: odd, to see all phases."""
NEIGHBOURS = 12
"""LR pixels on each side that a border is compared with."""
LEAST = 24
"""Jumps behind a mean, at least."""


class SeamCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, shape: Sequence[int], scale: Sequence[int], step: float) -> None:
        self.scale = tuple(scale[-2:])
        self.step = step
        self.shape = tuple(n * s for n, s in zip(shape[-2:], self.scale, strict=True))
        self.strips: dict[tuple[int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        """(axis, start of the block across it) to the sums and numbers of jumps before each SR index of the axis."""
        self.left: tuple[tuple[Any, ...], NDArray[Any], NDArray[np.bool_]] | None = None
        self.above: dict[int, tuple[int, NDArray[Any], NDArray[np.bool_]]] = {}

    def add(self, block: Block) -> None:
        """Take a block into account; band after band, the middle slice of a volume."""
        values, valid = block.sr, block.sr_valid
        while values.ndim > 3:
            values, valid = values[:, values.shape[1] // 2], valid[:, valid.shape[1] // 2]
        rows, cols = (slice(w.start * s, w.stop * s) for w, s in zip(block.core[-2:], self.scale, strict=True))
        thin, thin_valid = values[:, ::ROW_STEP], valid[:, ::ROW_STEP]
        key = (rows.start, cols.start)
        if self.left is not None and self.left[0] == key:
            thin = np.concatenate([self.left[1], thin], axis=2)
            thin_valid = np.concatenate([self.left[2], thin_valid], axis=2)
        self._count(1, rows.start, cols.stop - thin.shape[2], thin, thin_valid)
        self.left = ((rows.start, cols.stop), thin[..., -3:].copy(), thin_valid[..., -3:].copy())
        thin, thin_valid = values[..., ::ROW_STEP], valid[..., ::ROW_STEP]
        kept = self.above.get(cols.start)
        tail = (rows.stop, thin[:, -3:].copy(), thin_valid[:, -3:].copy())
        if kept is not None and kept[0] == rows.start:
            thin, thin_valid = np.concatenate([kept[1], thin], axis=1), np.concatenate([kept[2], thin_valid], axis=1)
        self._count(0, cols.start, rows.stop - thin.shape[1], thin.transpose(0, 2, 1), thin_valid.transpose(0, 2, 1))
        self.above[cols.start] = tail

    def _count(self, axis: int, strip: int, start: int, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Jumps along the last axis of (C, across, along), whose first index is `start` of the scene."""
        if values.shape[2] < 4:
            return
        exact: NDArray[Any] = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
        jumps = np.abs(1.5 * (exact[..., 2:-1] - exact[..., 1:-2]) - 0.5 * (exact[..., 3:] - exact[..., :-3]))
        seen = valid[..., :-3] & valid[..., 1:-2] & valid[..., 2:-1] & valid[..., 3:] & np.isfinite(jumps)
        jumps = np.where(seen, jumps, 0)
        sums, numbers = self.strips.setdefault(
            (axis, strip), (np.zeros((len(values), self.shape[axis])), np.zeros((len(values), self.shape[axis])))
        )
        sums[:, start + 2 : start + 2 + jumps.shape[2]] += jumps.sum(axis=1)
        numbers[:, start + 2 : start + 2 + jumps.shape[2]] += seen.sum(axis=1)

    def checks(self, limits: Mapping[str, Limit], cores: Sequence[int] | None) -> list[Check]:
        """The greatest ratio at a border of tiles of `cores` LR pixels; of whole columns, when that is not known."""
        found = [self._worst(axis, None if cores is None else cores[axis - 2]) for axis in (0, 1)]
        ratios = [ratio for ratio in found if ratio is not None]
        if not ratios:
            return [abstain("seams.step", "no border of tiles inside the scene, or too few valid pixels along it")]
        basis = "mean jump across a border over the mean around it, worst border"
        return [judge(limits, "seams.step", max(ratios), "x elsewhere", basis, "the tiles do not fit each other")]

    def _worst(self, axis: int, core: int | None) -> float | None:
        strips = [pair for (one, _), pair in sorted(self.strips.items()) if one == axis]
        if not strips:
            return None
        factor = self.scale[axis]
        if core is None:  # where the borders are is not known: whole columns, so that chance has less to say
            strips = [(np.sum([sums for sums, _ in strips], axis=0), np.sum([counts for _, counts in strips], axis=0))]
        best: float | None = None
        for sums, numbers in strips:
            ratio = self._ratios(sums[:, ::factor], numbers[:, ::factor])
            ratio = ratio if core is None else ratio[:, ::core]
            ratio = ratio[:, 1:]
            ratio = ratio[np.isfinite(ratio)]
            if ratio.size:
                best = max(best or 0.0, float(ratio.max()))
        return best

    def _ratios(self, sums: NDArray[Any], numbers: NDArray[Any]) -> NDArray[Any]:
        """Mean jump over the median of the means around it, (C, n): columns of one phase."""
        with np.errstate(invalid="ignore", divide="ignore"):
            means = np.where(numbers >= LEAST, sums / numbers, np.nan)
        filled = np.where(np.isfinite(means), means, np.nanmedian(means) if np.isfinite(means).any() else 0)
        around = ndimage.median_filter(filled, (1, 2 * NEIGHBOURS + 1), mode="nearest")
        # half a step: what rounding alone makes of a smooth surface
        return np.asarray(means / np.maximum(around, 0.5 * self.step + 1e-12))
