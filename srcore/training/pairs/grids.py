"""Nested grids: which LR pixels an HR covers, and where in the HR they begin. Pure.

LR    |-------0-------|-------1-------|-------2-------|      ratio 2, offset 0.5 HR px (Landsat's 15 m band)
HR        |---0---|---1---|---2---|---3---|---4---|          LR pixel 1 begins at 1.5 HR px, and is covered
                  window of LR: 1..1      first: 1.5
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, floor

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError
from srcore.grid import Grid
from srcore.storage.header import NO_PLACE_WITHIN

DRIFT_LR_PX = 0.5
"""By so much a ratio that is not quite whole may move the corners of the scene."""
SLACK_LR_PX = 2
"""Sizes without a place may differ by so much from whole multiples: where the HR lies, registration finds."""
TOUCH_LR_PX = 0.02
"""An LR pixel is covered where no more than this of it is not."""


@dataclass(frozen=True)
class Nesting:
    """How an HR lies on its LR."""

    scale: tuple[int, ...]
    """HR pixels per LR pixel, on every axis."""
    window: tuple[slice, ...]
    """LR pixels that the HR covers."""
    first: tuple[float, ...]
    """HR index (corner of a pixel) at which the window begins."""
    notes: tuple[str, ...] = ()
    """What was assumed, cropped or found."""

    @property
    def offset(self) -> tuple[float, ...]:
        """By what part of an HR pixel the corners are apart, from -0.5 to 0.5."""
        return tuple(round(start - round(start), 6) for start in self.first)


def nest(lr: Grid, hr: Grid, scale: Sequence[int] | None = None) -> Nesting:
    """How `hr` lies on `lr`, by their places or, where one has no place or no CRS alone, by their sizes.

    `scale`: what the ratio has to be; None: any whole one. GridError BAD_GRID for axes that are turned, NOT_A_MULTIPLE
    for a ratio that is not whole, BAD_PAIR for another than `scale`, DISJOINT without ground in common. Their CRS are
    taken to be the same.
    """
    if len(lr.shape) != len(hr.shape):
        raise GridError("HR and LR are of different kinds", f"{_by(hr.shape)} and {_by(lr.shape)}", "give others")
    unplaced = _nowhere(lr) or _nowhere(hr) or (lr.crs is None) != (hr.crs is None)
    found = _by_size(lr, hr, scale) if unplaced else _by_place(lr, hr)
    _refuse_other(found.scale, scale)
    return found


def _by_place(lr: Grid, hr: Grid) -> Nesting:
    inverse = np.linalg.inv(hr.matrix[:, :-1])
    ratios = inverse @ lr.matrix[:, :-1]
    ratio, start = np.diag(ratios), inverse @ (lr.matrix[:, -1] - hr.matrix[:, -1])
    sizes = np.array(lr.shape)
    if (ratio <= 0).any() or (np.abs(ratios - np.diag(ratio)) @ sizes > DRIFT_LR_PX * ratio).any():
        raise GridError("HR and LR are turned against each other", _told(ratios), "warp one to the other's axes")
    scale = np.maximum(1, np.round(ratio)).astype(int)
    if (np.abs(ratio - scale) * sizes > DRIFT_LR_PX * scale).any():
        raise GridError(
            "the ratio of HR to LR is not whole",
            " x ".join(f"{one:.4g}" for one in ratio),
            "resample one of them, or leave the pair out",
            code="NOT_A_MULTIPLE",
        )
    axes = list(zip(start, scale, lr.shape, hr.shape, strict=True))
    window = tuple(_covered(float(first), int(s), of_lr, of_hr) for first, s, of_lr, of_hr in axes)
    if any(one.stop <= one.start for one in window):
        raise GridError("HR and LR show different places", f"{_ends(hr)}, {_ends(lr)}", "give pairs", code="DISJOINT")
    first = tuple(float(one.start * s + at) for one, (at, s, *_) in zip(window, axes, strict=True))
    nesting = Nesting(tuple(map(int, scale)), window, first)
    return Nesting(nesting.scale, window, first, _notes(nesting, lr, hr))


def _covered(start: float, scale: int, lr: int, hr: int) -> slice:
    """LR pixels of an axis that lie within the HR, whose index there is start + scale * i."""
    first, last = ceil(-start / scale - TOUCH_LR_PX), floor((hr - start) / scale + TOUCH_LR_PX)
    return slice(max(0, first), min(lr, last))


def _notes(found: Nesting, lr: Grid, hr: Grid) -> tuple[str, ...]:
    notes = []
    if any(abs(one) > TOUCH_LR_PX for one in found.offset):
        notes.append(f"corners are {' x '.join(f'{one:+.3g}' for one in found.offset)} HR px apart: HR is resampled")
    sizes = tuple(one.stop - one.start for one in found.window)
    if sizes != lr.shape:
        notes.append(f"of LR {_by(lr.shape)} the HR {_by(hr.shape)} covers {_by(sizes)}")
    return tuple(notes)


def _by_size(lr: Grid, hr: Grid, wanted: Sequence[int] | None) -> Nesting:
    scale = tuple(max(1, round(b / a)) for a, b in zip(lr.shape, hr.shape, strict=True))
    if wanted is not None and len(wanted) == len(scale):
        scale = tuple(wanted) if _near(lr, hr, wanted) else scale
    if not _near(lr, hr, scale):
        raise GridError(
            "the size of the HR is no whole multiple of the LR's, and nothing says where it lies",
            f"HR {_by(hr.shape)}, LR {_by(lr.shape)}",
            "georeference both, or crop to a whole multiple",
            code="NOT_A_MULTIPLE",
        )
    window = tuple(slice(0, min(a, b // s)) for a, b, s in zip(lr.shape, hr.shape, scale, strict=True))
    notes = ["nothing says where the HR lies: its first corner is taken for the LR's"]
    if any(one.stop * s != n for one, s, n in zip(window, scale, hr.shape, strict=True)) or any(
        one.stop != n for one, n in zip(window, lr.shape, strict=True)
    ):
        notes.append(f"HR {_by(hr.shape)} against LR {_by(lr.shape)}: both are cropped")
    return Nesting(scale, window, (0.0,) * len(scale), tuple(notes))


def _near(lr: Grid, hr: Grid, scale: Sequence[int]) -> bool:
    axes = zip(lr.shape, hr.shape, scale, strict=True)
    return all(abs(b - s * a) <= SLACK_LR_PX * s and b >= s for a, b, s in axes)


def _refuse_other(scale: tuple[int, ...], wanted: Sequence[int] | None) -> None:
    if wanted is not None and scale != tuple(wanted):
        raise GridError(
            "HR and LR do not belong together",
            f"a ratio of {_by(scale)}",
            f"the model's scale asks for {_by(wanted)}",
            code="BAD_PAIR",
        )


def _nowhere(grid: Grid) -> bool:
    """True for a grid that is pixels alone."""
    return grid.crs is None and bool(np.abs(np.abs(grid.matrix) - _identity(len(grid.shape))).max() < NO_PLACE_WITHIN)


def _identity(axes: int) -> NDArray[np.float64]:
    """Of a raster x is a column and y a row; of a volume as NIfTI has it, x is the last axis."""
    return np.hstack([np.eye(axes)[::-1], np.zeros((axes, 1))])


def _told(ratios: NDArray[np.float64]) -> str:
    return "; ".join(" ".join(f"{one:.3g}" for one in row) for row in ratios)


def _ends(grid: Grid) -> str:
    return "(" + ", ".join(f"{value:.8g}" for value in grid.bounds()) + ")"


def _by(shape: Sequence[int]) -> str:
    return " x ".join(map(str, shape))
