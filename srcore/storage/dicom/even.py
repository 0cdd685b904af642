"""Even, straight slices of a series that has none: where they lie, and how they are read. Linear, as asked for.

    along the normal   between the two slices that a new one lies between; none where the heights are even already
    in the plane       each slice is moved to where it lies, by whole pixels and a share of the next

Where a new pixel has no neighbour that means something, it is nodata. A slice is made as it is read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.storage.dicom.geometry import EVEN, SAME_MM, TILT_PX, Stack, grid_of
from srcore.storage.dicom.reader import KEPT_BYTES, DicomReader
from srcore.storage.dicom.slices import Slice
from srcore.storage.header import Header

MOST_MORE = 4
"""Times as many slices, rows or columns as there are, at most: what asks for more is a mistake of the header."""
WHOLE_PX = 1e-4
"""Of a pixel: a shift that is so near to whole pixels is one."""


def made_even(slices: Sequence[Slice], stack: Stack, *, straight: bool) -> tuple[Grid, dict[str, Any]] | None:
    """The grid of even slices, and how they are made: `between` has for each the slice below it and the share of the
    one above, `shifts` for each slice the rows and columns that its first pixel lies beside the new one's, `size` its
    rows and columns, `degrees` its tilt. None where the slices are even, and straight where that is asked for.

    SourceError SLICES_UNEVEN, or GANTRY_TILT, where that would make a multiple of what is there.
    """
    first = slices[stack.order[0]]
    assert first.spacing is not None, "checked before"
    uneven = bool(np.abs(stack.gaps - stack.step).max() > max(EVEN * stack.step, SAME_MM))
    tilted = straight and stack.drift_mm() > TILT_PX * min(first.spacing)
    if not (uneven or tilted):
        return None
    between, step = _between(stack) if uneven else ([(i, 0.0) for i in range(len(slices))], _mean_step(stack))
    shifts = _shifts(first, stack) if tilted else np.zeros((len(slices), 2))
    low, high = np.floor(shifts.min(axis=0)), np.ceil(shifts.max(axis=0))
    if np.any(high - low > MOST_MORE * np.array(first.size)):
        rows, columns = high - low
        found, do = f"{stack.tilt_deg:.1f} degrees, {rows:g} rows and {columns:g} columns", "split the series"
        raise SourceError("slices lie too far aside to be made straight", found, do, code="GANTRY_TILT")
    size = tuple(int(n) for n in np.add(first.size, high - low))
    orientation = np.array(first.orientation, np.float64)
    start = stack.positions[0] + sum(low[i] * first.spacing[i] * orientation[3 - 3 * i : 6 - 3 * i] for i in range(2))
    normal = stack.normal if tilted else _along(stack)
    grid = grid_of(replace(first, size=(size[0], size[1])), start, normal * step, len(between))
    told = {"between": between, "shifts": (shifts - low).tolist(), "size": list(first.size)}
    return grid, {**told, "degrees": stack.tilt_deg if tilted else 0.0, "uneven": uneven}


def _along(stack: Stack) -> NDArray[np.float64]:
    """From the first slice to the last, for 1 mm of height."""
    found: NDArray[np.float64] = (stack.positions[-1] - stack.positions[0]) / (stack.heights[-1] - stack.heights[0])
    return found


def _mean_step(stack: Stack) -> float:
    return float(stack.heights[-1] - stack.heights[0]) / (len(stack.heights) - 1)


def _between(stack: Stack) -> tuple[list[tuple[int, float]], float]:
    """Even heights, as near as the nearest two slices are: none of them is averaged away."""
    heights = np.array(stack.heights)
    count = round(float((heights[-1] - heights[0]) / stack.gaps.min())) + 1
    if count > MOST_MORE * len(heights):
        found = f"gaps from {stack.gaps.min():.3g} to {stack.gaps.max():.3g} mm: {count} even slices of {len(heights)}"
        raise SourceError("slices are too uneven to be made even", found, "split the series", code="SLICES_UNEVEN")
    wanted = np.linspace(heights[0], heights[-1], count)
    below = np.clip(np.searchsorted(heights, wanted, side="right") - 1, 0, len(heights) - 2)
    shares = (wanted - heights[below]) / stack.gaps[below]
    last = shares > 1 - WHOLE_PX
    below, shares = np.where(last, below + 1, below), np.where(last | (shares < WHOLE_PX), 0.0, shares)
    return list(zip(below.tolist(), shares.tolist(), strict=True)), float(wanted[1] - wanted[0])


def _shifts(first: Slice, stack: Stack) -> NDArray[np.float64]:
    """Rows and columns (slices, 2) that each slice lies beside the first."""
    orientation = np.array(first.orientation, np.float64)
    axes = np.stack([orientation[3:], orientation[:3]], axis=1)
    found: NDArray[np.float64] = (stack.positions - stack.positions[0]) @ axes / np.array(first.spacing)
    whole = np.rint(found)
    return np.where(np.abs(found - whole) < WHOLE_PX, whole, found)


class EvenReader:
    """Reads windows of even slices of a series; made by `open_dicom`, used in one thread."""

    def __init__(self, header: Header) -> None:
        self._header, self._how = header, header.extra["even"]
        rows, columns = self._how["size"]
        there = Grid((len(self._how["shifts"]), rows, columns), header.grid.affine)
        self._source = DicomReader(replace(header, grid=there))
        self._whole = (slice(0, rows), slice(0, columns))
        self._kept: OrderedDict[int, tuple[NDArray[np.generic], NDArray[np.bool_]]] = OrderedDict()

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (1, Z, Y, X) as they would be stored and validity of a window inside the volume."""
        slices, rows, columns = window
        shape = (1, *(one.stop - one.start for one in window))
        values, valid = np.empty(shape, self._header.dtype), np.empty(shape, np.bool_)
        for i, place in enumerate(range(slices.start, slices.stop)):  # copied: a view would keep each whole slice
            one, seen = self._slice(place)
            values[0, i], valid[0, i] = one[rows, columns], seen[rows, columns]
        return values, valid

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Volumes have no alpha band: raises SourceError."""
        return self._source.read_alpha(window)

    def _slice(self, place: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        if place not in self._kept:
            found = self._made(place)
            most = max(1, KEPT_BYTES // (found[0].nbytes + found[1].nbytes))
            while len(self._kept) >= most:
                self._kept.popitem(last=False)
            self._kept[place] = found
        self._kept.move_to_end(place)
        return self._kept[place]

    def _made(self, place: int) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        low, share = self._how["between"][place]
        values, valid = self._placed(low)
        if share:
            above, also = self._placed(low + 1)
            values, valid = values + share * (above - values), valid & also
        nodata, dtype = self._header.bands[0].nodata, np.dtype(self._header.dtype)
        stored = np.rint(np.where(valid, values, 0 if nodata is None else nodata)).astype(dtype)
        return stored, valid

    def _placed(self, place: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """A slice of the source in the new rows and columns."""
        stored, seen = self._source.read((slice(place, place + 1), *self._whole))
        values, valid = stored[0, 0].astype(np.float64), seen[0, 0]
        for axis, shift in enumerate(self._how["shifts"][place]):
            values, valid = _moved(values, valid, axis, shift, self._header.grid.shape[1 + axis])
        return values, valid


def _moved(
    values: NDArray[np.float64], valid: NDArray[np.bool_], axis: int, shift: float, size: int
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """`size` pixels along an axis, of which number `shift` is the first of `values`; between two it is linear."""
    there = values.shape[axis]
    place = np.arange(size) - shift
    low = np.floor(place).astype(int)
    share = np.expand_dims(place - low, 1 - axis)

    def taken(index: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        inside = np.expand_dims((index >= 0) & (index < there), 1 - axis)
        at = np.clip(index, 0, there - 1)
        return values.take(at, axis), valid.take(at, axis) & inside

    (here, seen), (ahead, also) = taken(low), taken(low + 1)
    return here + share * (ahead - here), seen & (also | (share == 0))


@contextmanager
def open_dicom(header: Header) -> Iterator[DicomReader | EvenReader]:
    """The reader of a series whose header was read before."""
    yield EvenReader(header) if "even" in header.extra else DicomReader(header)
