"""Patches: a few small windows, spread over the scene, for checks that cost too much on all of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checks.blocks import BICUBIC_PX, MARGIN_PX, Block, average_down, bicubic, middle_slice, shrunk

CELLS = 4
"""The scene is divided into CELLS x CELLS; each gives its most textured patch."""
SIDE_PX, LEAST_SIDE_PX = 72, 16
"""LR pixels along a patch; smaller ones in small scenes, none below the least."""
LEAST_VALID = 0.95
"""Share of valid pixels of a patch; what is not valid is filled, in the SR by bicubic."""
BANDS = 4
"""Bands of a patch, at most."""


@dataclass(frozen=True)
class Patch:
    """A window of valid pixels; of a volume, one slice."""

    at: tuple[float, float]
    """Its centre as a share of the scene's rows and columns."""
    bands: tuple[int, ...]
    around: NDArray[Any]
    """LR (B, side + 4, side + 4)"""
    sr: NDArray[Any]
    """(B, side * s, side * s), as all that is fine"""
    scale: tuple[int, int]
    """Of rows and columns."""
    texture: float
    hr: NDArray[Any] | None = None
    """The true HR (B, side * s, side * s), where it is known and valid."""

    @property
    def lr(self) -> NDArray[Any]:
        """(B, side, side)"""
        return shrunk(self.around, BICUBIC_PX)

    @cached_property
    def averaged(self) -> NDArray[np.float64]:
        """Mean of the SR pixels in each LR pixel (B, side, side)."""
        return average_down(self.sr, self.scale)

    @cached_property
    def bicubic(self) -> NDArray[np.float64]:
        """(B, side * s, side * s)"""
        return bicubic(self.around, self.scale)


class PatchSampler:
    """Collects block by block: `add` every block, then `patches`."""

    def __init__(self, shape: Sequence[int], core: Sequence[int], bands: int) -> None:
        self.shape = tuple(shape[-2:])
        least = min(*self.shape, *core[-2:])
        self.side = min(SIDE_PX, max(LEAST_SIDE_PX, min(self.shape) // CELLS), least) // 2 * 2
        self.bands = tuple(int(b) for b in np.unique(np.linspace(0, bands - 1, min(BANDS, bands)).round()))
        self.best: dict[tuple[int, int], Patch] = {}

    def add(self, block: Block, hr: tuple[NDArray[Any], NDArray[np.bool_]] | None = None) -> None:
        """Take a block into account, and its true HR with its validity, where that is known."""
        if self.side < LEAST_SIDE_PX:
            return
        valid = middle_slice(block.valid)
        usable: NDArray[np.bool_] = np.all(valid[list(self.bands)], axis=0)
        around = shrunk(middle_slice(block.around), MARGIN_PX - BICUBIC_PX)[list(self.bands)]
        steps = _steps(around.astype(block.work, copy=False))
        for y in _starts(usable.shape[0], self.side):
            for x in _starts(usable.shape[1], self.side):
                if np.count_nonzero(usable[y : y + self.side, x : x + self.side]) >= LEAST_VALID * self.side**2:
                    size = self.side + 2 * BICUBIC_PX
                    texture = _texture_of(steps, (y, x), size)
                    self._offer(block, (y, x), around[:, y : y + size, x : x + size], texture, hr)

    def _offer(
        self,
        block: Block,
        start: tuple[int, int],
        around: NDArray[Any],
        texture: float,
        hr: tuple[NDArray[Any], NDArray[np.bool_]] | None,
    ) -> None:
        sr, sr_valid = middle_slice(block.sr), middle_slice(block.sr_valid)
        side, scale = self.side, (block.scale[-2], block.scale[-1])
        centre = [(w.start + s + side / 2) / n for w, s, n in zip(block.core[-2:], start, self.shape, strict=True)]
        cell = (int(centre[0] * CELLS), int(centre[1] * CELLS))
        if not np.isfinite(texture) or (cell in self.best and self.best[cell].texture >= texture):
            return
        lr = around.astype(np.float64)
        rows, columns = (slice(a * s, (a + side) * s) for a, s in zip(start, scale, strict=True))
        window = (list(self.bands), rows, columns)
        values, seen = sr[window].astype(np.float64), sr_valid[window]
        if not seen.all():
            values = np.where(seen, values, bicubic(lr, scale))
        truth = None
        if hr is not None and middle_slice(hr[1])[window].all():
            truth = middle_slice(hr[0])[window].astype(np.float64)
        self.best[cell] = Patch((centre[0], centre[1]), self.bands, lr, values, scale, texture, truth)

    def patches(self) -> list[Patch]:
        """The patches, in raster order of their cells."""
        return [self.best[cell] for cell in sorted(self.best)]


def _steps(values: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Sizes of the steps to the next column (y, x - 1) and to the next row (y - 1, x) of (B, y, x), means over B: once
    for a block, of which every window then has its own."""
    columns, rows = (np.zeros_like(np.diff(values[0], axis=axis)) for axis in (-1, -2))
    for band in values:
        for total, axis in ((columns, -1), (rows, -2)):
            step = np.diff(band, axis=axis)
            total += np.abs(step, out=step) / len(values)
    return columns, rows


def _texture_of(steps: tuple[NDArray[Any], NDArray[Any]], start: tuple[int, int], size: int) -> float:
    """Mean gradient along both axes of the window of `size` pixels along each that begins at `start`."""
    columns, rows = steps
    y, x = start
    return float(columns[y : y + size, x : x + size - 1].mean() + rows[y : y + size - 1, x : x + size].mean())


def _starts(length: int, side: int) -> list[int]:
    """Where windows of `side` begin in `length`, evenly spread, the first and the last at the ends."""
    if length < side:
        return []
    count = max(1, length // side)
    return [int(v) for v in np.unique(np.linspace(0, length - side, count).round())]
