"""Whether guides lie where the bands lie that they guide: measured on windows of the scene before any is used.

    guide, averaged over LR pixels --gain, offset--> as like the band as it can be --cross-correlation--> rows, columns

The gain may be negative: where near infrared is bright red is dark. What does not correlate says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import Spec
from srcore.errors import PlanError, SourceError
from srcore.shift import beside
from srcore.storage.header import Header
from srcore.storage.scene import SceneReader

MOST_PX = 0.5
"""LR pixels that a guide may lie beside a band: from there on its detail lies in another pixel."""
WINDOW_PX, WINDOWS = 64, 16
"""Side of a window in LR pixels, and how many are looked at at most."""
LEAST_PX = 16
"""Side of a scene in LR pixels below which nothing can be said."""
LEAST_WINDOWS = 3
"""That say something of a guide, or nothing is said of it."""
LEAST_VALID = 0.9
LEAST_LIKENESS = 0.7
"""Correlation, of either sign: what haze and snow leave of it says nothing of half a pixel."""
LEAST_AGREED = 0.5
"""Of the shifts of one guide, those that lie within MOST_PX of their median."""
BANDS = 4
"""Guided bands that are looked at, spread over all of them."""


@dataclass(frozen=True)
class Registered:
    """How far each guide lies beside the bands, in LR pixels."""

    shifts: tuple[tuple[str, float, float] | None, ...]
    """Of each guide its name, rows and columns; None where nothing could be measured."""

    @property
    def flag(self) -> str:
        """What a user should know of it."""
        known = [one for one in self.shifts if one is not None]
        if not known:
            return "where the guides lie could not be measured: too little that bands and guides have in common"
        name, rows, columns = max(known, key=lambda one: np.hypot(one[1], one[2]))
        return f"the guides lie within {np.hypot(rows, columns):.2f} px of the guided bands ({name}), as measured"


def check_guides(spec: Spec, header: Header) -> None:
    """PlanError NO_GUIDES where a model that needs guides has none, or nothing to bring to their grid."""
    if spec.zoom == 1 or header.guides:
        return
    coarse = [band.name for band in header.bands if band.zoom == spec.zoom]
    found = f"no band at the finest resolution beside {', '.join(coarse)}" if coarse else "all bands at one resolution"
    raise PlanError(
        f"model {spec.name} brings coarser bands to the grid of finer ones of the same scene",
        found,
        "give a product with both, as a SAFE or Landsat folder, and name bands of both; or take another model",
        code="NO_GUIDES",
    )


class Unguided:
    """`add` the validity (C, Y, X) of every part of a scene: where a guide is hidden, and a guided band is not."""

    def __init__(self, header: Header) -> None:
        self._guides = list(header.guides)
        self._guided = list(header.guided)
        self._names = header.names_of(header.guided)
        self._hidden = self._seen = 0

    def add(self, valid: NDArray[np.bool_]) -> None:
        """Take a part into account."""
        if not self._guides:
            return
        shown = valid[self._guided].any(axis=0)
        self._seen += int(np.count_nonzero(shown))
        self._hidden += int(np.count_nonzero(shown & ~valid[self._guides].all(axis=0)))

    @property
    def flags(self) -> tuple[str, ...]:
        """What a user should know of it."""
        if not self._hidden:
            return ()
        share = f"{100 * self._hidden / self._seen:.3g} %"
        return (f"{', '.join(self._names)}: a guide is hidden in {share} of the pixels, which are interpolated there",)


def registered(header: Header, reader: SceneReader) -> Registered:
    """What windows spread over the scene say of each guide; SourceError NOT_REGISTERED beyond MOST_PX."""
    guided, zoom = header.guided, header.zoom
    chosen = sorted({guided[round(k)] for k in np.linspace(0, len(guided) - 1, min(BANDS, len(guided)))})
    found: list[list[tuple[float, float]]] = [[] for _ in header.guides]
    for values, valid in _windows(header.grid.shape, zoom, reader):
        for place, guide in enumerate(header.guides):
            shifts = [_shift(values, valid, band, guide, zoom) for band in chosen]
            if (one := _agreed([shift for shift in shifts if shift is not None])) is not None:
                found[place].append((float(one[0]), float(one[1])))
    medians = [_agreed(shifts) if len(shifts) >= LEAST_WINDOWS else None for shifts in found]
    names = header.names_of(header.guides)
    result = Registered(
        tuple(None if m is None else (name, float(m[0]), float(m[1])) for name, m in zip(names, medians, strict=True))
    )
    _refuse(result)
    return result


def _agreed(shifts: Sequence[tuple[float, float]]) -> NDArray[np.float64] | None:
    """The median, where half of the shifts or more lie near it: clouds and waves move between two bands."""
    if not shifts:
        return None
    median = np.median(np.array(shifts), axis=0)
    near = np.hypot(*(np.array(shifts) - median).T) <= MOST_PX
    return median if near.mean() >= LEAST_AGREED else None


def _refuse(result: Registered) -> None:
    off = [one for one in result.shifts if one is not None and np.hypot(one[1], one[2]) > MOST_PX]
    if off:
        told = ", ".join(f"{name} {rows:+.2f} rows, {columns:+.2f} columns" for name, rows, columns in off)
        raise SourceError(
            "guides do not lie where the bands lie that they should guide",
            f"{told} in pixels of the guided bands, at most {MOST_PX:g} is allowed",
            "register them, name other bands, or take a model without guides",
            code="NOT_REGISTERED",
        )


def _windows(shape: Sequence[int], zoom: int, reader: SceneReader) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Values and validity (C, Y, X) of windows that begin and end where LR pixels do."""
    coarse = [n // zoom for n in shape]
    if min(coarse) < LEAST_PX:
        return
    each = max(1, int(WINDOWS**0.5))
    sides = [min(max(n // 2, LEAST_PX), WINDOW_PX) for n in coarse]
    starts = [
        np.unique(np.linspace(0, n - side, min(each, -(-n // side))).astype(int))
        for n, side in zip(coarse, sides, strict=True)
    ]
    for start in product(*starts):
        yield reader.read(tuple(slice(int(s) * zoom, (int(s) + n) * zoom) for s, n in zip(start, sides, strict=True)))


def _shift(
    values: NDArray[Any], valid: NDArray[np.bool_], band: int, guide: int, zoom: int
) -> tuple[float, float] | None:
    """Rows and columns in LR pixels that a guide lies beside a band in one window; None where that cannot be said."""
    if min(valid[band].mean(), valid[guide].mean()) < LEAST_VALID:
        return None
    height, width = (n // zoom for n in values.shape[1:])
    lr = values[band, ::zoom, ::zoom].astype(np.float64)
    mean = values[guide].astype(np.float64).reshape(height, zoom, width, zoom).mean(axis=(1, 3))
    seen = (valid[band] & valid[guide]).reshape(height, zoom, width, zoom).all(axis=(1, 3))
    if not seen.any():
        return None
    lr, mean = (np.where(seen, one, one[seen].mean()) for one in (lr, mean))
    lr, mean = lr - lr.mean(), mean - mean.mean()
    near = _beside(mean, lr)
    if near is not None:
        return near
    rows, columns = _peak(mean, lr)
    if not rows and not columns:
        return None
    further = _beside(*_overlap(mean, lr, rows, columns))
    return None if further is None else (rows + further[0], columns + further[1])


def _beside(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[float, float] | None:
    """As `shift.beside`, whatever the gain between the two, and whatever its sign."""
    ours, theirs = ours - ours.mean(), theirs - theirs.mean()
    size, own = float(np.abs(theirs).max()), float(np.abs(ours).max())
    if not (0 < size < np.inf and 0 < own < np.inf):
        return None
    ours, theirs = ours / own, theirs / size
    together, length = float((theirs * ours).sum()), float(np.sqrt((ours**2).sum() * (theirs**2).sum()))
    if abs(together) < LEAST_LIKENESS * length:
        return None
    return beside(np.sign(together) * ours, theirs)


def _peak(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> tuple[int, int]:
    """Whole rows and columns, up to a quarter of the window, by which `ours` lies beside where both are most alike."""
    rows, columns = (np.hanning(size + 2)[1:-1] for size in ours.shape)
    a, b = (np.fft.rfft2(one / (np.abs(one).max() or 1) * rows[:, None] * columns) for one in (ours, theirs))
    alike = np.abs(np.fft.irfft2(a * np.conj(b), ours.shape))
    for axis, size in enumerate(ours.shape):
        far = np.abs(np.fft.fftfreq(size)) > 0.25
        alike[(slice(None),) * axis + (far,)] = 0
    place = np.unravel_index(int(np.argmax(alike)), ours.shape)
    return tuple(int(p - n if p > n // 2 else p) for p, n in zip(place, ours.shape, strict=True))  # type: ignore[return-value]


def _overlap(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], rows: int, columns: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The parts of both that show the same, where `ours` lies so many pixels beside."""
    cut = []
    for size, moved in zip(ours.shape, (rows, columns), strict=True):
        cut.append((slice(max(0, moved), size + min(0, moved)), slice(max(0, -moved), size - max(0, moved))))
    return ours[cut[0][0], cut[1][0]], theirs[cut[0][1], cut[1][1]]
