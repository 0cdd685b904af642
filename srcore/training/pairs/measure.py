"""One pair from its files: headers, time, CRS, grids, the window with most clear pixels, and their check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from itertools import product
from math import ceil, floor
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from srcore.catalog.dataset import Dataset
from srcore.catalog.learning import Pairs as Wishes
from srcore.checks.blocks import average_down
from srcore.checks.geometry import crs_name, same_crs
from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.radiometry import quantise
from srcore.storage.header import Header, Taken
from srcore.storage.scene import SceneReader, open_scene
from srcore.training.pairs.check import ALONE, Refusal, Rules, check
from srcore.training.pairs.find import Pair, days_apart, header_of, hr_header_of, taken_of
from srcore.training.pairs.grids import Nesting, nest
from srcore.training.pairs.sample import WHOLE, Sample, lay

Pixels: TypeAlias = tuple[NDArray[Any], NDArray[np.bool_]]
"""Values and which of them are valid."""
CLEAR = 0.5
"""Share of valid pixels with which a window is taken at once."""
AROUND_HR_PX = 4
"""Read on each side of a window, for the interpolation of an HR that is moved."""
THUMBNAIL_PX = 32
ALIKE = 0.998
"""Correlation of the thumbnails of two scenes that are one."""


@dataclass(frozen=True)
class Reading:
    """A pair's window as its files have it."""

    sample: Sample
    nesting: Nesting
    grid: Grid | None
    """Of the sample's LR; None where nothing places it."""
    days: float | None
    """Between HR and LR; None where a date is not known."""
    taken: tuple[str, str]
    """When LR and HR were taken; '' where nothing says it."""


@dataclass(frozen=True)
class Measured:
    """What was found of a pair whose files fit each other."""

    refusal: Refusal | None
    sample: Sample
    """As corrected."""
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    grid: Grid | None
    """Of the sample's HR; None where nothing places it."""
    taken: tuple[str, str]


def measure(entry: Dataset, pair: Pair, scale: Sequence[int] | None, side_hr_px: int) -> Measured:
    """The pair's window of at most `side_hr_px` HR pixels, checked. `scale` is the model's; None: any.

    The errors of `read_pair`.
    """
    wishes = entry.pairs or Wishes()
    found = read_pair(entry, pair, scale, side_hr_px)
    verdict = check(found.sample, Rules(wishes.sensor, wishes.fit))
    figures = {**({} if found.days is None else {"days": found.days}), **verdict.figures}
    undated = ("no date says that HR and LR are of one time",) * (found.days is None and pair.hr_entry is not None)
    notes = (*undated, *found.nesting.notes, *verdict.notes)
    grid = None if found.grid is None else _hr_grid(found.grid, verdict.sample)
    return Measured(verdict.refusal, verdict.sample, figures, notes, grid, found.taken)


