"""What a raster file of any origin says of its own form: layout, and whether its overviews show what it shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.errors import SourceError, StoreError
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.stac.document import validate_item

WINDOW_PX = 128
"""Overview pixels along a window that is compared."""
WINDOWS = 2
"""Windows of each level, at most."""


@dataclass(frozen=True)
class Layout:
    """What a file says of its own form, as GDAL reads it."""

    is_cog: bool
    """It declares the layout of a cloud-optimised GeoTIFF."""
    overviews: tuple[int, ...]
    """Pixels of the file on each side of a pixel of each overview."""


def layout_of(path: Path) -> Layout:
    """The layout of the raster at `path`."""
    with gdal_env(), open_raster(path) as product:
        declared = bool(product.tags(ns="IMAGE_STRUCTURE").get("LAYOUT") == "COG")
        return Layout(declared, tuple(product.overviews(1)))


def overview_difference(path: Path, overviews: Sequence[int]) -> float | None:
    """How far the overviews are from the averages of the level beneath, in the worst band of the worst level.

    1 - correlation, plus the difference of the means in standard deviations: 0 for equal, about 0.2 for an overview
    by nearest neighbour, 1 for another picture. A few windows of each level. None without overviews.
    StoreError when a block cannot be read.
    """
    worst: float | None = None
    try:
        with gdal_env():
            for level, (finer, coarser) in enumerate(pairwise([1, *overviews])):
                above = level - 1 if level else None
                with open_raster(path, overview=above) as a, open_raster(path, overview=level) as b:
                    worst = max(worst or 0.0, _level(a, b, round(coarser / finer)))
    except (*GDAL_ERRORS, SourceError) as error:
        raise StoreError(
            f"{path.name} has an overview that cannot be read", gdal_message(error), "write it again", code="DAMAGED"
        ) from error
    return worst


def _level(finer: DatasetReader, coarser: DatasetReader, factor: int) -> float:
    sums = np.zeros((finer.count, 6))
    """n, a, b, aa, bb, ab"""
    for row, col in _places(coarser.shape):
        height, width = min(WINDOW_PX, coarser.height - row), min(WINDOW_PX, coarser.width - col)
        height, width = min(height, finer.height // factor - row), min(width, finer.width // factor - col)
        if height < 1 or width < 1:
            continue
        window = GdalWindow(col * factor, row * factor, width * factor, height * factor)
        values = finer.read(window=window, masked=True).astype(np.float64)
        shape = (finer.count, height, factor, width, factor)
        whole = ~np.ma.getmaskarray(values).reshape(shape).any(axis=(2, 4))
        average = np.ma.getdata(values).reshape(shape).mean(axis=(2, 4))
        shown = coarser.read(window=GdalWindow(col, row, width, height), masked=True)
        seen = whole & ~np.ma.getmaskarray(shown) & np.isfinite(average)
        sums += _moments(average, np.ma.getdata(shown).astype(np.float64), seen)
    return max(_apart(row) for row in sums)


def _places(shape: tuple[int, int]) -> list[tuple[int, int]]:
    rows, cols = ([0, n - WINDOW_PX] if n > 2 * WINDOW_PX else [0] for n in shape)
    return [(row, col) for row in rows for col in cols][:: 3 if len(rows) * len(cols) > WINDOWS else 1]


def _moments(a: NDArray[Any], b: NDArray[Any], seen: NDArray[np.bool_]) -> NDArray[np.float64]:
    a, b = np.where(seen, a, 0), np.where(seen, b, 0)
    return np.stack([term.sum(axis=(1, 2)) for term in (seen, a, b, a * a, b * b, a * b)], axis=1).astype(np.float64)


def _apart(moments: NDArray[np.float64]) -> float:
    n, a, b, aa, bb, ab = moments / max(moments[0], 1)
    if not n:
        return 0.0
    deviation = np.sqrt(max(aa - a * a, 0.0)), np.sqrt(max(bb - b * b, 0.0))
    if min(deviation) < 1:  # next to flat: there is no pattern to be alike
        return float(abs(a - b) > 1 + 0.01 * abs(a))
    return float(1 - (ab - a * b) / (deviation[0] * deviation[1]) + abs(a - b) / deviation[0])


def stac_error(path: Path) -> str:
    """What is wrong with the STAC item at `path`; empty when nothing is."""
    try:
        validate_item(json.loads(path.read_bytes()))
    except (StoreError, OSError, ValueError) as error:
        return str(error)
    return ""
