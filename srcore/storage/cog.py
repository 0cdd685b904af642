"""The raster product: a Cloud Optimized GeoTIFF, written with memory that does not grow with the scene.

    sr.zarr --windows of whole tiles--> base.tif (tiled, zstd 1) --AVERAGE--> its overviews --COG driver--> product
                                        hidden folder beside the product; gone afterwards

GDAL's COG driver in write mode holds the whole image, and overviews inside a plain GTiff are no valid COG; rows
first and a copy afterwards cost more time and flat memory. The product is deflated (level 6, with the predictor of
the dtype): every TIFF reader of the last twenty years opens it, browsers included, and zlib ends each tile with a
checksum, which GDAL's zstd tiles do not have. GDAL works with one thread: with more, a write that fails because
the disk is full is never reported.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
import rasterio.shutil
from rasterio._err import CPLE_BaseError
from rasterio.enums import Resampling
from rasterio.errors import RasterioError
from rasterio.io import DatasetWriter
from rasterio.windows import Window as GdalWindow

from srcore.errors import StoreError
from srcore.storage.cog_check import verify_cog
from srcore.storage.cog_form import (
    band_tags,
    colours,
    dataset_tags,
    georeference,
    nodata_tag,
    overview_levels,
    product_bands,
    product_env,
)
from srcore.storage.files import fsync_file, fsync_folder, store_error
from srcore.storage.header import Header
from srcore.storage.pixels import ProductPixels, Stored, Window, tiles
from srcore.storage.statistics import Statistics

__all__ = ["verify_cog", "write_cog"]

Progress = Callable[[int, int], None]

FULL_BELOW_BYTES = 16 << 20
"""With less than this free, a write that GDAL failed without saying why failed because the disk is full."""


def write_cog(
    path: Path,
    header: Header,
    scale: tuple[int, int],
    sr: Stored,
    valid: Stored,
    alpha: Stored | None = None,
    progress: Progress | None = None,
) -> None:
    """Write the product `path` of an upscaled raster scene, and sync it to the disk.

    `header` is of the LR scene; `sr` (C, Y * s, X * s) final values in the native dtype; `valid` (C, Y, X) bool and
    `alpha` (Y, X) lie on the LR grid. `progress` gets (windows done, windows in all). What stands at `path` is
    replaced at the end and not looked at. Raises StoreError (DISK_FULL when that is why). A product that was written
    is not yet one to trust: `verify_cog` says so.
    """
    pixels = ProductPixels(header, scale, sr, valid, alpha)
    pixels.check()
    with hidden_folder(path) as folder, _failures_named(path), product_env(pixels):
        base, product = folder / "base.tif", folder / "product.tif"
        _write_base(base, pixels, progress)
        _copy_as_cog(base, product, pixels)
        fsync_file(product)
        os.replace(product, path)
        fsync_folder(path.parent)


@contextmanager
def hidden_folder(path: Path) -> Iterator[Path]:
    """A fresh hidden folder beside `path`, so that no sidecar of another file is near; removed with what is in it."""
    try:
        folder = Path(tempfile.mkdtemp(prefix=f".{path.name[:200]}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise store_error(path, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _failures_named(path: Path) -> Iterator[None]:
    """Turn what GDAL and the system raise into a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except (RasterioError, CPLE_BaseError, OSError) as error:
        raise store_error(path, error, enough_bytes=FULL_BELOW_BYTES) from error


def _write_base(path: Path, pixels: ProductPixels, progress: Progress | None) -> None:
    """The full-resolution pixels as a tiled GTiff with everything that the header says, then its overviews."""
    with rasterio.open(path, "w", **_profile(pixels)) as target:
        # before the first pixel: GDAL cannot turn a band into an alpha band of a file that has data
        target.colorinterp = colours(pixels.header)
        statistics = [Statistics()] * len(pixels.header.bands)
        windows = list(pixels.windows())
        for done, window in enumerate(windows, 1):
            data, usable = pixels.data(window), pixels.usable(window)
            _write_window(target, pixels, window, data)
            statistics = [s.with_block(v, u) for s, v, u in zip(statistics, data, usable, strict=False)]
            if progress is not None:
                progress(done, len(windows))
        describe(target, pixels, statistics)
    levels = overview_levels(pixels.grid.shape)
    if levels:
        with rasterio.open(path, "r+") as target:
            target.build_overviews(levels, Resampling.average)


def _write_window(target: DatasetWriter, pixels: ProductPixels, window: Window, data: np.ndarray[Any, Any]) -> None:
    """Tile by tile, all bands at once: each tile is compressed and written exactly once."""
    mask = pixels.mask(window) if pixels.header.nodata == "mask" else None
    for tile in tiles(window.shape, pixels.block):
        top, left = window.rows.start + tile.rows.start, window.cols.start + tile.cols.start
        place = GdalWindow(left, top, tile.shape[1], tile.shape[0])
        target.write(data[:, tile.rows, tile.cols], window=place)
        if mask is not None:
            target.write_mask(mask[tile.rows, tile.cols], window=place)


def _copy_as_cog(base: Path, product: Path, pixels: ProductPixels) -> None:
    """GDAL's own COG layout of `base`: overviews first, tiles in row order; overview tiles are copied as they are."""
    rasterio.shutil.copy(
        base,
        product,
        driver="COG",
        OVERVIEWS="FORCE_USE_EXISTING",
        BLOCKSIZE=str(pixels.block),
        BIGTIFF="IF_SAFER",
        COMPRESS="DEFLATE",
        OVERVIEW_COMPRESS="DEFLATE",
        LEVEL="6",
        PREDICTOR="YES",
        OVERVIEW_PREDICTOR="YES",
        NUM_THREADS="1",
    )


def _profile(pixels: ProductPixels) -> dict[str, Any]:
    header, grid, block = pixels.header, pixels.grid, pixels.block
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "height": grid.shape[0],
        "width": grid.shape[1],
        "count": pixels.count,
        "dtype": header.dtype,
        "nodata": nodata_tag(header),
        "tiled": True,
        "blockxsize": block,
        "blockysize": block,
        "interleave": "pixel",
        "compress": "zstd",
        "zstd_level": 1,
        "predictor": 3 if np.dtype(header.dtype).kind == "f" else 2,
        "bigtiff": "yes",
    }
    return profile | georeference(pixels)


def describe(target: DatasetWriter, pixels: ProductPixels, statistics: list[Statistics]) -> None:
    """Everything that the header says in words: names, scale, offset, unit, tags; and the statistics."""
    header, bands = pixels.header, product_bands(pixels.header)
    target.update_tags(**dataset_tags(header))
    target.descriptions = tuple(band.name for band in bands)
    target.scales = tuple(band.scale for band in bands)
    target.offsets = tuple(band.offset for band in bands)
    target.units = tuple(band.unit or "" for band in bands)
    for index, tags in enumerate(band_tags(header, statistics), 1):
        target.update_tags(index, **tags)
