"""Whole images: axes, dtype, what is masked, and files that are none."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import numpy.ma as ma
import pytest
import rasterio

from srcore.errors import SourceError
from srcore.storage.whole_images import is_image, read_bands


def write(path: Path, values: np.ndarray, **profile: object) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **profile
    ) as target:
        target.write(values)
    return path


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_nodata_and_nan_are_masked_and_the_dtype_stays(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    values[0, 0, 0], values[1, 2, 3] = np.nan, -9999
    bands = read_bands(write(tmp_path / "a.tif", values, nodata=-9999))
    assert bands.dtype == np.float32
    assert bands.shape == (2, 3, 4)
    assert np.argwhere(ma.getmaskarray(bands)).tolist() == [[0, 0, 0], [1, 2, 3]]


@pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")
def test_alpha_is_a_mask_and_no_band(tmp_path: Path) -> None:
    values = np.full((2, 3, 4), 255, np.uint8)
    values[1, 1, 1] = 0
    bands = read_bands(write(tmp_path / "a.tif", values, alpha="yes"))
    assert bands.shape == (1, 3, 4)
    assert np.argwhere(ma.getmaskarray(bands)).tolist() == [[0, 1, 1]]


def test_a_volume_is_one_band_of_slices(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.int16).reshape(2, 3, 4)  # X, Y, Z
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "v.nii.gz")
    bands = read_bands(tmp_path / "v.nii.gz")
    assert bands.shape == (1, 4, 3, 2)
    assert bands.dtype == np.int16
    assert bands[0, 3, 2, 1] == values[1, 2, 3]


@pytest.mark.parametrize("name", ["broken.tif", "broken.nii.gz", "absent.png"])
def test_what_is_no_image_is_a_source_error(tmp_path: Path, name: str) -> None:
    if "absent" not in name:
        (tmp_path / name).write_bytes(b"not an image at all")
    with pytest.raises(SourceError, match="cannot be read as an image"):
        read_bands(tmp_path / name)


def test_names_of_images() -> None:
    assert is_image(Path("a.TIF"))
    assert is_image(Path("b.nii.gz"))
    assert not is_image(Path("a.tif.aux.xml"))
    assert not is_image(Path("readme.md"))
