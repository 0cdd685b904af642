"""The suite of a scene whose coarser bands were brought to the grid of finer ones, and the finer ones kept.

guided bands    judged as an SR of `zoom` against their LR, of which the scene's grid holds each pixel zoom x zoom
all others      each pixel is that of the input
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.checks import Check
from srcore.checks.blocks import Block, average_down, sum_of_squares
from srcore.checks.consistency import ConsistencyCheck
from srcore.checks.geometry import Place
from srcore.checks.kept import KeptCheck
from srcore.checks.suite import Scene, Suite
from srcore.checks.wald import Generate
from srcore.limits import Limit
from srcore.models.guided import MTF, OPTICS_PX, optics
from srcore.radiometry import nearest


class GuidedSuite:
    """`add` every block of the scene's grid in raster order, then `checks`."""

    def __init__(self, scene: Scene, limits: Mapping[str, Limit], coarse: Place, zoom: int) -> None:
        """`scene` on the grid of the guides, its `copied` all but the guided bands; `coarse`: where the LR lies."""
        self.limits, self.zoom, self.guided = limits, zoom, scene.seen
        self.others = [band for band in range(scene.bands) if band not in self.guided]
        none = (None,) * len(self.others)
        self.kept = KeptCheck((True,) * len(self.others), none, none)
        core = tuple(-(-n // zoom) for n in scene.core)
        self.suite = Suite(replace(scene.of_seen(), lr=coarse, scale=(zoom, zoom), core=core), limits)
        self.suite.consistency = OpticsCheck(len(self.guided), zoom)

    def add(self, block: Block, around: NDArray[Any], hr: tuple[NDArray[Any], NDArray[np.bool_]] | None = None) -> None:
        """Take a block into account; `around` is its LR with `zoom` times the margin of the checks."""
        self.kept.add(block.of(self.others))
        mine = coarse_block(block.of(self.guided), around[self.guided], self.zoom)
        self.suite.add(mine, None if hr is None else (hr[0][self.guided], hr[1][self.guided]))

    def checks(self, generate: Generate | str) -> list[Check]:
        """What was found."""
        return [*self.suite.checks(generate), *self.kept.checks(self.limits)]


class OpticsCheck(ConsistencyCheck):
    """The SR under the optics of the LR's sensor must give the LR back: plain means are what no sensor sees.

    Of means of a right SR, the LR is off by what its optics blurred: four times as far as bicubic's, which blurs once
    more. Pixels within OPTICS_PX of a block's edge are left out.
    """

    seen_as = bicubic_as = "sensor's view of"

    def __init__(self, bands: int, zoom: int) -> None:
        super().__init__(bands, compared=True)
        self.zoom, self.kernel = zoom, optics(MTF, zoom).double().numpy()

    def add(self, block: Block) -> None:
        """Take a block of the LR's grid into account."""
        if min(block.lr.shape[1:]) <= 2 * OPTICS_PX:
            return
        inside = (slice(None), *(slice(OPTICS_PX, -OPTICS_PX),) * 2)
        known = ~ndimage.binary_dilation(~block.valid, np.ones((1,) + (2 * OPTICS_PX + 1,) * 2))[inside]
        lr = block.lr[inside].astype(np.float64)
        for total, sr in ((self.ours, block.sr), (self.bicubic, block.bicubic)):
            total += sum_of_squares(np.where(known, self._seen(sr) - lr, 0))
        self.count += known.reshape(len(known), -1).sum(axis=1)

    def _seen(self, sr: NDArray[Any]) -> NDArray[np.float64]:
        """(C, Y * zoom, X * zoom) as the LR's sensor sees it, without OPTICS_PX LR pixels on each side."""
        values = np.asarray(sr, np.float64)
        for axis in (1, 2):
            along = np.moveaxis(values, axis, -1)
            length = along.shape[-1] - len(self.kernel) + 1
            taps = (weight * along[..., k : k + length : self.zoom] for k, weight in enumerate(self.kernel))
            values = np.moveaxis(np.sum(list(taps), axis=0), -1, axis)
        return values


def coarse_block(block: Block, around: NDArray[Any], zoom: int) -> Block:
    """A block (C, *core) of repeated LR pixels as one of the LR itself, under an SR of `zoom`.

    An LR pixel is valid where all its pixels are; what the fine validity has wrong, the coarse one has, too.
    """
    fine = block.valid
    parts = [fine[..., row::zoom, column::zoom] for row in range(zoom) for column in range(zoom)]
    valid = np.logical_and.reduce(parts)
    shown = nearest(valid, (zoom, zoom))
    core = tuple(slice(w.start // zoom, -(-w.stop // zoom)) for w in block.core)
    return replace(
        block,
        core=core,
        around=around[..., ::zoom, ::zoom],
        valid=valid,
        sr_valid=np.where(block.sr_valid == fine, shown, ~shown),
        scale=(zoom, zoom),
    )


def averaged(block: Block, guided: Sequence[int], zoom: int) -> NDArray[Any]:
    """(C, *core) of the scene's grid: what guided bands are on average in each LR pixel; the others as they are."""
    found: NDArray[Any] = block.averaged.copy()
    for band in guided:
        mean = average_down(block.averaged[[band]], (zoom, zoom))
        found[band] = nearest(mean, (zoom, zoom))[0]
    return found


def no_self_test(guides: Sequence[str]) -> str:
    """Why the scene's own generator is not tested on it."""
    return f"the generator needs its guides ({', '.join(guides)}), which one scale down are no longer there"
