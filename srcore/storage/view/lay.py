"""A part of a scene, laid onto a tile: bicubic, classes nearest, and what is valid nearest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import Resampling
from rasterio.transform import Affine
from rasterio.warp import reproject

from srcore.radiometry import fill_invalid
from srcore.storage.view.frame import TILE_PX, WEB, Box, Frame, Place

MARGIN_PX = 3
"""Around a tile, for the bicubic."""
Drawn = tuple[NDArray[np.generic], NDArray[np.bool_]]
"""Values and validity, each (bands, y, x)."""


@dataclass(frozen=True)
class Part:
    """A window of a scene, perhaps made smaller."""

    values: NDArray[np.generic]
    """(bands, y, x)"""
    valid: NDArray[np.bool_]
    start: tuple[float, float]
    """Row and column of its first corner, in pixels of the product."""
    step: tuple[float, float]
    """Rows and columns of the product along one of its pixels."""


def window_of(box: Box, shape: Sequence[int], margin: int = MARGIN_PX) -> tuple[slice, slice] | None:
    """The pixels of a scene in and around a box; None where the box lies beside it."""
    left, top, right, bottom = box
    if bottom <= 0 or right <= 0 or top >= shape[0] or left >= shape[1]:
        return None
    rows = slice(max(0, math.floor(top) - margin), min(shape[0], math.ceil(bottom) + margin))
    return rows, slice(max(0, math.floor(left) - margin), min(shape[1], math.ceil(right) + margin))


def lay(part: Part, frame: Frame, place: Place, classes: Sequence[bool]) -> Drawn:
    """A tile of the bands of a part; `classes`: of which bands no number lies between two others."""
    here = frame.affine @ Affine.translation(*reversed(part.start)) @ Affine.scale(*reversed(part.step))
    grids = {"src_transform": here, "src_crs": frame.crs, "dst_transform": frame.plane(place), "dst_crs": WEB}
    values = np.asarray(fill_invalid(part.values, part.valid), np.float32)
    out, seen = (np.zeros((len(values), TILE_PX, TILE_PX), dtype) for dtype in (np.float32, np.uint8))
    for band, (numbers, valid) in enumerate(zip(values, part.valid, strict=True)):
        how = Resampling.nearest if classes[band] else Resampling.cubic
        reproject(numbers, out[band], resampling=how, **grids)
        # 2 and 1: reproject takes 0 for what nobody wrote
        reproject(valid.astype(np.uint8) + 1, seen[band], resampling=Resampling.nearest, **grids)
    return out, seen == 2
