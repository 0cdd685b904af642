"""Seams: jumps between neighbouring SR columns and rows, where tiles meet against elsewhere.

The jump beyond what the slopes on both sides explain, |x0 - x-1 - ((x1 - x0) + (x-1 - x-2)) / 2|, is averaged along
each border, for the SR and for bicubic, which knows the roads and shores of the LR but no tiles. Their quotient is
divided by its median over the borders of LR pixels around: 1 is no seam.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import BICUBIC_PX, MARGIN_PX, Block, middle_slice
from srcore.limits import Limit
from srcore.models.blocks import cubic_weights

ROW_STEP = 9
"""Every so many SR rows are looked at across columns, and columns across rows: odd, to see all phases."""
NEIGHBOURS = 12
"""LR pixels on each side that a border is compared with."""
LEAST = 12
"""Jumps behind a mean, at least."""


class SeamCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(self, shape: Sequence[int], scale: Sequence[int], step: float) -> None:
        self.scale = tuple(scale[-2:])
        self.step = step
        self.shape = tuple(shape[-2:])
        self.strips: dict[tuple[str, int, int], tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
        """('sr' or 'bicubic', axis, start of the block across it): sums and numbers of the jumps before LR pixels."""
        self.left: tuple[tuple[Any, ...], NDArray[Any], NDArray[np.bool_]] | None = None
        self.above: dict[int, tuple[int, NDArray[Any], NDArray[np.bool_]]] = {}

    def add(self, block: Block) -> None:
        """Take a block into account; band after band, the middle slice of a volume."""
        self._add_bicubic(block)
        values, valid = middle_slice(block.sr), middle_slice(block.sr_valid)
        rows, cols = (slice(w.start * s, w.stop * s) for w, s in zip(block.core[-2:], self.scale, strict=True))
        thin, thin_valid = values[:, ::ROW_STEP], valid[:, ::ROW_STEP]
        key = (rows.start, cols.start)
        if self.left is not None and self.left[0] == key:
            thin = np.concatenate([self.left[1], thin], axis=2)
            thin_valid = np.concatenate([self.left[2], thin_valid], axis=2)
        self._add_sr(1, block.core[-2].start, cols.stop - thin.shape[2], thin, thin_valid)
        self.left = ((rows.start, cols.stop), thin[..., -3:].copy(), thin_valid[..., -3:].copy())
        thin, thin_valid = values[..., ::ROW_STEP], valid[..., ::ROW_STEP]
        kept = self.above.get(cols.start)
        tail = (rows.stop, thin[:, -3:].copy(), thin_valid[:, -3:].copy())
        if kept is not None and kept[0] == rows.start:
            thin, thin_valid = np.concatenate([kept[1], thin], axis=1), np.concatenate([kept[2], thin_valid], axis=1)
        self._add_sr(
            0, block.core[-1].start, rows.stop - thin.shape[1], thin.transpose(0, 2, 1), thin_valid.transpose(0, 2, 1)
        )
        self.above[cols.start] = tail

    def _add_bicubic(self, block: Block) -> None:
        around, seen = middle_slice(block.around).astype(block.work), middle_slice(block.valid)
        rows, cols = block.core[-2:]
        inner = slice(MARGIN_PX, -MARGIN_PX)
        for axis, values, valid, along, across in (
            (1, around[:, inner], seen, cols, rows),
            (0, around[..., inner].transpose(0, 2, 1), seen.transpose(0, 2, 1), rows, cols),
        ):
            self._sum("bicubic", axis, across.start, along.start, _bicubic_jumps(values, self.scale[axis]), valid)

    def _add_sr(self, axis: int, strip: int, start: int, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        """Jumps along the last axis of (C, across, along), whose first index is `start` of the SR."""
        factor = self.scale[axis]
        at = np.arange(-(-(start + 2) // factor) * factor, start + values.shape[2] - 1, factor) - start
        if not at.size:
            return
        exact: NDArray[Any] = values.astype(np.float32 if values.dtype.itemsize <= 2 else np.float64)
        jumps = _jump(*(exact[..., at + k] for k in (-2, -1, 0, 1)))
        seen = valid[..., at - 2] & valid[..., at - 1] & valid[..., at] & valid[..., at + 1]
        self._sum("sr", axis, strip, (start + int(at[0])) // factor, jumps, seen)

    def _sum(self, of: str, axis: int, strip: int, start: int, jumps: NDArray[Any], seen: NDArray[np.bool_]) -> None:
        seen = seen & np.isfinite(jumps)
        zeros = np.zeros((len(jumps), self.shape[axis]))
        sums, numbers = self.strips.setdefault((of, axis, strip), (zeros, zeros.copy()))
        window = slice(start, start + jumps.shape[2])
        sums[:, window] += np.where(seen, jumps, 0).sum(axis=1, dtype=np.float64)
        numbers[:, window] += seen.sum(axis=1)

    def checks(self, limits: Mapping[str, Limit], cores: Sequence[int] | None) -> list[Check]:
        """The greatest ratio at a border of tiles of `cores` LR pixels; of whole columns, when that is not known."""
        found = [self._worst(axis, None if cores is None else cores[axis - 2]) for axis in (0, 1)]
        ratios = [ratio for ratio in found if ratio is not None]
        if not ratios:
            return [abstain("seams.step", "no border of tiles inside the scene, or too few valid pixels along it")]
        basis = "mean jump across a border over the mean around it, worst border"
        return [judge(limits, "seams.step", max(ratios), "x elsewhere", basis, "the tiles do not fit each other")]

    def _worst(self, axis: int, core: int | None) -> float | None:
        """The greatest ratio of the axis; None when there is no border, or too little along it."""
        found = [np.zeros(0)]
        for profiles in self._profiles(axis, whole=core is None):
            ratios = self._ratios(*profiles)[:, core :: core or 1]
            # A seam goes through all bands; what only one of them has was there before.
            seen = np.isfinite(ratios).all(axis=0)
            found.append(np.median(ratios[:, seen], axis=0))
        values = np.concatenate(found)
        return float(values.max()) if values.size else None

    def _profiles(self, axis: int, whole: bool) -> list[tuple[NDArray[Any], ...]]:
        """Sums and numbers of SR and bicubic along every strip, or along the whole scene."""
        strips: list[tuple[NDArray[Any], ...]] = [
            (*pair, *self.strips[("bicubic", axis, strip)])
            for (of, one, strip), pair in sorted(self.strips.items())
            if (of, one) == ("sr", axis)
        ]
        if not whole or not strips:
            return strips
        # Where borders are is not known: whole columns, so that chance has less to say.
        return [tuple(np.sum(parts, axis=0) for parts in zip(*strips, strict=True))]

    def _ratios(self, *profiles: NDArray[Any]) -> NDArray[Any]:
        """Quotient of the mean jumps of SR and bicubic over its median around, (C, n); NaN where too little is seen."""
        sums, numbers, their_sums, their_numbers = profiles
        enough = (numbers >= max(LEAST, 0.25 * numbers.max(initial=0))) & (their_numbers > 0)
        ours, theirs = sums / np.fmax(numbers, 1), their_sums / np.fmax(their_numbers, 1)
        # Half a step is what rounding makes of a smooth surface; half of the usual jump keeps a border on which
        # bicubic happens to be smooth from looking like a seam.
        floor = 0.5 * self.step + 0.5 * np.median(theirs, axis=1, keepdims=True) + 1e-30
        quotient = (ours + floor) / (theirs + floor)
        usual = float(np.median(quotient[enough])) if enough.any() else 1.0
        around = ndimage.median_filter(np.where(enough, quotient, usual), (1, 2 * NEIGHBOURS + 1), mode="nearest")
        ratio: NDArray[Any] = np.where(enough, quotient / around, np.nan)
        return ratio


def _jump(before: NDArray[Any], left: NDArray[Any], right: NDArray[Any], after: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.abs(1.5 * (right - left) - 0.5 * (after - before)))


def _bicubic_jumps(values: NDArray[Any], scale: int) -> NDArray[Any]:
    """Jumps (C, across, n) before every LR pixel of (C, across, n + 6), enlarged by bicubic along the last axis."""
    weights = cubic_weights(scale).numpy().astype(values.dtype)
    count = values.shape[2] - 2 * MARGIN_PX

    def at(place: int) -> NDArray[Any]:
        pixel, k = divmod(place, scale)
        start = MARGIN_PX + pixel - BICUBIC_PX
        taps = [weight * values[..., start + t : start + t + count] for t, weight in enumerate(weights[k]) if weight]
        return np.asarray(sum(taps[1:], taps[0]))

    return _jump(at(-2), at(-1), at(0), at(1))
