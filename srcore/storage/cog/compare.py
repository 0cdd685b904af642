"""What a fresh open of a product by GDAL gives, against what its header and its tiles say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.errors import StoreError
from srcore.storage.cog.levels import TiledLevel
from srcore.storage.cog.product import Product, Rect, block_rect
from srcore.storage.cog.profile import (
    band_tags,
    colour_table,
    colours,
    control_points,
    dataset_tags,
    domains,
    nodata_tag,
    product_bands,
    same_number,
)
from srcore.storage.cog.statistics import Statistics
from srcore.storage.raster.gdal import gdal_env

Finding = tuple[str, object, object]
"""(what, found, expected)"""


def check_opened(path: Path, product: Product, statistics: Sequence[Statistics], levels: Sequence[TiledLevel]) -> None:
    """Raise StoreError unless a fresh open says all that the header says, and gives the first and the last block of
    each level as they were decoded."""
    for number, level in enumerate(levels):
        options = {"OVERVIEW_LEVEL": number - 1} if number else {}
        with gdal_env(), rasterio.open(path, driver="GTiff", **options) as opened:
            if not number:
                _refuse(path, _layout(opened, product))
                _refuse(path, _words(opened, product, statistics))
            last = ((n - 1) // product.block for n in level.shape)
            for row, col in ((0, 0), tuple(last)):
                _check_block(path, opened, level, block_rect(level.shape, product.block, row, col), product)


def _check_block(path: Path, opened: DatasetReader, level: TiledLevel, rect: Rect, product: Product) -> None:
    window = GdalWindow.from_slices(rect.rows, rect.cols)
    for band in range(product.count):
        same_pixels(path, opened.read(band + 1, window=window), level.band(band, rect), rect)
    if product.is_masked:
        same_pixels(path, opened.read_masks(1, window=window) > 0, level.mask(rect), rect)


def same_pixels(path: Path, found: NDArray[Any], expected: NDArray[Any], rect: Rect) -> None:
    """Raise StoreError unless equal bit by bit: -0.0 is not 0.0, and a NaN is equal to itself."""
    if found.dtype == expected.dtype and found.tobytes() == expected.tobytes():
        return
    rows, cols = rect.rows, rect.cols
    raise different(path, "pixels differ", f"rows {rows.start} to {rows.stop}, columns {cols.start} to {cols.stop}")


def different(path: Path, what: str, found: str) -> StoreError:
    """The error for a product in which something is not what was written."""
    do = "it is not published; look for a full or failing disk, and run again"
    return StoreError(f"{path.name} is not what was written: {what}", found, do, code="VERIFY_FAILED")


def _refuse(path: Path, findings: Iterator[Finding]) -> None:
    """Raise StoreError at the first finding that is not what is expected."""
    for what, found, expected in findings:
        if found != expected:
            raise different(path, f"{what} differs", f"{found!r} for {expected!r}")


def _layout(opened: DatasetReader, product: Product) -> Iterator[Finding]:
    """Shape, dtype, nodata, overviews, tiles and place in the world."""
    header, grid, nodata = product.header, product.grid, nodata_tag(product.header)
    yield "the shape", (opened.count, *opened.shape), (product.count, *grid.shape)
    yield "the dtype", set(opened.dtypes), {header.dtype}
    yield "the tile size", set(opened.block_shapes), {(product.block, product.block)}
    yield "the number of overviews", len(opened.overviews(1)), len(product.shapes) - 1
    if not same_number(opened.nodata, nodata):
        yield "nodata", opened.nodata, nodata
    points, points_crs = opened.gcps
    if header.lies_by_points:
        found = [(p.row, p.col, p.x, p.y, p.z or 0.0, p.id) for p in points]
        yield "the control points", found, [(p.row, p.col, p.x, p.y, p.z, p.id) for p in control_points(product)]
        yield "the CRS", points_crs, _crs(header.gcps_crs)
        return
    yield "the CRS", opened.crs, _crs(grid.crs)
    found_affine = tuple(opened.transform)[:6]
    if not np.allclose(found_affine, grid.gdal_affine, rtol=1e-14, atol=0):
        yield "the affine", found_affine, grid.gdal_affine


def _crs(wkt: str | None) -> CRS | None:
    return None if wkt is None else CRS.from_user_input(wkt)


def _words(opened: DatasetReader, product: Product, statistics: Sequence[Statistics]) -> Iterator[Finding]:
    """Names, scale, offset, unit, colours and tags."""
    header, bands = product.header, product_bands(product.header)
    yield "a band's name", opened.descriptions, tuple(band.name or None for band in bands)
    yield "a band's scale", opened.scales, tuple(band.scale for band in bands)
    yield "a band's offset", opened.offsets, tuple(band.offset for band in bands)
    yield "a band's unit", opened.units, tuple(band.unit or None for band in bands)
    for found, expected in zip(opened.colorinterp, colours(header), strict=True):
        if expected != ColorInterp.undefined:
            yield "a band's colour", found, expected
    if header.bands[0].palette:
        found = {number: colour[:3] for number, colour in opened.colormap(1).items()}
        lost = [number for number, colour in colour_table(header).items() if found.get(number) != colour]
        yield "the table of colours", lost, []
    yield "what is white", "MINISWHITE" in opened.tags(ns="IMAGE_STRUCTURE"), header.white_is_zero
    yield "a tag", {"AREA_OR_POINT": "Area", **opened.tags()}, dataset_tags(header)
    for index, tags in enumerate(band_tags(header, statistics), 1):
        yield f"a tag of band {index}", opened.tags(index), tags
    for index, found in enumerate(domains(header)):
        for domain, tags in found.items():
            yield f"a tag of {domain}", opened.tags(index, ns=domain), tags
