"""A window of a raster scene, as a user asks for it: in LR pixels, or as a box in the world.

    scene 0 .......................... W px        asked for: X = -40, W = 100
    asked |<----- -40 ... 60 ----->|               inside:    0 to 60, and a flag says so
          kept    |<-- 0 ... 60 -->|               widened to the generator's own grid, where it has one

The header of the window is that of the scene, with another grid; its pixels are those of the same files.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil, floor

import numpy as np

from srcore.errors import GridError, PlanError
from srcore.storage.header import Header

EDGE_POINTS = 21
"""Along each side of a box: a straight line of one projection is curved in another."""
WHOLE_PX = 1e-6
"""A box that ends so near to a pixel's edge ends there: numbers of metres and degrees are rounded."""


@dataclass(frozen=True)
class WindowWish:
    """Which part of a scene: one of the two forms."""

    pixels: tuple[int, int, int, int] | None = None
    """First column, first row, columns and rows, in LR pixels."""
    box: tuple[float, float, float, float] | None = None
    """West, south, east, north."""
    crs: str | None = None
    """Of the box; None: the scene's own."""

    def __str__(self) -> str:
        numbers = self.pixels or self.box or ()
        name = "window" if self.pixels else "bbox"
        return f"{name} {','.join(f'{number:.12g}' for number in numbers)}{f' of {self.crs}' if self.crs else ''}"


def windowed(header: Header, wish: WindowWish, multiple: int = 1) -> Header:
    """The header of the part of a raster that is asked for, clipped to it, widened to multiples of so many pixels.

    GridError BAD_WINDOW where no pixel of the scene lies in it, or nothing says where the scene lies; PlanError
    NOT_SUPPORTED for a volume.
    """
    if header.kind == "volume":
        do = "leave it out: a volume is done whole"
        raise PlanError("a window is of a raster", "a volume, which has slices too", do, code="NOT_SUPPORTED")
    rows, cols = _spans(header, wish)
    height, width = header.grid.shape
    inside = [slice(max(span.start, 0), min(span.stop, n)) for span, n in ((rows, height), (cols, width))]
    if any(span.start >= span.stop for span in inside):
        found = f"columns {cols.start} to {cols.stop}, rows {rows.start} to {rows.stop} of {width} x {height} px"
        raise GridError(f"the {wish} lies outside the scene", found, "give a part of the scene", code="BAD_WINDOW")
    kept = [
        slice(span.start // multiple * multiple, min(ceil(span.stop / multiple) * multiple, n))
        for span, n in zip(inside, header.grid.shape, strict=True)
    ]
    start, shape = (kept[0].start, kept[1].start), (kept[0].stop - kept[0].start, kept[1].stop - kept[1].start)
    told = [f"a window of the scene: columns {_told(kept[1])}, rows {_told(kept[0])} of {width} x {height} px"]
    if inside != [rows, cols]:
        told.append(f"the {wish} reaches beyond the scene: clipped")
    if kept != inside:
        told.append(f"the window is widened to multiples of {multiple} px: the model works on such a grid")
    return replace(header.window(start, shape), flags=(*header.flags, *told))


def _told(span: slice) -> str:
    return f"{span.start} to {span.stop}"


def _spans(header: Header, wish: WindowWish) -> tuple[slice, slice]:
    """Rows and columns that are asked for, whether they are there or not."""
    if wish.pixels is not None:
        x, y, width, height = wish.pixels
        return slice(y, y + height), slice(x, x + width)
    if wish.box is None:
        raise PlanError("a window needs pixels or a box", "neither", "give one", code="BAD_SETTING")
    index = _index_of(header, _in_scene(header, wish.box, wish.crs))
    first, last = index.min(axis=0), index.max(axis=0)
    rows, cols = (slice(floor(a + WHOLE_PX), ceil(b - WHOLE_PX)) for a, b in zip(first, last, strict=True))
    # a box within one pixel, or a line, is the pixel that it lies in
    return slice(rows.start, max(rows.stop, rows.start + 1)), slice(cols.start, max(cols.stop, cols.start + 1))


def _index_of(header: Header, points: np.ndarray) -> np.ndarray:
    """Array indices (n, 2) of world points (n, 2)."""
    matrix = header.grid.matrix
    return np.asarray(np.linalg.solve(matrix[:, :2], (points - matrix[:, 2]).T).T)


def _in_scene(header: Header, box: Sequence[float], crs: str | None) -> np.ndarray:
    """Points (n, 2) around a box, in the scene's own coordinates."""
    do = "give --window in pixels"
    if header.lies_by_points:
        raise GridError("a box needs a scene that lies on a grid", "control points alone", do, code="BAD_WINDOW")
    if "no georeference" in header.flags:
        raise GridError("a box needs a scene that lies somewhere", "no georeference", do, code="BAD_WINDOW")
    west, south, east, north = box
    across, up = np.linspace(west, east, EDGE_POINTS), np.linspace(south, north, EDGE_POINTS)
    x = np.concatenate([across, np.full_like(up, east), across[::-1], np.full_like(up, west)])
    y = np.concatenate([np.full_like(across, south), up, np.full_like(across, north), up[::-1]])
    return np.column_stack([x, y]) if crs is None else _moved(header, x, y, crs)


def _moved(header: Header, x: np.ndarray, y: np.ndarray, crs: str) -> np.ndarray:
    """Points of another CRS in the scene's own."""
    from pyproj import CRS, Transformer
    from pyproj.exceptions import CRSError, ProjError

    if header.grid.crs is None:
        do = "leave --crs out, and give the box in the scene's own numbers"
        raise GridError("a box in another CRS needs a scene that has one", "no CRS", do, code="BAD_WINDOW")
    try:
        there = CRS.from_user_input(header.grid.crs)
        moved = Transformer.from_crs(CRS.from_user_input(crs), there, always_xy=True).transform(x, y, errcheck=True)
    except (CRSError, ProjError) as error:
        what = f"the box cannot be brought from {crs} into the scene's CRS"
        do = "give a known CRS, as EPSG:4326, and a box near the scene"
        raise GridError(what, " ".join(str(error).split())[:160], do, code="BAD_WINDOW") from error
    return np.column_stack(moved)
