"""Whole images in memory, for training and evaluation; the pipeline itself reads windows."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np
import numpy.ma as ma
import rasterio
from nibabel.filebasedimages import ImageFileError
from numpy.typing import NDArray
from rasterio.enums import ColorInterp
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import DatasetReader

from srcore.errors import SourceError
from srcore.storage.disk.files import store_error

Masked: TypeAlias = "ma.MaskedArray[tuple[int, ...], np.dtype[Any]]"

RASTERS = (".tif", ".tiff", ".png", ".jp2")
VOLUMES = (".nii", ".nii.gz")


def is_image(path: Path) -> bool:
    """Whether `read_bands` reads files of this name."""
    return path.name.lower().endswith(RASTERS + VOLUMES)


def is_volume(path: Path) -> bool:
    """Whether `read_bands` reads a volume from files of this name."""
    return path.name.lower().endswith(VOLUMES)


def read_bands(path: Path) -> Masked:
    """The image in its native dtype: a raster as (C, Y, X) without its alpha band, a volume as (1, Z, Y, X).

    Masked where there is nothing: nodata, the file's mask or alpha, NaN. SourceError when it cannot be read.
    """
    try:
        values = _read_volume(path) if is_volume(path) else _read_raster(path)
    except (RasterioError, ImageFileError, OSError, EOFError) as error:
        raise SourceError(f"{path} cannot be read as an image", str(error), "give a GeoTIFF, PNG or NIfTI") from error
    return ma.masked_invalid(values, copy=False) if values.dtype.kind == "f" else values


def _read_raster(path: Path) -> Masked:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a training image needs no place on Earth
        with rasterio.open(path) as source:
            return _read_colours(source)


def _read_colours(source: DatasetReader) -> Masked:
    bands = [i for i, role in zip(source.indexes, source.colorinterp, strict=True) if role != ColorInterp.alpha]
    values: Masked = source.read(bands, masked=True)
    return values


def _read_volume(path: Path) -> Masked:
    # NIfTI keeps (X, Y, Z) with X fastest: the transpose is (Z, Y, X) in C order.
    image: Any = nibabel.load(path)
    values = np.asanyarray(image.dataobj).T
    return ma.masked_array(np.ascontiguousarray(values)[None])


def write_bands(path: Path, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    """Keep (C, Y, X) or, under a name of VOLUMES, (1, Z, Y, X) for `read_bands`, which gives the same back.

    A raster's pixel is masked where any band is invalid; a volume of floats where it is NaN.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if is_volume(path):
            nibabel.save(nibabel.Nifti1Image(values[0].T, np.eye(4)), path)  # type: ignore[no-untyped-call]
        else:
            _write_raster(path, values, np.asarray(valid.all(axis=0)))
    except (RasterioError, OSError) as error:
        raise store_error(path, error) from error


def _write_raster(path: Path, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    count, height, width = values.shape
    with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a training image needs no place on Earth
        with rasterio.open(
            path,
            "w",
            driver="GTiff",
            count=count,
            height=height,
            width=width,
            dtype=values.dtype,
            compress="zstd",
            photometric="minisblack",
        ) as target:
            target.write(values)
            if not valid.all():
                target.write_mask(valid)
