"""Whether a raster product is what was upscaled: read back from the disk and compared, to the last byte.

GDAL can close a file without an error on a full disk, and a COG cut to a twentieth still opens and passes a layout
check. So a product counts as written when a fresh open gives the header, every full-resolution block, every mask
block and every overview block that it must have, and when no byte of the file is left unexplained.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio._err import CPLE_BaseError
from rasterio.enums import ColorInterp
from rasterio.errors import RasterioError
from rasterio.io import DatasetReader
from rasterio.windows import Window as GdalWindow

from srcore.errors import StoreError
from srcore.storage.cog import colours, has_gcps, nodata_tag, overview_levels, product_env, transform_of
from srcore.storage.header import Header
from srcore.storage.pixels import ProductPixels, Stored, Window
from srcore.storage.statistics import Statistics

Progress = Callable[[int, int], None]
Findings = Iterable[tuple[str, object, object]]
"""(what, found, expected) of everything that differs."""


def verify_cog(
    path: Path,
    header: Header,
    scale: tuple[int, int],
    sr: Stored,
    valid: Stored,
    alpha: Stored | None = None,
    progress: Progress | None = None,
) -> None:
    """Raise StoreError unless the file `path` is exactly the product that `write_cog` makes of the same arguments.

    Nothing is needed but the file and the arguments, so that a product can be verified long after it was written.
    `progress` gets (windows done, windows in all).
    """
    pixels = ProductPixels(header, scale, sr, valid, alpha)
    pixels.check()
    try:
        with product_env(pixels), rasterio.open(path, driver="GTiff") as product:
            _refuse(path, _differences_in_layout(product, pixels))
            statistics = _verify_windows(path, product, pixels, progress)
            _refuse(path, _differences_in_words(product, pixels, statistics))
    except (RasterioError, CPLE_BaseError, OSError) as error:
        if isinstance(error, StoreError):
            raise
        raise _different(path, "cannot be read back", str(error)) from error


def _different(path: Path, what: str, found: str) -> StoreError:
    do = "it is not published; look for a full or failing disk, and run again"
    return StoreError(f"{path.name} is not what was written: {what}", found, do, code="VERIFY_FAILED")


def _refuse(path: Path, differences: Findings) -> None:
    for what, found, expected in differences:
        raise _different(path, f"{what} differs", f"{found!r} for {expected!r}")


def _differences_in_layout(product: DatasetReader, pixels: ProductPixels) -> Findings:
    """Shape, dtype, nodata, place in the world, overviews."""
    header, grid = pixels.header, pixels.grid
    located = not has_gcps(header)
    same_nodata = np.array_equal(
        np.array(product.nodata, np.float64), np.array(nodata_tag(header), np.float64), equal_nan=True
    )
    checks = [
        ("shape", (product.count, *product.shape), (pixels.count, *grid.shape)),
        ("dtype", set(product.dtypes), {header.dtype}),
        ("nodata", product.nodata if not same_nodata else None, nodata_tag(header) if not same_nodata else None),
        ("tile size", set(product.block_shapes), {(pixels.block, pixels.block)}),
        ("overviews", product.overviews(1), overview_levels(grid.shape)),
        ("CRS", _same_crs(product.crs, grid.crs) if located else True, True),
        ("affine", tuple(product.transform), tuple(transform_of(grid)) if located else (1, 0, 0, 0, 1, 0, 0, 0, 1)),
        ("control points", _points(product), _expected_points(pixels)),
        ("AREA_OR_POINT", product.tags().get("AREA_OR_POINT", "Area"), header.area_or_point),
    ]
    return [check for check in checks if not _equal(check[1], check[2])]


def _equal(found: object, expected: object) -> bool:
    if isinstance(found, tuple) and found and isinstance(found[0], float) and isinstance(expected, tuple):
        return len(found) == len(expected) and bool(np.allclose(found, expected, rtol=1e-13, atol=1e-12))
    return found == expected
