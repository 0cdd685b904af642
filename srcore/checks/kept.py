"""What must be kept exactly, classes and the ends of a range; and what an SR leaves that nobody named: the LR's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks import Check, abstain, judge
from srcore.checks.blocks import Block
from srcore.limits import Limit
from srcore.radiometry import nearest

Ends = tuple[float, float]

BOUNDED: tuple[Ends, ...] = ((0.0, 1.0), (-1.0, 1.0), (0.0, 100.0))
"""Ends of shares, indices and percent."""
LEAST = 256
"""SR pixels of a band below which a share says nothing."""
REACHED = 0.01
"""Part of such a range within which the LR comes to both of its ends, where it is in it."""


class KeptCheck:
    """Collects block by block, of all bands: `add` every block, then `checks`."""

    def __init__(
        self,
        copied: Sequence[bool],
        ranges: Sequence[Ends | None],
        own: Sequence[Ends | None],
        is_volume: bool = False,
    ) -> None:
        self.copied, self.ranges, self.own = copied, ranges, own
        """`own`: least and greatest valid number of each band of the LR; None where nothing is valid."""
        self.reach = 0.0 if is_volume else None
        """How far an SR voxel lies beyond them, in the LR's range; None of rasters, whose lights may."""
        self.changed = self.outside = 0
        self.valid, self.beyond, self.signs, self.unbound = (np.zeros(len(copied), np.int64) for _ in range(4))
        self.bounds = [None if ends is None else _bounds(ends) for ends in own]
        """Of each band the range of shares, indices or percent that its LR fills."""

    def add(self, block: Block) -> None:
        """Take a block of all bands into account."""
        for band, is_copied in enumerate(self.copied):
            if is_copied:
                self._add_copied(block, band)
                continue
            seen = block.sr_valid[band]
            values = block.sr[band] if seen.all() else block.sr[band][seen]
            if not values.size:
                continue
            self.valid[band] += values.size
            if (ends := self.ranges[band]) is not None:
                self.outside += _outside(values, ends)
            if (own := self.own[band]) is not None:
                self._add_own(values, band, own)

    def _add_own(self, values: NDArray[Any], band: int, own: Ends) -> None:
        """Valid values of a band beside the ends that its LR has."""
        self.beyond[band] += _outside(values, own)
        if self.reach is not None:
            self.reach = max(self.reach, _reach(values, own))
        if (bounds := self.bounds[band]) is not None:
            self.unbound[band] += _outside(values, bounds)
        if (own[0] >= 0 > values.min()) or (own[1] <= 0 < values.max()):
            self.signs[band] += int(np.count_nonzero(values < 0 if own[0] >= 0 else values > 0))

    def _add_copied(self, block: Block, band: int) -> None:
        one = slice(band, band + 1)
        expected, shown = nearest(block.lr[one], block.scale), nearest(block.valid[one], block.scale)
        wrong = (shown != block.sr_valid[one]) | (shown & (expected != block.sr[one]))
        self.changed += int(np.count_nonzero(wrong))

    def checks(self, limits: Mapping[str, Limit]) -> list[Check]:
        """What was kept, and what was left."""
        found = []
        if any(self.copied):
            basis = (
                "what no generator sees (classes, bits, angles, guides): each SR pixel is the LR pixel that it lies in"
            )
            hint = "the SR of these bands must be the LR; values: continuous, if classes are amounts"
            found.append(judge(limits, "values.copied", float(self.changed), "px", basis, hint))
        if any(ends is not None for ends in self.ranges):
            basis, hint = "the ends of the valid range", "the SR holds numbers that cannot be"
            found.append(judge(limits, "values.range", float(self.outside), "px", basis, hint))
        return [*found, *self._own(limits)]

    def _own(self, limits: Mapping[str, Limit]) -> list[Check]:
        """SR beyond the ends that the LR itself has, in the worst band."""
        if not self.valid.any():
            return []
        if self.valid.max() < LEAST:
            return [abstain(f"values.{name}", f"fewer than {LEAST} pixels") for name in ("beyond", "sign", "bounded")]
        if all(own is None for own in self.own):
            return [abstain("values.beyond", "the LR's own ends are not known")]
        counts = (self.beyond, self.signs, self.unbound)
        share, sign, unbound = (float((count / np.maximum(self.valid, 1)).max()) for count in counts)
        give = "if they cannot be, say so: --valid-range LEAST,GREATEST (valid_range: in the catalog)"
        far = "the farthest SR voxel beyond the LR's least and greatest number, as a share of their distance"
        reach = (
            [] if self.reach is None else [judge(limits, "values.reach", self.reach, "of the LR's range", far, give)]
        )
        return [
            *reach,
            judge(
                limits, "values.beyond", share, "of the pixels", "SR beyond the LR's least and greatest number", give
            ),
            judge(limits, "values.sign", sign, "of the pixels", "SR of a sign that no pixel of the LR has", give),
            judge(
                limits,
                "values.bounded",
                unbound,
                "of the pixels",
                "SR beyond what the LR fills: 0 to 1, -1 to 1, 0 to 100",
                give,
            ),
        ]


def _bounds(own: Ends) -> Ends | None:
    """The range of BOUNDED that an LR of these ends fills."""
    for least, most in BOUNDED:
        near = REACHED * (most - least)
        if least <= own[0] <= least + near and most - near <= own[1] <= most:
            return least, most
    return None


def _reach(values: NDArray[Any], own: Ends) -> float:
    """How far the farthest number lies beyond the ends, as a share of their distance; 0 where that is none."""
    low, high = float(np.fmin.reduce(values, axis=None)), float(np.fmax.reduce(values, axis=None))
    distance = own[1] - own[0]
    return max(own[0] - low, high - own[1], 0.0) / distance if distance > 0 else 0.0


def _outside(values: NDArray[Any], ends: Ends) -> int:
    if values.min() >= ends[0] and values.max() <= ends[1]:
        return 0
    return int(np.count_nonzero((values < ends[0]) | (values > ends[1])))
