"""What a raster product says of itself besides its pixels: derived from the header, used to write and to verify."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from srcore.grid import Grid
from srcore.storage.cog.pixels import ProductPixels
from srcore.storage.cog.statistics import Statistics
from srcore.storage.header import Band, Header
from srcore.storage.raster.gdal import CACHE_BYTES, gdal_env


@contextmanager
def product_env(pixels: ProductPixels) -> Iterator[None]:
    """GDAL's settings to write and to verify a product: those of `gdal_env`, masks inside, a cache that is enough.

    One thread: with more, a write that fails because the disk is full is never reported. The cache holds at least
    three tiles with all their bands; with less, GDAL would write a tile once for each band.
    """
    cache_bytes = max(CACHE_BYTES, 3 * pixels.tile_bytes)
    with gdal_env(), rasterio.Env(GDAL_CACHEMAX=cache_bytes, GDAL_NUM_THREADS="1", GDAL_TIFF_INTERNAL_MASK="YES"):
        yield


def georeference(pixels: ProductPixels) -> dict[str, Any]:
    """Where the product lies, as rasterio's keywords: control points and their CRS, or an affine and a CRS."""
    if has_gcps(pixels.header):
        return {"gcps": control_points(pixels), "crs": pixels.header.gcps_crs}
    return {"crs": pixels.grid.crs, "transform": transform_of(pixels.grid)}


def has_gcps(header: Header) -> bool:
    """Whether the scene lies in the world by control points alone; GTiff holds them or an affine, not both."""
    return bool(header.gcps) and transform_of(header.grid).is_identity


def control_points(pixels: ProductPixels) -> list[GroundControlPoint]:
    """The control points at their places on the SR grid."""
    down, right = pixels.scale
    points = pixels.header.gcps
    return [GroundControlPoint(p.row * down, p.col * right, p.x, p.y, p.z, p.id) for p in points]


def transform_of(grid: Grid) -> Affine:
    """GDAL's affine (x of column, x of row, x of the corner; y the same) of a grid, whose columns are (row, column)."""
    (x_row, x_col, x), (y_row, y_col, y) = grid.affine
    return Affine(x_col, x_row, x, y_col, y_row, y)


def nodata_tag(header: Header) -> float | None:
    """The number that GDAL's nodata tag must hold: GTiff has one for all bands, and so has a header."""
    if header.nodata == "nan":
        return float("nan")
    return header.bands[0].nodata if header.nodata == "tag" else None


def product_bands(header: Header) -> tuple[Band, ...]:
    """The bands of the product in order: data, then alpha."""
    return header.bands if header.alpha is None else (*header.bands, header.alpha)


def colours(header: Header) -> tuple[ColorInterp, ...]:
    """GDAL's colour interpretation of every band of the product, 'undefined' for a name that it does not know.

    Grey is the colour of an image of one band: files of one band each say it, and a TIFF of several cannot keep it.
    """
    several = len(header.bands) > 1
    known = {name: one for name, one in ColorInterp.__members__.items() if not (several and name == "gray")}
    data = tuple(known.get(band.colour, ColorInterp.undefined) for band in header.bands)
    return data if header.alpha is None else (*data, ColorInterp.alpha)


def dataset_tags(header: Header) -> dict[str, str]:
    """Tags of the whole product."""
    return {**header.tags, "AREA_OR_POINT": header.area_or_point}


def band_tags(header: Header, statistics: Sequence[Statistics]) -> list[dict[str, str]]:
    """Tags of every band of the product; `statistics` of the data bands."""
    numbers = [s.tags() for s in statistics] + [{}] * (header.alpha is not None)
    return [{**band.tags, **found} for band, found in zip(product_bands(header), numbers, strict=True)]


def same_number(found: float | None, expected: float | None) -> bool:
    """Equal, both None or both NaN."""
    if found is None or expected is None:
        return found is expected
    return bool(np.array_equal(found, expected, equal_nan=True))
