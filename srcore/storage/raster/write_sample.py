"""Writes the sample scenes: tiled GeoTIFFs in rows of blocks, in flat memory, or JPEG 2000; always the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import rasterio
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.transform import Affine
from rasterio.windows import Window

NODATA = 0
BLOCK = 256
"""Rows and columns of a TIFF tile."""


@dataclass(frozen=True)
class SampleFile:
    """What a sample scene says of itself."""

    shape: tuple[int, int]
    west: float
    north: float
    gsd_m: float
    bands: tuple[str, ...]
    acquired: str
    """As TIFF writes times: 2024:05:14 10:20:00."""


def write_sample(path: Path, file: SampleFile, rows: Iterable[NDArray[np.uint16]]) -> None:
    """Write `rows`, arrays (C, y, X) from the top down, as one uint16 GeoTIFF (UTM 32N, nodata 0).

    The file appears under its name when it is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.part")
    unfinished.unlink(missing_ok=True)
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": len(file.bands),
        "nodata": NODATA,
        "crs": "EPSG:32632",
        "height": file.shape[0],
        "width": file.shape[1],
        "tiled": True,
        "blockxsize": BLOCK,
        "blockysize": BLOCK,
        "transform": Affine(file.gsd_m, 0, file.west, 0, -file.gsd_m, file.north),
        "interleave": "band",
        "compress": "deflate",
        "predictor": 2,
        "bigtiff": "if_safer",
        "photometric": "minisblack",
        "alpha": "no",
    }
    with rasterio.Env(GDAL_CACHEMAX=64 * 2**20), rasterio.open(unfinished, "w", **profile) as out:
        out.descriptions = file.bands
        out.scales, out.offsets = (1e-4,) * len(file.bands), (0.0,) * len(file.bands)
        colours = {"B02": ColorInterp.blue, "B03": ColorInterp.green, "B04": ColorInterp.red}
        out.colorinterp = [colours.get(band, ColorInterp.undefined) for band in file.bands]
        out.update_tags(ACQUISITION_DATETIME=file.acquired, TIFFTAG_IMAGEDESCRIPTION="landscape drawn by srcore")
        top = 0
        for part in rows:
            out.write(part, window=Window(0, top, part.shape[2], part.shape[1]))
            top += part.shape[1]
    os.replace(unfinished, path)


def write_sample_jp2(path: Path, values: NDArray[np.uint8 | np.uint16], gsd_m: float, corner: tuple[int, int]) -> None:
    """Write `values` (Y, X) as JPEG 2000 without loss (UTM 32N), the upper left `corner` at x, y in metres."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {
        "driver": "JP2OpenJPEG",
        "QUALITY": 100,
        "REVERSIBLE": "YES",
        "dtype": values.dtype,
        "count": 1,
        "height": values.shape[0],
        "width": values.shape[1],
        "crs": "EPSG:32632",
        "transform": Affine(gsd_m, 0, corner[0], 0, -gsd_m, corner[1]),
    }
    with rasterio.Env(GDAL_PAM_ENABLED=False), rasterio.open(path, "w", **profile) as out:
        out.write(values, 1)
