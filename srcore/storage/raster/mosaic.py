"""Several files of one grid family as one scene: their headers, and windows of their pixels; never the whole.

        | a . . |              order: newest | first      a pixel is one file's: of the files that have something
        | a ab b|              a over b, or b over a      valid there, the first by the order
        | . . b |              . : no file, invalid

The grid is the smallest one of the family that holds all files. Nothing is warped: what is no part of the family is
refused.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.storage.band import Band, Member
from srcore.storage.dates.taken import dated
from srcore.storage.disk.real_file import MAX_PIXELS
from srcore.storage.header import NO_PLACE, NO_PLACE_WITHIN, Header, Taken
from srcore.storage.wish import Wish

NEAR_PX = 0.01
"""By so much of a pixel the grids of two files may disagree: digits that were rounded, and nothing that shows."""
MOST_EMPTY = 50
"""Pixels of the mosaic over those of its files: beyond that they are not one scene."""
NAMED = 20
"""Files that a flag names; receipt and STAC item name all."""
SHOWN = 60
"""Characters of a value that a message shows."""
MOST_OPEN = 32
"""Files that are open at a time."""
DO_APART = "narrow `mosaic: {group}`, or warp the file first"
DO_ALIKE = "narrow `mosaic: {group}`, or convert the file first"


class Opened(Protocol):
    """A reader of one file."""

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]: ...
    def decoded_px(self, window: tuple[slice, ...]) -> int: ...


class Opener(Protocol):
    """Opens a file by its header."""

    def __call__(self, header: Header) -> AbstractContextManager[Opened]: ...


def merged(headers: Sequence[Header], wish: Wish) -> Header:
    """One header of files that are parts of one mosaic, in the order of `headers`.

    SourceError or GridError, BAD_MOSAIC, for a file that is no part of it, UNDATED where the newest is asked for and a
    file has no date.
    """
    headers, guessed = _of_one_meaning(headers)
    first = headers[0]
    for header in headers:
        _refuse_other(first, header)
    starts = np.array([_start(first, header) for header in headers])
    low, high = starts.min(axis=0), (starts + [header.grid.shape for header in headers]).max(axis=0)
    shape = (int(high[0] - low[0]), int(high[1] - low[1]))
    _refuse_empty(headers, shape)
    times = [dated(header, wish.date).taken for header in headers]
    ranks = _ranks(headers, times, newest=wish.mosaic == "newest")
    members = tuple(
        Member((int(start[0]), int(start[1])), header.grid.shape, header.bands, header.alpha, rank)
        for start, header, rank in zip(starts - low, headers, ranks, strict=True)
    )
    bands = tuple(replace(band, mask=None) for band in first.bands)
    return replace(
        first,
        grid=first.grid.part((int(low[0]), int(low[1])), shape),
        bands=bands,
        alpha=None,
        tags={k: v for k, v in first.tags.items() if all(h.tags.get(k) == v for h in headers)},
        domains={k: v for k, v in first.domains.items() if all(h.domains.get(k) == v for h in headers)},
        beside=tuple(dict.fromkeys(path for h in headers for path in h.beside)),
        flags=(
            _told(members, wish),
            *guessed,
            *dict.fromkeys(flag for h in headers for flag in h.flags if flag != "no nodata"),
        ),
        taken=_span(times),
        mosaic=members,
    )


def _of_one_meaning(headers: Sequence[Header]) -> tuple[list[Header], list[str]]:
    """The headers, of which the same bands mean the same, and what is to be said of that: a part without detail looks
    like classes, and says nothing of the others."""
    flags: list[str] = []
    count = min(len(header.bands) for header in headers)
    for i in range(count):
        if len({header.bands[i].values for header in headers}) > 1:
            name = headers[0].bands[i].name
            flags.append(f"{name}: the files of the mosaic look different; taken for continuous, see `values`")
            headers = [_with_continuous(header, i) for header in headers]
    return list(headers), flags


def _with_continuous(header: Header, place: int) -> Header:
    bands = list(header.bands)
    bands[place] = replace(bands[place], values="continuous")
    return replace(header, bands=tuple(bands))


def _path(header: Header) -> Path:
    return Path(header.bands[0].path)


def _refuse_other(first: Header, other: Header) -> None:
    """Refuse what is of another sort than the first file."""
    for what, a, b in (
        ("data type", first.dtype, other.dtype),
        ("number of bands", len(first.bands), len(other.bands)),
        ("CRS", _crs(first), _crs(other)),
        ("names of bands", [one.name for one in first.bands], [one.name for one in other.bands]),
        ("scale and offset", *([(one.scale, one.offset) for one in each.bands] for each in (first, other))),
        ("nodata value", *([one.hidden for one in each.bands] for each in (first, other))),
        ("unit", [one.unit for one in first.bands], [one.unit for one in other.bands]),
        ("table of colours", [one.palette for one in first.bands], [one.palette for one in other.bands]),
        ("valid range", [one.valid_range for one in first.bands], [one.valid_range for one in other.bands]),
    ):
        if a != b:
            found = f"{_short(b)}, and {_short(a)} in {_path(first).name}"
            do = {"CRS": DO_APART, "nodata value": f"say `nodata`, or {DO_ALIKE}"}.get(str(what), DO_ALIKE)
            raise SourceError(f"{_path(other)}: its {what} is not that of its mosaic", found, do, code="BAD_MOSAIC")
    nowhere = other is not first and np.allclose(other.grid.gdal_affine, NO_PLACE, atol=NO_PLACE_WITHIN, rtol=0)
    if other.gcps or nowhere or not np.linalg.det(other.grid.matrix[:, :-1]):
        found = "control points" if other.gcps else "no place"
        raise GridError(f"{_path(other)}: does not lie on a grid", found, "warp it first", code="BAD_MOSAIC")


def _crs(header: Header) -> str | None:
    return header.grid.crs


def _short(value: object) -> str:
    """For a message: of a CRS its name."""
    text = str(value)
    named = re.match(r'[A-Z]+\["([^"]+)"', text)
    text = named[1] if named else text
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def _start(first: Header, other: Header) -> tuple[int, int]:
    """Row and column of a file in pixels of the first one; GridError where it is not of its grid."""
    inverse = np.linalg.inv(first.grid.matrix[:, :-1])
    corners = [(0, 0), other.grid.shape, (0, other.grid.shape[1])]
    places = [inverse @ (np.array(other.grid.to_world(corner)) - first.grid.matrix[:, -1]) for corner in corners]
    start = np.rint(places[0])
    drift = max(np.abs(place - places[0] - corner).max() for place, corner in zip(places, corners, strict=True))
    if not np.isfinite(places).all() or drift > NEAR_PX:
        found = f"{_sizes(other.grid)}, and {_sizes(first.grid)} in {_path(first).name}"
        what = f"{_path(other)}: its pixels have not the size of those of its mosaic"
        raise GridError(what, found, DO_APART, code="BAD_MOSAIC")
    if (apart := float(np.abs(places[0] - start).max())) > NEAR_PX:
        what = f"{_path(other)}: its pixels lie between those of {_path(first).name}"
        raise GridError(what, f"{apart:.2g} of a pixel", DO_APART, code="BAD_MOSAIC")
    return int(start[0]), int(start[1])


def _sizes(grid: Grid) -> str:
    return " x ".join(f"{step:.9g}" for step in grid.spacing())


def _refuse_empty(headers: Sequence[Header], shape: tuple[int, int]) -> None:
    covered = sum(prod(header.grid.shape) for header in headers)
    if prod(shape) > min(MAX_PIXELS, MOST_EMPTY * covered):
        found = f"{shape[0]} x {shape[1]} pixels, of which the files have {covered / prod(shape):.2g}"
        what = f"{_path(headers[0])}: its mosaic is too large for its files"
        raise GridError(what, found, "narrow `mosaic: {group}`", code="BAD_MOSAIC")


def _ranks(headers: Sequence[Header], times: Sequence[Taken | None], *, newest: bool) -> list[int]:
    """Which file comes first where several have a pixel: 0. Of files of one name, and one time, the first listed."""
    order = sorted(range(len(headers)), key=lambda i: _path(headers[i]).name)
    if newest:
        for header, time in zip(headers, times, strict=True):
            if time is None or not time.source:
                what = f"{_path(header)}: nobody knows when it was taken, and the newest is asked for"
                do = "say where dates stand with `date`, or `order: first`"
                raise SourceError(what, "no date in tags or name", do, code="UNDATED")
        order.sort(key=lambda i: str((times[i] or Taken("", "")).first), reverse=True)
    ranks = [0] * len(headers)
    for rank, i in enumerate(order):
        ranks[i] = rank
    return ranks


def _span(times: Sequence[Taken | None]) -> Taken | None:
    """From the first to the last second of all files; None where one of them is not known."""
    known = [time for time in times if time is not None and time.source]
    if len(known) < len(times):
        return None
    by = ", ".join(dict.fromkeys(time.source for time in known))
    return Taken(min(time.first for time in known), max(time.last for time in known), by)


def _told(members: Sequence[Member], wish: Wish) -> str:
    names = [Path(one.path).name for one in sorted(members, key=lambda one: one.rank)]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    how = "the newest first" if wish.mosaic == "newest" else "by name"
    return f"mosaic of {len(names)} files, {how}: {', '.join(names[:NAMED])}{more}"


class MosaicReader:
    """Reads windows of a mosaic; made by `open_mosaic`, used in one thread."""

    def __init__(self, header: Header, opener: Opener) -> None:
        self._header, self._opener = header, opener
        self._members = sorted(header.mosaic, key=lambda one: one.rank)
        self._open: dict[int, tuple[ExitStack, Opened]] = {}

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (C, Y, X) in native dtype and validity (C, Y, X) of a window (rows, columns) inside the mosaic.

        Raises SourceError when a file's pixels cannot be decoded, SOURCE_CHANGED when it is another one by now.
        """
        header = self._header
        shape = (len(header.bands), *(one.stop - one.start for one in window))
        values, valid = np.zeros(shape, header.dtype), np.zeros(shape, np.bool_)
        for i, band in enumerate(header.bands):
            values[i] = 0 if band.nodata is None else band.nodata
        taken = np.zeros(shape[1:], np.bool_)
        for rank, here, there in self._parts(window):
            if taken[here].all():
                continue
            own, seen = self._reader(rank).read(there)
            new = seen.any(axis=0) & ~taken[here]
            values[:, *here][:, new], valid[:, *here][:, new] = own[:, new], seen[:, new]
            taken[here] |= new
        return values, valid

    def read_alpha(self, _window: tuple[slice, ...]) -> NDArray[np.generic]:
        """There is none: what alpha hides in a file is invalid."""
        raise SourceError("a mosaic has no alpha band", str(self._header.bands[0].path), "ask for its data bands")

    def decoded_px(self, window: tuple[slice, ...]) -> int:
        """Pixels of a band that GDAL decodes for a window."""
        return sum(self._reader(rank).decoded_px(there) for rank, _, there in self._parts(window))

    def close(self) -> None:
        """Close all files."""
        for stack, _ in self._open.values():
            stack.close()
        self._open.clear()

    def _parts(self, window: tuple[slice, ...]) -> Iterator[tuple[int, tuple[slice, ...], tuple[slice, ...]]]:
        """The files that have something of a window, the first by the order first: where in it, and where in them."""
        for rank, one in enumerate(self._members):
            ends = [
                (max(w.start, start), min(w.stop, start + size))
                for w, start, size in zip(window, one.start, one.shape, strict=True)
            ]
            if all(low < high for low, high in ends):
                here = tuple(slice(low - w.start, high - w.start) for (low, high), w in zip(ends, window, strict=True))
                there = tuple(slice(low - s, high - s) for (low, high), s in zip(ends, one.start, strict=True))
                yield rank, here, there

    def _reader(self, rank: int) -> Opened:
        """A file's reader; the ones that were not used for longest are closed."""
        found = self._open.pop(rank, None)
        if found is None:
            while len(self._open) >= MOST_OPEN:
                self._open.pop(next(iter(self._open)))[0].close()
            stack = ExitStack()
            found = stack, stack.enter_context(self._opener(of_member(self._header, self._members[rank])))
        self._open[rank] = found
        return found[1]


