"""Whether a raster product is what was upscaled: read back from the disk and compared, to the last byte.

GDAL can close a file without an error on a full disk, and a COG cut to a twentieth still opens and passes a layout
check. So a product counts as written when a fresh open gives the header, every full-resolution block, every mask
block and every overview block that it must have, when each tag of each of its images has the bytes that GDAL gives
it in a tiny product of the same header, and when no byte of the file is left unexplained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.crs import CRS
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.errors import StoreError
from srcore.storage.cog_form import (
    band_tags,
    colours,
    control_points,
    dataset_tags,
    has_gcps,
    nodata_tag,
    overview_levels,
    product_bands,
    product_env,
    same_number,
    transform_of,
)
from srcore.storage.header import Header
from srcore.storage.pixels import ProductPixels, Stored, Window, tiles
from srcore.storage.pyramid import average, source_window
from srcore.storage.statistics import Statistics
from srcore.storage.cog_bytes import explain

Progress = Callable[[], None]
Finding = tuple[str, object, object]
"""(what, found, expected)"""


def verify_cog(
    path: Path,
    header: Header,
    scale: tuple[int, int],
    sr: Stored,
    valid: Stored,
    alpha: Stored | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Raise StoreError (VERIFY_FAILED) unless `path` is exactly the product that `write_cog` makes of the arguments.

    Nothing else is needed, so that a run that goes on after a crash can verify what an earlier one wrote.
    `progress` gets (full-resolution windows done, in all); the overviews are a third more.
    """
    pixels = ProductPixels(header, scale, sr, valid, alpha)
    pixels.check()
    try:
        with product_env(pixels), ExitStack() as stack:
            explain(path)
            product = stack.enter_context(rasterio.open(path, driver="GTiff"))
            _refuse(path, _layout(product, pixels))
            statistics = _verify_full(path, product, pixels, progress)
            _refuse(path, _words(product, pixels, statistics))
            finer = product
            for level in range(len(overview_levels(pixels.grid.shape))):
                coarser = stack.enter_context(rasterio.open(path, driver="GTiff", OVERVIEW_LEVEL=level))
                _verify_overview(path, finer, coarser, pixels)
                finer = coarser
    except StoreError:
        raise
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise _different(path, "it cannot be read back", str(error)) from error


def _different(path: Path, what: str, found: str) -> StoreError:
    do = "it is not published; look for a full or failing disk, and run again"
    return StoreError(f"{path.name} is not what was written: {what}", found, do, code="VERIFY_FAILED")


def _refuse(path: Path, findings: Iterator[Finding]) -> None:
    for what, found, expected in findings:
        if found != expected:
            raise _different(path, f"{what} differs", f"{found!r} for {expected!r}")


def _layout(product: DatasetReader, pixels: ProductPixels) -> Iterator[Finding]:
    """Shape, dtype, nodata, overviews and place in the world."""
    header, grid, nodata = pixels.header, pixels.grid, nodata_tag(pixels.header)
    yield "the shape", (product.count, *product.shape), (pixels.count, *grid.shape)
    yield "the dtype", set(product.dtypes), {header.dtype}
    yield "the tile size", set(product.block_shapes), {(pixels.block, pixels.block)}
    yield "the number of overviews", len(product.overviews(1)), len(overview_levels(grid.shape))
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


def _words(product: DatasetReader, pixels: ProductPixels, statistics: list[Statistics]) -> Iterator[Finding]:
    """Names, scale, offset, unit, colours and tags."""
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


def _verify_full(
    path: Path, product: DatasetReader, pixels: ProductPixels, progress: Callable[[int, int], None] | None
) -> list[Statistics]:
    """Compare every full-resolution pixel, bit by bit, and gather the statistics again."""
    statistics = [Statistics()] * len(pixels.header.bands)
    windows = list(pixels.windows())
    for done, window in enumerate(windows, 1):
        expected = pixels.data(window)
        _same(path, product.read(window=_gdal(window)), expected, window)
        if pixels.header.nodata == "mask":
            _same(path, product.read_masks(1, window=_gdal(window)), pixels.mask(window), window)
        usable = pixels.usable(window)
        statistics = [s.with_block(v, u) for s, v, u in zip(statistics, expected, usable, strict=False)]
        if progress is not None:
            progress(done, len(windows))
    return statistics


def _same(path: Path, found: NDArray[Any], expected: NDArray[Any], window: Window) -> None:
    """Bit by bit: -0.0 is not 0.0, and a NaN is equal to itself."""
    if found.dtype == expected.dtype and np.ascontiguousarray(found).tobytes() == expected.tobytes():
        return
    raise _different(path, "pixels differ", f"rows {window.rows.start} to {window.rows.stop}, columns "
                     f"{window.cols.start} to {window.cols.stop}")


def _verify_overview(path: Path, finer: DatasetReader, coarser: DatasetReader, pixels: ProductPixels) -> None:
    """Compare every pixel of an overview with the average of the usable pixels of the level beneath it."""
    if coarser.shape != tuple(-(-size // 2) for size in finer.shape):
        raise _different(path, "the shape of an overview differs", f"{coarser.shape} of {finer.shape}")
    for window in tiles(coarser.shape, pixels.block):
        source = source_window(finer.shape, coarser.shape, window)
        values, usable = _level(finer, source, pixels.header)
        expected = average(values, usable, finer.shape, coarser.shape, window)
        # an average that happens to be the nodata number is moved to its neighbour
        tolerance = expected.tolerance + (pixels.header.nodata == "tag" and values.dtype.kind in "iu")
        found, found_usable = _level(coarser, window, pixels.header)
        with np.errstate(invalid="ignore"):
            near = np.abs(found - expected.values) <= tolerance
        near |= ~np.isfinite(expected.values) & ~np.isfinite(found)
        if not np.where(expected.usable, near & found_usable, ~found_usable).all():
            raise _different(path, "an overview is not the average of its scene", f"rows {window.rows.start} to "
                             f"{window.rows.stop}, columns {window.cols.start} to {window.cols.stop}, 1/{coarser.shape}")


def _level(level: DatasetReader, window: Window, header: Header) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """Values (count, y, x) and which of them count, as GDAL sees it: by mask, alpha above zero, or nodata."""
    values: NDArray[Any] = level.read(window=_gdal(window))
    if header.nodata == "mask":
        usable = np.broadcast_to(level.read_masks(1, window=_gdal(window)) > 0, values.shape)
    elif header.alpha is not None:
        usable = np.broadcast_to(values[-1] > 0, values.shape)
    elif header.nodata == "nan":
        usable = ~np.isnan(values)
    else:
        nodata = nodata_tag(header)
        usable = np.ones(values.shape, bool) if nodata is None else values != np.asarray(nodata).astype(values.dtype)
    return values, usable


def _gdal(window: Window) -> GdalWindow:
    return GdalWindow(window.cols.start, window.rows.start, window.shape[1], window.shape[0])
