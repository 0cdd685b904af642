"""Whole images in memory, for training and evaluation; the pipeline itself reads windows.

They come through the door that scenes come through, so a number means here what it means there: stored numbers, axes,
and what is valid.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import nibabel
import numpy as np
import numpy.ma as ma
import rasterio
from numpy.typing import NDArray
from rasterio.errors import NotGeoreferencedWarning, RasterioError
from rasterio.io import MemoryFile

from srcore.errors import StoreError
from srcore.storage.disk.files import store_error, write_atomic
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.scene import open_scene, read_header
from srcore.treatment import Treatment

Masked: TypeAlias = "ma.MaskedArray[tuple[int, ...], np.dtype[Any]]"

ENDINGS = (".tif", ".tiff", ".png", ".jp2", ".nii", ".nii.gz")
"""Names by which files of a folder are taken for images. What each of them is, its content says."""
VOLUMES = (".nii", ".nii.gz")
"""Names under which volumes are written."""


@dataclass(frozen=True)
class Image:
    """All of a scene."""

    values: NDArray[Any]
    """Stored numbers in their native dtype: a raster as (C, Y, X) without its alpha band, a volume as (1, Z, Y, X)."""
    valid: NDArray[np.bool_]
    """Of the same shape."""
    nodata: tuple[float | None, ...]
    """Per band the number for 'nothing here'; None where a mask, alpha or nothing says so."""
    names: tuple[str, ...] = ()
    """Per band, where they were read from a file."""

    @property
    def masked(self) -> Masked:
        """The values, masked where they are not valid."""
        return ma.masked_array(self.values, False if self.valid.all() else ~self.valid)


def images_below(folder: Path, axes: int = 2) -> list[Path]:
    """What a generator of so many axes can work on below `folder`, sorted: of 3 axes, volumes only.

    SourceError where a file is no image, whatever its name says.
    """
    paths = sorted(path for path in folder.rglob("*") if is_image(path) and not path.is_dir())
    return paths if axes == 2 else [path for path in paths if read_header([path], roots=[folder]).kind == "volume"]


def is_image(path: Path) -> bool:
    """Whether a file of this name has to be an image."""
    return path.name.lower().endswith(ENDINGS)


def read_image(path: Path, roots: Sequence[Path] | None = None, treatment: Treatment | None = None) -> Image:
    """All of an image. `roots`: folders that it may lie in, links followed; None: any.

    `treatment` says what the files do not: the number for 'nothing here', and what alpha means. SourceError or
    GridError for what the pipeline would refuse, in the same words.
    """
    header = read_header([path], roots=roots, **(treatment or Treatment()).of_files)
    with open_scene(header) as reader:
        values, valid = reader.read(tuple(slice(0, size) for size in header.grid.shape))
    return Image(values, valid, header.nodata_numbers, tuple(band.name for band in header.bands))


def read_bands(path: Path, roots: Sequence[Path] | None = None) -> Masked:
    """The values of `read_image`, masked where they are not valid."""
    return read_image(path, roots).masked


def write_bands(path: Path, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    """Keep (C, Y, X) or, under a name of VOLUMES, (1, Z, Y, X) for `read_bands`, which gives the same back.

    A raster's pixel is masked where any band is invalid; a volume's where it is NaN: one of integers with such voxels
    becomes floats that hold them.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        if path.name.lower().endswith(VOLUMES):
            if not valid.all():
                wide = np.result_type(values.dtype, np.float32)
                values = np.where(valid, values, np.nan).astype(wide)
            nibabel.save(nibabel.Nifti1Image(values[0].T, np.eye(4)), path)  # type: ignore[no-untyped-call]
        else:
            _write_raster(path, values, np.asarray(valid.all(axis=0)))
    except StoreError:
        raise
    except (RasterioError, OSError) as error:
        raise store_error(path, error) from error


def _write_raster(path: Path, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
    count, height, width = values.shape
    with warnings.catch_warnings(), gdal_env(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), MemoryFile() as memory:
        warnings.simplefilter("ignore", NotGeoreferencedWarning)  # a training image needs no place on Earth
        with memory.open(
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
        # not by GDAL: on a full disk it leaves a part of the file, and says nothing
        write_atomic(path, bytes(memory.getbuffer()))
