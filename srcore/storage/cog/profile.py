"""What a raster product says of itself besides its pixels: derived from the header, used to write and to verify."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.transform import Affine

from srcore.storage.band import Band
from srcore.storage.cog.product import Product
from srcore.storage.cog.statistics import Statistics
from srcore.storage.header import Header


def georeference(product: Product) -> dict[str, Any]:
    """Where the product lies, as rasterio's keywords: control points and their CRS, or an affine and a CRS."""
    if product.header.lies_by_points:
        return {"gcps": control_points(product), "crs": product.header.gcps_crs or CRS()}
    return {"crs": product.grid.crs, "transform": Affine(*product.grid.gdal_affine)}


def control_points(product: Product) -> list[GroundControlPoint]:
    """The control points at their places on the SR grid."""
    down, right = product.scale
    points = product.header.gcps
    return [GroundControlPoint(p.row * down, p.col * right, p.x, p.y, p.z, p.id) for p in points]


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


def colour_table(header: Header) -> dict[int, tuple[int, int, int]]:
    """Red, green and blue of every number of the product's one band, where it has a palette: TIFF knows no opacity."""
    return {number: colour[:3] for number, colour in enumerate(header.bands[0].palette)}


def dataset_tags(header: Header) -> dict[str, str]:
    """Tags of the whole product."""
    return {**header.tags, "AREA_OR_POINT": header.area_or_point}


def band_tags(header: Header, statistics: Sequence[Statistics]) -> list[dict[str, str]]:
    """Tags of every band of the product; `statistics` of the data bands."""
    numbers = [s.tags() for s in statistics] + [{}] * (header.alpha is not None)
    return [{**band.tags, **found} for band, found in zip(product_bands(header), numbers, strict=True)]


def domains(header: Header) -> list[dict[str, dict[str, str]]]:
    """Tags in domains of their own: of the whole product, then of each band."""
    return [header.domains, *(band.domains for band in product_bands(header))]


def same_number(found: float | None, expected: float | None) -> bool:
    """Equal, both None or both NaN."""
    if found is None or expected is None:
        return found is expected
    return bool(np.array_equal(found, expected, equal_nan=True))
