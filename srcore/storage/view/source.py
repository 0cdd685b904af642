"""Tiles of the LR, by window from the very files that a product was made of, laid where the product's lie."""

from __future__ import annotations

import math
from collections.abc import Sequence

from srcore.storage.header import Header
from srcore.storage.raster.mosaic import only
from srcore.storage.raster.reader import open_raster_scene
from srcore.storage.view.frame import TILE_PX, Frame, Place
from srcore.storage.view.lay import MARGIN_PX, Drawn, Part, lay, window_of

MAX_SIDE_PX = 1024
"""LR pixels along a side of a tile: an LR has no overviews, and a screen would not show its pixels beyond that."""
MAX_DECODED_PX = 2**24
"""Pixels of a band that GDAL may decode for a tile: a file in long strips is read whole rows at a time."""


def first_level(frame: Frame, header: Header) -> int:
    """The first level whose tiles can be made of the LR: 0 where it is small."""
    if max(header.grid.shape) <= MAX_SIDE_PX:
        return 0
    finer = math.log2(max(_step(frame, header)))
    return max(0, math.ceil(frame.level - finer - math.log2(MAX_SIDE_PX / TILE_PX) + 0.5))


def source_tile(header: Header, frame: Frame, place: Place, bands: Sequence[int]) -> Drawn | None:
    """A tile of some bands of the LR that `header` describes, in the frame of its product.

    None where it lies beside the scene, or would take more than the bounds of this module. SourceError where the files
    are others now, or damaged.
    """
    box, (down, along) = frame.around(place), _step(frame, header)
    if box is None:
        return None
    window = window_of((box[0] / along, box[1] / down, box[2] / along, box[3] / down), header.grid.shape)
    if window is None or max(one.stop - one.start for one in window) > MAX_SIDE_PX + 2 * MARGIN_PX:
        return None
    shown = only(header, bands)
    start = header.part.start if header.part else (0, 0)
    there = tuple(slice(one.start + s, one.stop + s) for one, s in zip(window, start, strict=True))
    with open_raster_scene(shown.whole) as reader:
        if reader.decoded_px(there) > MAX_DECODED_PX:
            return None
        values, valid = reader.read(there)
        part = Part(values, valid, (window[0].start * down, window[1].start * along), (down, along))
        return lay(part, frame, place, [band.is_copied for band in shown.bands])


def _step(frame: Frame, header: Header) -> tuple[float, float]:
    """Rows and columns of the product along a pixel of the LR."""
    rows, columns = header.grid.shape
    return frame.shape[0] / rows, frame.shape[1] / columns
