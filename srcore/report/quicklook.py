"""The quicklook: the whole product, and LR (bicubic; of a volume nearest) beside SR where there is most to see.

    +-----------------+  +-----------------+  +-----------------+
    | SR, whole scene |  | LR, bicubic     |  | SR              |
    |       [ ]       |  | the framed      |  | the same        |
    |                 |  | place, x 2      |  | place, x 2      |
    +-----------------+  +-----------------+  +-----------------+

The product, or an overview of it, is read once, block by block; LR only where it is shown, and at places that set the
stretch. What was found on the way (`Look`) also serves the pictures of the report's page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from srcore.report.panels import RGB, Panel, Stretch, compose, display_bands, enlarge, fit, nearest
from srcore.tiling import Window

Reader = Callable[[Window], NDArray[Any]]
"""LR values (C, *window) of a window in array order."""

PANEL = 448
"""Pixels of a panel's longer side, about."""
ENLARGED = 320
"""The same of a small scene: an archive of them pays for each pixel of its pictures."""
ZOOM = 2
"""Screen pixels per SR pixel in a detail."""
BLOCK = 1024
"""SR pixels read at once along an axis, about."""
MARGIN = 4
"""LR pixels read around a detail, for the bicubic."""
PROBES = 6
"""Places along an axis that set the stretch, of PROBE_PX LR pixels each."""
PROBE_PX = 64
HELD = 2**20
"""SR values of a scene that is held in memory while it is looked at."""


