"""Whether a raster product is what was upscaled: read back from the disk and compared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack
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
from srcore.progress import Progress
from srcore.storage.cog.explain import Directory
from srcore.storage.cog.pixels import ProductPixels, Window, tiles
from srcore.storage.cog.profile import (
    band_tags,
    colours,
    control_points,
    dataset_tags,
    has_gcps,
    nodata_tag,
    product_bands,
    same_number,
    transform_of,
)
from srcore.storage.cog.pyramid import OpenLevel, level_shapes, overview
from srcore.storage.cog.statistics import Statistics

Finding = tuple[str, object, object]
"""(what, found, expected)"""


def check_pixels(path: Path, pixels: ProductPixels, progress: Progress | None) -> list[Statistics]:
    """Read all of the product and raise StoreError at the first thing that differs; gives the bands' statistics.

    `progress` gets (full-resolution windows done, in all); the overviews are a third more.
    """
    with ExitStack() as stack:
        product = stack.enter_context(rasterio.open(path, driver="GTiff"))
        check_layout(path, product, pixels, pixels.block)
        statistics = _check_full(path, product, pixels, progress)
        check_words(path, product, pixels, statistics)
        finer = product
        for level, shape in enumerate(level_shapes(pixels.grid.shape)):
            coarser = stack.enter_context(rasterio.open(path, driver="GTiff", OVERVIEW_LEVEL=level))
            refuse(path, iter([("the shape of an overview", coarser.shape, shape)]))
            _check_overview(path, finer, coarser, pixels)
            finer = coarser
    return statistics


def check_directories(path: Path, found: list[Directory], model: list[Directory], pixels: ProductPixels) -> None:
    """Raise StoreError unless the images of a product are as those of its tiny `model`, but for sizes and places."""
    models = {directory.kind: directory for directory in model}
    shapes = [pixels.grid.shape, *level_shapes(pixels.grid.shape)]
    masks = 2 if pixels.header.nodata == "mask" else 1
    expected_shapes = sorted(shape for shape in shapes for _ in range(masks))
    refuse(path, iter([("the set of images", sorted(d.shape() for d in found), expected_shapes)]))
    for directory in found:
        if directory.kind not in models:
            raise different(path, "an image is of another kind", f"{directory.kind}")
        stored, expected = directory.lasting(), models[directory.kind].lasting()
        refuse(path, ((f"tag {tag}", stored.get(tag), expected.get(tag)) for tag in stored.keys() | expected.keys()))


def different(path: Path, what: str, found: str) -> StoreError:
    """The error for a product in which something is not what was written."""
    do = "it is not published; look for a full or failing disk, and run again"
    return StoreError(f"{path.name} is not what was written: {what}", found, do, code="VERIFY_FAILED")


def refuse(path: Path, findings: Iterator[Finding]) -> None:
    """Raise StoreError at the first finding that is not what is expected."""
    for what, found, expected in findings:
        if found != expected:
            raise different(path, f"{what} differs", f"{found!r} for {expected!r}")


def check_layout(path: Path, product: DatasetReader, pixels: ProductPixels, block: int) -> None:
    """Raise StoreError unless shape, dtype, nodata, overviews, tiles and place in the world are right."""
    refuse(path, _layout(product, pixels, block))


def check_words(path: Path, product: DatasetReader, pixels: ProductPixels, statistics: Sequence[Statistics]) -> None:
    """Raise StoreError unless names, scale, offset, unit, colours and tags are right."""
    refuse(path, _words(product, pixels, statistics))


def _layout(product: DatasetReader, pixels: ProductPixels, block: int) -> Iterator[Finding]:
    header, grid, nodata = pixels.header, pixels.grid, nodata_tag(pixels.header)
    yield "the shape", (product.count, *product.shape), (pixels.count, *grid.shape)
    yield "the dtype", set(product.dtypes), {header.dtype}
    yield "the tile size", set(product.block_shapes), {(block, block)}
    yield "the number of overviews", len(product.overviews(1)), len(level_shapes(grid.shape))
    if not same_number(product.nodata, nodata):
        yield "nodata", product.nodata, nodata
    points, points_crs = product.gcps
    if has_gcps(header):
        found = [(p.row, p.col, p.x, p.y, p.z or 0.0, p.id) for p in points]
        yield "the control points", found, [(p.row, p.col, p.x, p.y, p.z, p.id) for p in control_points(pixels)]
        yield "the CRS", points_crs, _crs(header.gcps_crs)
        return
    yield "the CRS", product.crs, _crs(grid.crs)
    found_affine, affine = tuple(product.transform), tuple(transform_of(grid))
    if not np.allclose(found_affine, affine, rtol=1e-14, atol=0):
        yield "the affine", found_affine, affine


def _crs(wkt: str | None) -> CRS | None:
    return None if wkt is None else CRS.from_user_input(wkt)


def _words(product: DatasetReader, pixels: ProductPixels, statistics: Sequence[Statistics]) -> Iterator[Finding]:
    header, bands = pixels.header, product_bands(pixels.header)
    yield "a band's name", product.descriptions, tuple(band.name or None for band in bands)
    yield "a band's scale", product.scales, tuple(band.scale for band in bands)
    yield "a band's offset", product.offsets, tuple(band.offset for band in bands)
    yield "a band's unit", product.units, tuple(band.unit or None for band in bands)
    for found, expected in zip(product.colorinterp, colours(header), strict=True):
        if expected != ColorInterp.undefined:
            yield "a band's colour", found, expected
    yield "a tag", {"AREA_OR_POINT": "Area", **product.tags()}, dataset_tags(header)
    for index, tags in enumerate(band_tags(header, statistics), 1):
        yield f"a tag of band {index}", product.tags(index), tags


def _check_full(
    path: Path, product: DatasetReader, pixels: ProductPixels, progress: Progress | None
) -> list[Statistics]:
    """Compare every full-resolution pixel, bit by bit, and gather the statistics again."""
    statistics = [Statistics()] * len(pixels.header.bands)
    windows = list(pixels.windows())
    for done, window in enumerate(windows, 1):
        expected = pixels.data(window)
        same_pixels(path, product.read(window=gdal_window(window)), expected, window)
        if pixels.header.nodata == "mask":
            same_pixels(path, product.read_masks(1, window=gdal_window(window)), pixels.mask(window), window)
        usable = pixels.usable(window)
        statistics = [s.with_block(v, u) for s, v, u in zip(statistics, expected, usable, strict=False)]
        if progress is not None:
            progress(done, len(windows))
    return statistics


def same_pixels(path: Path, found: NDArray[Any], expected: NDArray[Any], window: Window) -> None:
    """Raise StoreError unless equal bit by bit: -0.0 is not 0.0, and a NaN is equal to itself."""
    if found.dtype == expected.dtype and found.tobytes() == expected.tobytes():
        return
    rows, cols = window.rows, window.cols
    raise different(path, "pixels differ", f"rows {rows.start} to {rows.stop}, columns {cols.start} to {cols.stop}")


def _check_overview(path: Path, finer: DatasetReader, coarser: DatasetReader, pixels: ProductPixels) -> None:
    """Compare every pixel of an overview, bit by bit, with the average of the level beneath it, computed again."""
    for window in tiles(coarser.shape, pixels.block):
        values, mask = overview(OpenLevel(finer), window, pixels.header)
        same_pixels(path, coarser.read(window=gdal_window(window)), values, window)
        if pixels.header.nodata == "mask":
            same_pixels(path, coarser.read_masks(1, window=gdal_window(window)), mask, window)


def gdal_window(window: Window) -> GdalWindow:
    """As rasterio wants it."""
    return GdalWindow(window.cols.start, window.rows.start, window.shape[1], window.shape[0])