def of_member(header: Header, member: Member) -> Header:
    """The header of one file, for its reader."""
    grid = header.grid.part(member.start, member.shape)
    return replace(header, grid=grid, bands=member.bands, alpha=member.alpha, quality=member.quality, mosaic=())


@contextmanager
def open_mosaic(header: Header, opener: Opener) -> Iterator[MosaicReader]:
    """The reader of a mosaic whose header was read before; `opener` opens one of its files."""
    reader = MosaicReader(header, opener)
    try:
        yield reader
    finally:
        reader.close()


def has_holes(header: Header) -> bool:
    """Whether a mosaic has pixels that no file has, or a file has such that a mask, alpha or a layer hides."""
    if any(one.alpha is not None or any(band.mask for band in one.bands) for one in header.mosaic):
        return True
    if any(one.quality is not None and one.quality.hides for one in header.mosaic):
        return True
    ends = [
        sorted({0, n, *(e for o in header.mosaic for e in (o.start[a], o.start[a] + o.shape[a]))})
        for a, n in enumerate(header.grid.shape)
    ]
    covered = np.zeros([len(one) - 1 for one in ends], np.bool_)
    for one in header.mosaic:
        rows, columns = (
            slice(ends[a].index(one.start[a]), ends[a].index(one.start[a] + one.shape[a])) for a in range(2)
        )
        covered[rows, columns] = True
    return not covered.all()


def only(header: Header, places: Sequence[int]) -> Header:
    """The header with some of its bands, by their places, in all of its files."""

    def chosen(bands: tuple[Band, ...]) -> tuple[Band, ...]:
        return tuple(bands[place] for place in places)

    mosaic = tuple(replace(one, bands=chosen(one.bands)) for one in header.mosaic)
    return replace(header, bands=chosen(header.bands), mosaic=mosaic)