class ArrayLike(Protocol):
    """A numpy or Zarr array."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True)
class Views:
    """LR and SR of the shown bands on a plane: a raster, or a volume's slice in the middle of its middle LR slice."""

    read_lr: Reader
    valid: ArrayLike
    """(C, *scene): True = usable LR pixel."""
    sr: ArrayLike
    """(C, *scene * scale)."""
    bands: tuple[int, ...]
    averaged: ArrayLike | None = None
    """(C, *scene * scale / n): means of n x n pixels of the SR, where somebody has them already."""

    @cached_property
    def shape(self) -> tuple[int, int]:
        """LR rows and columns."""
        return self.valid.shape[-2], self.valid.shape[-1]

    @cached_property
    def scale(self) -> tuple[int, int]:
        """SR pixels per LR pixel along rows and columns."""
        return self.sr.shape[-2] // self.shape[0], self.sr.shape[-1] // self.shape[1]

    @property
    def title(self) -> str:
        """What the plane is, with its size in SR pixels."""
        part = "whole scene" if not self.is_volume else f"slice {self._place(self.sr) + 1} of {self.sr.shape[1]}"
        return f"{part}, {self.sr.shape[-2]} x {self.sr.shape[-1]} px"

    def lr(self, rows: slice, cols: slice) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """LR values and validity (bands, y, x)."""
        values = self.read_lr((*self._slice(self.valid), rows, cols))[list(self.bands)]
        return values.reshape(len(self.bands), *values.shape[-2:]), self.valid_at(rows, cols)

    def valid_at(self, rows: slice, cols: slice) -> NDArray[np.bool_]:
        """Validity (bands, y, x) of LR pixels."""
        seen = np.asarray(self.valid[(slice(None), *self._slice(self.valid), rows, cols)], bool)[list(self.bands)]
        return seen.reshape(len(self.bands), *seen.shape[-2:])

    def sr_at(self, rows: slice, cols: slice, array: ArrayLike | None = None) -> NDArray[Any]:
        """SR values (bands, y * scale, x * scale) of LR pixels; of `array`, at its own scale, when it is given."""
        source = self.sr if array is None else array
        down, along = (n // m for n, m in zip(source.shape[-2:], self.shape, strict=True))
        at = (*self._slice(source), _scaled(rows, down), _scaled(cols, along))
        parts = [np.asarray(source[(band, *at)]) for band in self.bands]
        return np.stack([part.reshape(part.shape[-2:]) for part in parts])

    def means_at(self, rows: slice, cols: slice) -> NDArray[np.float32]:
        """Means (bands, y, x) of the SR over LR pixels."""
        values = self.sr_at(rows, cols, self.sr if self.averaged is None else self.averaged)
        return _averaged(values, (values.shape[1] // _length(rows), values.shape[2] // _length(cols)))

    @property
    def is_volume(self) -> bool:
        """Whether there are slices."""
        return len(self.sr.shape) == 4

    @property
    def interpolated(self) -> str:
        """How the LR is shown at the size of the SR: of a slice each voxel as it is."""
        return "nearest" if self.is_volume else "bicubic"

    def _place(self, array: ArrayLike) -> int:
        """Which slice is shown: of the LR the middle one, of the SR that in the middle of it, at the same height."""
        middle, times = self.valid.shape[1] // 2, array.shape[1] // self.valid.shape[1]
        return middle * times + times // 2

    def _slice(self, array: ArrayLike) -> tuple[slice, ...]:
        """What lies between bands and rows: nothing for a raster, one slice of a volume."""
        return (slice(self._place(array), self._place(array) + 1),) if self.is_volume else ()


def quicklook(
    lr_reader: Reader, valid: ArrayLike, sr: ArrayLike, names: Sequence[str], colours: Sequence[str]
) -> bytes:
    """A PNG of the whole SR and of LR (bicubic) beside SR at the same place, in the same light.

    `valid` is (C, *scene), `sr` (C, *scene * scale), numpy or Zarr; `names` and `colours` are the bands' descriptions
    and GDAL's colour interpretations. A volume shows a slice of its middle, and LR as it is. Memory does
    not grow with the scene.
    """
    return look(lr_reader, valid, sr, names, colours).quicklook()


@dataclass(frozen=True)
class Look:
    """A scene that was looked at once: its pictures are made from this."""

    views: Views
    stretch: Stretch
    overview: Overview
    light: str = ""
    """What is black and what is white, in words; empty: by percentiles."""

    def quicklook(self) -> bytes:
        """The whole SR, and LR (bicubic) beside SR where there is most to see, as a PNG."""
        rows, cols = self.overview.place(1)[0]
        whole = Panel(f"SR, {self.views.title}", self.overview.picture, self.overview.frame(rows, cols))
        lr, bicubic, sr = _details(self.views, self.stretch, rows, cols)
        before = Panel("LR, nearest", lr.picture) if self.views.is_volume else bicubic
        return compose([[whole, before, sr]])

    def pair(self, rows: slice, cols: slice) -> tuple[RGB, RGB]:
        """LR (bicubic; of a volume nearest) and SR at an LR window, one picture pixel a pixel of SR."""
        (_, as_it_is), (_, bicubic), (_, after) = _shown(self.views, self.stretch, rows, cols)
        return as_it_is if self.views.is_volume else bicubic, after


def look(
    lr_reader: Reader,
    valid: ArrayLike,
    sr: ArrayLike,
    names: Sequence[str],
    colours: Sequence[str],
    stretch: Stretch | None = None,
    averaged: ArrayLike | None = None,
) -> Look:
    """Survey a scene; the arguments are those of `quicklook`. `stretch`: its light; None: by percentiles of the LR.
    `averaged`: as of `Views`."""
    views = _held(Views(lr_reader, valid, sr, display_bands(names, colours), averaged))
    stretch = stretch or _stretch(views)
    return Look(views, stretch, survey(views, stretch))


def _held(views: Views) -> Views:
    """The same of a small scene, read once; a large one is read where it is looked at."""
    if prod(views.sr.shape) > HELD:
        return views
    lr = views.read_lr(tuple(slice(0, size) for size in views.valid.shape[1:]))
    valid, sr = (np.asarray(array[...]) for array in (views.valid, views.sr))
    return Views(lambda window: lr[(slice(None), *window)], valid, sr, views.bands)


def readme_picture(
    lr_reader: Reader,
    valid: ArrayLike,
    sr: ArrayLike,
    hr: ArrayLike,
    names: Sequence[str],
    colours: Sequence[str],
) -> bytes:
    """A PNG of LR | bicubic | SR | true HR at the two places with most detail, for a scene whose HR is known.

    `hr` has the shape of `sr`; the rest is as in `quicklook`.
    """
    views = Views(lr_reader, valid, sr, display_bands(names, colours))
    stretch = _stretch(views)
    windows = survey(views, stretch).place(2)
    return compose([_details(views, stretch, rows, cols, hr) for rows, cols in windows])


def _stretch(views: Views) -> Stretch:
    """From LR at places spread evenly; from all of LR when it is small."""
    parts = [views.lr(rows, cols) for rows in _probes(views.shape[0]) for cols in _probes(views.shape[1])]
    values = np.concatenate([part.reshape(len(part), -1) for part, _ in parts], axis=1)
    return Stretch.of(values, np.concatenate([seen.reshape(len(seen), -1) for _, seen in parts], axis=1))


def _probes(size: int) -> Iterator[slice]:
    if size <= PROBES * PROBE_PX:
        yield slice(0, size)
        return
    for start in np.linspace(0, size - PROBE_PX, PROBES).astype(int):
        yield slice(int(start), int(start) + PROBE_PX)


@dataclass(frozen=True)
class Overview:
    """The product in cells of `step` LR pixels."""

    step: int
    shape: tuple[int, int]
    """LR rows and columns of the scene."""
    scale: tuple[int, int]
    picture: NDArray[np.uint8]
    detail: NDArray[np.float32]
    """(Y, X): contrast between neighbouring SR pixels, a sum over the cell's valid pixels."""
    valid: NDArray[np.float32]
    """(Y, X): valid share of the cell."""

    def place(self, count: int, side_hr: int = PANEL // ZOOM) -> list[tuple[slice, slice]]:
        """LR windows of up to `count` details that do not overlap, `side_hr` SR pixels wide where the scene is.

        All valid where possible, then the most contrast.
        """
        sides = [min(n, max(1, side_hr // s)) for n, s in zip(self.shape, self.scale, strict=True)]
        cells = [max(1, round(side / self.step)) for side in sides]
        score = ndimage.uniform_filter(self.detail, cells, mode="constant")
        whole = ndimage.uniform_filter(self.valid, cells, mode="constant") > 0.999
        score = np.where(whole, score + 10, score)
        found: list[tuple[slice, slice]] = []
        while len(found) < count and (not found or score.max() >= 0):
            row, col = np.unravel_index(int(np.argmax(score)), score.shape)
            found.append((self._window(int(row), 0, sides[0]), self._window(int(col), 1, sides[1])))
            score[max(0, row - cells[0]) : row + cells[0] + 1, max(0, col - cells[1]) : col + cells[1] + 1] = -1
        return found

    def _window(self, cell: int, axis: int, side: int) -> slice:
        start = int((cell + 0.5) * self.step - side / 2)
        start = min(max(start, 0), self.shape[axis] - side)
        return slice(start, start + side)

    def frame(self, rows: slice, cols: slice) -> tuple[int, int, int, int]:
        """Where an LR window lies in the picture."""
        down, along = self.picture.shape[0] / self.shape[0], self.picture.shape[1] / self.shape[1]
        top, bottom = int(rows.start * down), int(np.ceil(rows.stop * down)) - 1
        return int(cols.start * along), top, int(np.ceil(cols.stop * along)) - 1, bottom


def survey(views: Views, stretch: Stretch) -> Overview:
    """Read the product once, by blocks, into cells: mean, contrast and validity."""
    step = max(1, max(views.shape) // PANEL)
    cells = tuple(-(-n // step) for n in views.shape)
    mean = np.zeros((len(views.bands), *cells), np.float32)
    detail, share = np.zeros(cells, np.float32), np.zeros((len(views.bands), *cells), np.float32)
    side = step * max(1, BLOCK // (step * max(views.scale)))
    for top in range(0, views.shape[0], side):
        for left in range(0, views.shape[1], side):
            rows = slice(top, min(top + side, views.shape[0]))
            cols = slice(left, min(left + side, views.shape[1]))
            seen = views.valid_at(rows, cols)
            light = stretch.apply(views.means_at(rows, cols)) * seen
            at = (slice(top // step, -(-rows.stop // step)), slice(left // step, -(-cols.stop // step)))
            mean[:, *at], share[:, *at] = _by_cell(light, step), _by_cell(seen, step)
            detail[at] = _by_cell(_contrast(light, seen)[None], step)[0]
    light = np.divide(mean, share, out=np.zeros_like(mean), where=share > 0)
    picture = fit(Stretch(np.zeros(len(light)), np.ones(len(light))).paint(light, share > 0), PANEL, ENLARGED)
    return Overview(step, views.shape, views.scale, picture, detail, share.mean(axis=0))


def _averaged(values: NDArray[Any], scale: tuple[int, int]) -> NDArray[np.float32]:
    """SR values (bands, y * scale, x * scale) as means over LR pixels (bands, y, x)."""
    out = np.zeros((len(values), values.shape[1] // scale[0], values.shape[2] // scale[1]), np.float32)
    with np.errstate(over="ignore"):  # numbers for 'nothing here' may be as large as a float can be
        for down in range(scale[0]):
            for along in range(scale[1]):
                out += values[:, down :: scale[0], along :: scale[1]]
    return np.asarray(out / (scale[0] * scale[1]), np.float32)


def _by_cell(values: NDArray[Any], step: int) -> NDArray[np.float32]:
    """Sum of `values` (n, y, x) over cells of `step`, divided by a whole cell's pixels; the last ones may be cut."""
    rows, cols = np.arange(0, values.shape[1], step), np.arange(0, values.shape[2], step)
    sums = np.add.reduceat(np.add.reduceat(values.astype(np.float32), rows, axis=1), cols, axis=2)
    return np.asarray(sums / step**2, np.float32)


def _contrast(light: NDArray[np.float32], seen: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Squared differences (y, x) to the next valid pixel below and to the right, averaged over bands."""
    out = np.zeros_like(light)
    out[:, :-1] += np.diff(light, axis=1) ** 2 * (seen[:, :-1] & seen[:, 1:])
    out[:, :, :-1] += np.diff(light, axis=2) ** 2 * (seen[:, :, :-1] & seen[:, :, 1:])
    return np.asarray(out.mean(axis=0), np.float32)


def _length(window: slice) -> int:
    return int(window.stop - window.start)


def _scaled(window: slice, scale: int) -> slice:
    return slice(window.start * scale, window.stop * scale)


def _details(views: Views, stretch: Stretch, rows: slice, cols: slice, hr: ArrayLike | None = None) -> list[Panel]:
    """What `_shown` gives, enlarged to about the size of a panel."""
    pictures = _shown(views, stretch, rows, cols, hr)
    zoom = min(8, max(ZOOM, ENLARGED // max(pictures[0][1].shape[:2])))
    return [Panel(label, one.repeat(zoom, axis=0).repeat(zoom, axis=1)) for label, one in pictures]


def _shown(
    views: Views, stretch: Stretch, rows: slice, cols: slice, hr: ArrayLike | None = None
) -> list[tuple[str, RGB]]:
    """LR as it is, LR by bicubic, SR, and the true HR where it is known, at the same place."""
    above, left = min(MARGIN, rows.start), min(MARGIN, cols.start)
    values, seen = views.lr(_grown(rows, views.shape[0]), _grown(cols, views.shape[1]))
    inside = (slice(above, above + rows.stop - rows.start), slice(left, left + cols.stop - cols.start))
    inside_hr = [_scaled(one, scale) for one, scale in zip(inside, views.scale, strict=True)]
    shown = [
        ("LR", values[:, *inside].repeat(views.scale[0], axis=1).repeat(views.scale[1], axis=2)),
        ("LR, bicubic", enlarge(values, seen, views.scale)[:, *inside_hr]),
        ("SR", views.sr_at(rows, cols)),
        *([] if hr is None else [("true HR", views.sr_at(rows, cols, hr))]),
    ]
    valid = nearest(seen[:, *inside], views.scale)
    return [(label, stretch.paint(one, valid)) for label, one in shown]


def _grown(window: slice, size: int) -> slice:
    return slice(max(0, window.start - MARGIN), min(size, window.stop + MARGIN))
