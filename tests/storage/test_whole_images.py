"""Whole images: axes, dtype, what is masked, and files that are none."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import numpy.ma as ma
import pytest
import rasterio

from srcore.errors import SourceError
from srcore.storage.scene import open_scene, read_header
from srcore.storage.whole_images import images_below, is_image, read_bands, read_image, write_bands

pytestmark = pytest.mark.filterwarnings("ignore::rasterio.errors.NotGeoreferencedWarning")


def write(path: Path, values: np.ndarray, **profile: object) -> Path:
    count, height, width = values.shape
    with rasterio.open(
        path, "w", driver="GTiff", count=count, height=height, width=width, dtype=values.dtype, **profile
    ) as target:
        target.write(values)
    return path


def test_nodata_and_nan_are_masked_and_the_dtype_stays(tmp_path: Path) -> None:
    values = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    values[0, 0, 0], values[1, 2, 3] = np.nan, -9999
    bands = read_bands(write(tmp_path / "a.tif", values, nodata=-9999))
    assert bands.dtype == np.float32
    assert bands.shape == (2, 3, 4)
    assert np.argwhere(ma.getmaskarray(bands)).tolist() == [[0, 0, 0], [1, 2, 3]]


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


@pytest.mark.parametrize("number", [0, 7])
def test_what_is_written_is_read_back(tmp_path: Path, number: int) -> None:
    """Values and mask, whatever stands under the mask; a volume without a mask of its own says it by NaN."""
    values = np.random.default_rng(number).integers(0, 2000, (3, 19, 23)).astype(np.uint16)
    valid = np.broadcast_to(np.random.default_rng(1).random((19, 23)) > 0.1 * bool(number), values.shape)
    write_bands(tmp_path / "deep" / "r.tif", values, valid)
    raster = read_bands(tmp_path / "deep" / "r.tif")
    np.testing.assert_array_equal(ma.getdata(raster), values)
    np.testing.assert_array_equal(ma.getmaskarray(raster), ~valid)
    voxels = values[:1].astype(np.float32).reshape(1, 19, 23, 1).repeat(4, 3)
    voxels[0, :number, 2] = np.nan
    write_bands(tmp_path / "v.nii.gz", voxels, np.isfinite(voxels))
    volume = read_bands(tmp_path / "v.nii.gz")
    np.testing.assert_array_equal(ma.getdata(volume), voxels)
    np.testing.assert_array_equal(ma.getmaskarray(volume), np.isnan(voxels))


def test_a_number_means_what_it_means_in_the_pipeline(tmp_path: Path) -> None:
    """HU by slope and intercept: the network is trained and judged on the stored numbers that a scene is made of."""
    stored = np.arange(24, dtype=np.int16).reshape(2, 3, 4)
    ct = nibabel.Nifti1Image(stored, np.eye(4))
    ct.header.set_data_dtype(np.int16)
    ct.header.set_slope_inter(0.5, -1024)
    ct.to_filename(tmp_path / "ct.nii")
    # nibabel divides by the slope as it writes: put the stored numbers back.
    data = bytearray((tmp_path / "ct.nii").read_bytes())
    data[352:] = stored.T.tobytes()
    (tmp_path / "ct.nii").write_bytes(data)
    assert nibabel.load(tmp_path / "ct.nii").get_fdata().max() == 23 * 0.5 - 1024
    header = read_header([tmp_path / "ct.nii"], "volume")
    image = read_image(tmp_path / "ct.nii")
    with open_scene(header) as reader:
        np.testing.assert_array_equal(image.values, reader.read((slice(0, 4), slice(0, 3), slice(0, 2)))[0])
    assert image.values.dtype == np.int16
    assert image.values.max() == 23
    assert (header.bands[0].scale, header.bands[0].offset) == (0.5, -1024)


@pytest.mark.parametrize("name", ["r.jp2", "r.png"])
def test_the_content_says_what_a_file_is(tmp_path: Path, name: str) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)
    np.testing.assert_array_equal(read_bands(write(tmp_path / name, values)), values)
    nibabel.Nifti1Image(values, np.eye(4)).to_filename(tmp_path / "v.nii")
    (tmp_path / "v.nii").rename(tmp_path / "v.tif")
    np.testing.assert_array_equal(read_bands(tmp_path / "v.tif"), values.T[None])
    assert [path.name for path in images_below(tmp_path)] == [name, "v.tif"]
    assert [path.name for path in images_below(tmp_path, axes=3)] == ["v.tif"]


@pytest.mark.parametrize("name", ["broken.tif", "broken.nii.gz"])
def test_what_is_no_image_is_refused_and_never_left_out(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"not an image at all")
    (tmp_path / "folder.tif").mkdir()
    with pytest.raises(SourceError, match="not a file that srcore reads; found first bytes 6e 6f"):
        read_bands(tmp_path / name)
    with pytest.raises(SourceError, match="not a file that srcore reads"):
        images_below(tmp_path, axes=3)
    assert [path.name for path in images_below(tmp_path)] == [name]
    with pytest.raises(SourceError, match="cannot be read; found no such file"):
        read_bands(tmp_path / "absent.png")


def test_an_image_lies_in_its_folder(tmp_path: Path) -> None:
    values = np.arange(12, dtype=np.uint16).reshape(1, 3, 4)
    (tmp_path / "data").mkdir()
    write(tmp_path / "secret.tif", values)
    (tmp_path / "data" / "a.tif").symlink_to(tmp_path / "secret.tif")
    assert read_bands(tmp_path / "data" / "a.tif").shape == (1, 3, 4)
    with pytest.raises(SourceError, match="lies outside the folders that may be read"):
        read_bands(tmp_path / "data" / "a.tif", [tmp_path / "data"])


def test_names_of_images() -> None:
    assert is_image(Path("a.TIF"))
    assert is_image(Path("b.nii.gz"))
    assert not is_image(Path("a.tif.aux.xml"))
    assert not is_image(Path("readme.md"))


def test_a_disk_that_takes_no_more_is_an_error_and_leaves_no_part(tmp_path: Path) -> None:
    script = """
import resource, sys
from pathlib import Path
import numpy as np
from srcore.errors import StoreError
from srcore.storage.whole_images import write_bands
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
values = np.random.default_rng(0).integers(0, 999, (1, 96, 96), np.uint16)
try:
    write_bands(Path(sys.argv[1]), values, np.ones(values.shape, np.bool_))
except StoreError as error:
    print(error)
"""
    told = subprocess.run(
        [sys.executable, "-c", script, tmp_path / "a.tif"], capture_output=True, text=True, check=True
    )
    assert told.stdout.count("cannot be written") == 1
    assert list(tmp_path.iterdir()) == []
