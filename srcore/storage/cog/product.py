"""The raster product: a Cloud Optimized GeoTIFF, written with memory that does not grow with the scene, and verified.

GDAL can close a file without an error on a full disk, and a COG cut to a twentieth still opens and passes a layout
check. So a product counts as written when `verify_cog` has read it back.
"""

from __future__ import annotations

import os
from pathlib import Path

import rasterio
from rasterio._err import CPLE_BaseError
from rasterio.errors import RasterioError

from srcore.errors import StoreError
from srcore.progress import Progress
from srcore.storage.cog.compare import check_directories, check_pixels
from srcore.storage.cog.explain import explain
from srcore.storage.cog.pixels import ProductPixels, Stored
from srcore.storage.cog.profile import product_env
from srcore.storage.cog.write import write_product, write_tiny
from srcore.storage.disk.files import free_bytes, fsync_file, fsync_folder, hidden_folder, store_error
from srcore.storage.header import Header
from srcore.storage.raster.gdal import gdal_env

GDAL_FAILURES = (RasterioError, CPLE_BaseError, OSError, ValueError, SystemError)
"""What a failed write or read ends in: rasterio gives a SystemError where GDAL fails without a word."""

FULL_BELOW_BYTES = 16 << 20
"""With less than this free, what GDAL failed to write without saying why failed because the disk is full."""


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
    `alpha` (Y, X) lie on the LR grid. `progress` gets (windows done, windows in all); overviews and copy follow.
    What stands at `path` is replaced at the end and not looked at. Needs, for a while, about twice the product's
    bytes on its disk. Raises StoreError (DISK_FULL when that is why) and leaves nothing then.
    """
    pixels = ProductPixels(header, scale, sr, valid, alpha)
    pixels.check()
    with hidden_folder(path) as folder, product_env(pixels):
        try:
            product = write_product(folder, pixels, progress)
            fsync_file(product)
            if free_bytes(folder) < FULL_BELOW_BYTES:
                _verify_on_full_disk(product, pixels)
            os.replace(product, path)
            fsync_folder(path.parent)
        except StoreError:
            raise
        except GDAL_FAILURES as error:
            # here, before the hidden folder goes and the disk is no longer full
            raise store_error(path, error, enough_bytes=FULL_BELOW_BYTES) from error


def _verify_on_full_disk(product: Path, pixels: ProductPixels) -> None:
    """GDAL loses bytes on a full disk without a word. Told as DISK_FULL now: soon the hidden folder makes space."""
    try:
        explain(product)
        check_pixels(product, pixels, None)
    except (StoreError, *GDAL_FAILURES) as error:
        raise store_error(product, error, enough_bytes=FULL_BELOW_BYTES) from error


def verify_cog(
    path: Path,
    header: Header,
    scale: tuple[int, int],
    sr: Stored,
    valid: Stored,
    alpha: Stored | None = None,
    progress: Progress | None = None,
) -> None:
    """Raise StoreError unless `path` is, to the last bit, the product that `write_cog` makes of the same arguments.

    A fresh open must give every full-resolution block, mask and overview block and all that the header says; each
    tag of each image must have the bytes that GDAL gives it in a tiny product of the same header; and no byte of
    the file may be unexplained. So a changed bit is found unless zlib reads the same pixels from it. Nothing but
    the arguments is needed: a run that goes on after a crash can verify what the one before wrote (with the same
    GDAL). Code VERIFY_FAILED, or DISK_FULL when nothing is free.
    """
    pixels = ProductPixels(header, scale, sr, valid, alpha)
    pixels.check()
    try:
        with product_env(pixels):
            directories = explain(path)
            statistics = check_pixels(path, pixels, progress)
            with hidden_folder(path) as folder:
                check_directories(path, directories, explain(write_tiny(folder, pixels, statistics)), pixels)
    except StoreError:
        raise
    except GDAL_FAILURES as error:
        raise unreadable(path, error) from error


def unreadable(path: Path, error: BaseException) -> StoreError:
    """The error for a product that cannot be read back: DISK_FULL when nothing is free, else VERIFY_FAILED."""
    full = store_error(path, error, enough_bytes=FULL_BELOW_BYTES)
    if full.code == "DISK_FULL":
        return full
    do = "it is not published; look for a failing disk, and run again"
    what = f"{path.name} is not what was written: it cannot be read back"
    return StoreError(what, str(error), do, code="VERIFY_FAILED")


def read_statistics(path: Path, bands: int) -> list[dict[str, float]]:
    """Minimum, maximum, mean, stddev and valid_percent of the first `bands` bands of a product; {} where none."""
    with gdal_env(), rasterio.open(path, driver="GTiff") as product:
        tags = [product.tags(index) for index in range(1, bands + 1)]
    names = ("minimum", "maximum", "mean", "stddev", "valid_percent")
    keys = {name: f"STATISTICS_{name.upper()}" for name in names}
    return [{name: float(band[key]) for name, key in keys.items() if key in band} for band in tags]
