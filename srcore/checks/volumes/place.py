"""Place: the SR lies where the LR lies, in all three directions.

What the LR's slices see of the SR is compared with the LR: a small shift d of one beside the other is a difference of
-d times the gradient. The d that explains the difference best (least squares), of each eighth of the volume, beyond
what chance makes of the rest. What is blurred or sharpened differs along the LR's curvature, which is explained beside
it, so that a blur that lies aslant is no shift.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.checks.spread import BandSpread
from srcore.limits import Limit

LEAST = 512
"""Voxels of an eighth below which it says nothing."""
TEXTURE = 2.0
"""Root mean square of a gradient, in resolutions of the numbers, below which there is nothing to hold on to."""
HELD = 0.5
"""Of the root mean square of what is off: a volume that varies less than that along an axis does not tell of it."""
CHANCE = 3.0
"""Standard errors that are no shift."""
ALIKE = 4
"""Voxels of which one tells anything of its own: what a product is off is alike from one to the next in its slice."""
AXES = ("slices", "rows", "columns")


class PlaceCheck:
    """Collects block by block: `add` every block, then `checks`."""

    def __init__(
        self,
        shape: Sequence[int],
        scale: Sequence[int],
        spacing: Sequence[float],
        own: tuple[float, float] | None = None,
        known: bool = True,
    ) -> None:
        self.shape, self.scale = tuple(shape), np.array(scale, np.float64)
        self.spacing = np.array(spacing) / self.scale
        """mm between voxels of the SR."""
        self.own = (-np.inf, np.inf) if own is None else own
        """Least and greatest number of the LR: where the SR comes to them it may be cut off, to one side."""
        self.known = known
        """Whether it is known what a slice of the LR sees; else nothing stops."""
        self.products, self.along = np.zeros((8, 6, 6)), np.zeros((8, 6))
        """Sums of products of gradients and curvatures, and of them and differences, of each eighth."""
        self.squares, self.count = np.zeros(8), np.zeros(8)

    def add(self, block: Block) -> None:
        """Take a block into account: what lies between others in it."""
        lr, apart = block.lr[0].astype(np.float64), block.averaged[0].astype(np.float64) - block.lr[0]
        if min(lr.shape) < 3:
            return
        inside = (slice(1, -1),) * 3
        valid = block.valid[0] & np.isfinite(apart) & (block.low[0] > self.own[0]) & (block.high[0] < self.own[1])
        known = valid[inside] if valid.all() else ndimage.binary_erosion(valid, np.ones((3, 3, 3)))[inside]
        beside = [(np.roll(lr, -1, axis)[inside], np.roll(lr, 1, axis)[inside]) for axis in range(3)]
        forms = [(after - before) / 2 for after, before in beside]
        forms += [after + before - 2 * lr[inside] for after, before in beside]
        halves = [_halves(core, n) for core, n in zip(block.core, self.shape, strict=True)]
        for eighth in range(8):
            part = tuple(halves[axis][(eighth >> axis) & 1] for axis in range(3))
            seen = known[part]
            if not seen.any():
                continue
            values = np.stack([one[part][seen] for one in forms])
            off = apart[inside][part][seen]
            self.products[eighth] += values @ values.T
            self.along[eighth] += values @ off
            self.squares[eighth] += off @ off
            self.count[eighth] += off.size

    def checks(self, limits: Mapping[str, Limit], band: BandSpread) -> list[Check]:
        """The largest shift of an eighth along an axis, in voxels of the SR."""
        found = np.stack([self._shift(eighth, TEXTURE * band.resolution) for eighth in range(8)])
        if not np.isfinite(found).any():
            return [abstain("registration.shift", "too little valid texture in the volume")]
        size = np.abs(np.nan_to_num(found))
        axis = int(np.argmax(size.max(axis=0)))
        told = float(size.max() * self.spacing[axis])
        basis = f"least squares on the gradient in 3-D, worst eighth beyond chance: {told:.2g} mm along {AXES[axis]}"
        hint = "half a voxel was lost, or slices are not where the affine says"
        if not self.known:
            basis += "; no gate: thick slices are no plain means"
            limits = {"registration.shift": Limit(warn=limits["registration.shift"].warn)}
        return [judge(limits, "registration.shift", float(size.max()), "SR px", basis, hint)]

    def _shift(self, eighth: int, least: float) -> NDArray[np.float64]:
        """Of an eighth along each axis, in voxels of the SR; NaN where nothing tells."""
        found, count = np.full(3, np.nan), self.count[eighth]
        matrix, along = self.products[eighth], self.along[eighth]
        if count < LEAST or not (np.isfinite(matrix).all() and np.isfinite([*along, self.squares[eighth]]).all()):
            return found
        told = np.diag(matrix) > np.maximum(count * least**2, HELD**2 * self.squares[eighth])
        axes = np.flatnonzero(told[:3])
        if not axes.size:
            return found
        forms = np.flatnonzero(told)
        inverse = np.linalg.pinv(matrix[np.ix_(forms, forms)], hermitian=True)
        amounts = inverse @ along[forms]
        rest = max(self.squares[eighth] - float(amounts @ along[forms]), 0.0) / count
        error = np.sqrt(np.maximum(np.diag(inverse), 0) * rest * ALIKE)
        shift = np.sign(amounts) * np.maximum(np.abs(amounts) - CHANCE * error, 0)
        found[axes] = shift[: len(axes)] * self.scale[axes]
        return found


def _halves(core: slice, size: int) -> tuple[slice, slice]:
    """Of a block's inside along an axis what lies in the first and in the second half of the scene."""
    middle, inside = size // 2, core.stop - core.start - 2
    cut = min(max(middle - core.start - 1, 0), inside)
    return slice(0, cut), slice(cut, inside)