def measure_alone(entry: Dataset, pair: Pair, scale: Sequence[int] | None, side_hr_px: int) -> Measured:
    """The same of a scene that is the HR itself, and that training shrinks: no more than its content is checked.

    Without a `scale` its detail is judged by two.
    """
    header = header_of(entry, pair)
    own = (1,) * (len(header.grid.shape) - len(scale or (2, 2))) + tuple(scale or (2, 2))
    with open_scene(header) as reader:
        whole = tuple(slice(0, size // s * s) for size, s in zip(header.grid.shape, own, strict=True))
        sides = [side_hr_px // s * s for s in own[-2:]]
        values, valid = reader.read(clear_window(reader, whole, sides))
    inside = (slice(None), *(slice(0, size // s * s) for size, s in zip(values.shape[1:], own, strict=True)))
    values, valid = values[inside], valid[inside]
    lr = quantise(average_down(values, own), values.dtype)
    lr_valid = average_down(valid, own) > WHOLE
    verdict = check(Sample(lr, lr_valid, values, valid, own), steps=ALONE)
    taken = taken_of(header, entry.date)
    return Measured(
        verdict.refusal, verdict.sample, verdict.figures, verdict.notes, None, (taken.first if taken else "",) * 2
    )


def read_pair(entry: Dataset, pair: Pair, scale: Sequence[int] | None, side_hr_px: int) -> Reading:
    """The pair's window, the clearest that is tried.

    SourceError or GridError for files that cannot be read or laid on each other, TIME_GAP for those of other days,
    SOURCE_CHANGED for one that changes while it is read.
    """
    before = pair.stamps
    lr = header_of(entry, pair)
    hr = hr_header_of(entry, pair, lr)
    taken = taken_of(lr, entry.date), taken_of(hr, pair.hr_entry.date if pair.hr_entry else entry.date)
    days = _days(entry, pair, taken)
    nesting = _nested(pair, lr, hr, scale)
    sample, window = _cut(lr, hr, nesting, side_hr_px)
    if pair.stamps != before:
        raise SourceError(
            f"{pair.scene} changed while it was read",
            "another size or time of a file",
            "collect it again when it is whole",
            code="SOURCE_CHANGED",
        )
    grid = None if lr.lies_by_points or lr.grid.crs is None else _part(lr.grid, window)
    first, second = (one.first if one else "" for one in taken)
    return Reading(sample, nesting, grid, days, (first, second))


def _days(entry: Dataset, pair: Pair, taken: tuple[Taken | None, Taken | None]) -> float | None:
    wishes = entry.pairs or Wishes()
    days = days_apart(*taken)
    if days is not None and days > wishes.within_days:
        raise SourceError(
            f"HR and LR of {pair.scene} are of other days",
            f"{days:.1f} days apart",
            f"`within_days` of `pairs` allows {wishes.within_days:g}",
            code="TIME_GAP",
        )
    return days


def _nested(pair: Pair, lr: Header, hr: Header, scale: Sequence[int] | None) -> Nesting:
    if len(hr.bands) != len(lr.bands):
        raise GridError(
            f"HR and LR of {pair.scene} do not belong together",
            f"HR {len(hr.bands)} bands, LR {len(lr.bands)}",
            "say which belong together: `bands` of `pairs`",
            code="BAD_PAIR",
        )
    places = [_placed(header) for header in (lr, hr)]
    if None not in (places[0].crs, places[1].crs) and not same_crs(places[0].crs, places[1].crs):
        raise GridError(
            f"HR and LR of {pair.scene} have different CRS",
            f"{crs_name(places[1].crs)} and {crs_name(places[0].crs)}",
            "warp one to the other's grid",
            code="OTHER_CRS",
        )
    own = None if scale is None else (1,) * (len(lr.grid.shape) - len(scale)) + tuple(scale)
    return nest(places[0], places[1], own)


def _placed(header: Header) -> Grid:
    """The grid; pixels alone where control points place the scene, or a CRS does and numbers do not."""
    if not header.lies_by_points:
        return header.grid
    axes = len(header.grid.shape)
    return Grid(header.grid.shape, tuple(map(tuple, np.hstack([np.eye(axes)[::-1], np.zeros((axes, 1))]).tolist())))


def _cut(lr: Header, hr: Header, nesting: Nesting, side_hr_px: int) -> tuple[Sample, tuple[slice, ...]]:
    with ExitStack() as stack:
        coarse, fine = (stack.enter_context(open_scene(header)) for header in (lr, hr))
        window = clear_window(coarse, nesting.window, [max(1, side_hr_px // s) for s in nesting.scale[-2:]])
        sizes = [(one.stop - one.start) * s for one, s in zip(window, nesting.scale, strict=True)]
        axes = zip(window, nesting.window, nesting.first, nesting.scale, strict=True)
        first = [at + (one.start - within.start) * s for one, within, at, s in axes]
        read = tuple(
            slice(max(0, floor(at) - AROUND_HR_PX), min(n, ceil(at + size) + AROUND_HR_PX))
            for at, size, n in zip(first, sizes, hr.grid.shape, strict=True)
        )
        values, valid = fine.read(read)
        inside = [at - one.start for at, one in zip(first, read, strict=True)]
        return Sample(*coarse.read(window), *lay(values, valid, inside, sizes), nesting.scale), window


def _hr_grid(lr: Grid, sample: Sample) -> Grid:
    sizes, first = sample.lr.shape[1:], sample.cropped or (0,) * len(sample.scale)
    return _part(lr, [slice(at, at + n) for at, n in zip(first, sizes, strict=True)]).scaled(sample.scale)


def _part(grid: Grid, window: Sequence[slice]) -> Grid:
    """The grid of a window."""
    corner = grid.to_world([one.start for one in window])
    rows = tuple((*row[:-1], at) for row, at in zip(grid.affine, corner, strict=True))
    return replace(grid, shape=tuple(one.stop - one.start for one in window), affine=rows)


def clear_window(reader: SceneReader, within: Sequence[slice], sides: Sequence[int]) -> tuple[slice, ...]:
    """A window of at most `sides` on the last two axes: the middle one where it is clear, else the clearest."""
    ends = [_starts(one, side) for one, side in zip(within[-2:], sides, strict=True)]
    best: tuple[slice, ...] = ()
    most = -1.0
    for first in product(*ends):
        places = zip(first, within[-2:], sides, strict=True)
        window = (*within[:-2], *(slice(at, min(at + side, one.stop)) for at, one, side in places))
        share = float(reader.read(window)[1].mean())
        if share > most:
            best, most = window, share
        if share >= CLEAR:
            break
    return best


def _starts(within: slice, side: int) -> list[int]:
    """Starts of windows along an axis, the middle one first."""
    size = within.stop - within.start
    if size <= side:
        return [within.start]
    return [within.start + (size - side) // 2, *range(within.start, within.stop - side + 1, side)]


def thumbnail(values: NDArray[Any], valid: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C, 32, 32) of an image (of a volume: of its middle slice), each band of mean 0 and length 1; nodata counts 0."""
    if values.ndim == 4:
        values, valid = values[:, values.shape[1] // 2], valid[:, valid.shape[1] // 2]
    edges = [np.linspace(0, size, min(THUMBNAIL_PX, size), endpoint=False).astype(int) for size in values.shape[1:]]
    mean = values.mean(axis=(1, 2), where=valid, keepdims=True) if valid.any() else 0.0
    apart = np.where(valid, values - mean, 0.0)
    small = np.add.reduceat(np.add.reduceat(apart, edges[0], axis=1), edges[1], axis=2)
    length = np.sqrt((small**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(small / np.where(length > 0, length, 1.0))


def same_scene(one: NDArray[np.float64], other: NDArray[np.float64]) -> bool:
    """Whether two thumbnails are those of one scene, apart from some noise."""
    if one.shape != other.shape or not one.any():
        return False
    return bool((one * other).sum(axis=(1, 2)).min() >= ALIKE)
