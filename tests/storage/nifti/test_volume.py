"""NIfTI volumes: the same numbers, at the same place, in and out."""

from __future__ import annotations

import gzip
import json
import weakref
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import zarr

from srcore.errors import GridError, SourceError, StoreError
from srcore.storage.header import Header
from srcore.storage.nifti.header import read_nifti_header
from srcore.storage.nifti.volume import open_nifti, verify_nifti, write_nifti

ROTATION = np.array([[0.8, -0.6, 0.0], [0.48, 0.64, -0.6], [0.36, 0.48, 0.8]])


def placed(linear: Any, origin: tuple[float, float, float] = (-90.5, -126.0, 33.25)) -> np.ndarray:
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = linear, origin
    return affine


AFFINES = {
    "RAS": placed(np.diag([3.0, 3.0, 3.0])),
    "LPS": placed(np.diag([-0.5, -0.5, 5.0])),
    "SLR": placed([[0, 0, 2.0], [-1.5, 0, 0], [0, 3.0, 0]]),
    "oblique": placed(ROTATION @ np.diag([0.7, 0.9, 2.5])),
}


def voxels(shape: tuple[int, int, int] = (7, 6, 5), dtype: str = "int16") -> np.ndarray:
    """(x, y, z), as nibabel holds them."""
    return (np.arange(np.prod(shape)) % 120).reshape(shape).astype(dtype)


@pytest.fixture
def write_volume(tmp_path: Path):
    def write(data: np.ndarray, affine: np.ndarray | None = None, name: str = "v.nii.gz", **fields: Any) -> Path:
        kind = fields.pop("kind", nibabel.Nifti1Image)
        image = kind(data, AFFINES["RAS"] if affine is None else affine, dtype=data.dtype)
        slope = fields.pop("slope", None)
        for field, value in fields.items():
            image.header[field] = value
        image.to_filename(tmp_path / name)
        if slope is not None:
            _patch_slope(tmp_path / name, slope)
        return tmp_path / name

    return write


def _patch_slope(path: Path, slope: tuple[float, float]) -> None:
    data = bytearray(gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes())
    data[112:120] = np.array(slope, "<f4").tobytes()
    path.write_bytes(gzip.compress(bytes(data)) if path.suffix == ".gz" else bytes(data))


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_nifti(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def magnified(header: Header, scale: tuple[int, int, int]) -> np.ndarray:
    values = whole(header)[0]
    for axis, factor in enumerate(scale):
        values = values.repeat(factor, axis + 1)
    return values


# ---- in ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize(
    "dtype", ["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64", ">i2", ">f4"]
)
def test_stored_numbers_in_array_order(write_volume, name: str, dtype: str) -> None:
    data = voxels(dtype=dtype)
    if dtype.startswith(">"):
        image = nibabel.Nifti1Image(data, AFFINES["RAS"], nibabel.Nifti1Header(endianness=">"), dtype=data.dtype)
        path = write_volume(data, name=name)
        image.to_filename(path)
    else:
        path = write_volume(data, name=name)
    header = read_nifti_header([path])
    read, valid = whole(header)
    assert header.grid.shape == (5, 6, 7)
    assert header.dtype == data.dtype.name
    assert read.dtype == np.dtype(header.dtype)
    np.testing.assert_array_equal(read[0], data.T)
    assert valid.all()


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_windows(write_volume, name: str) -> None:
    data = voxels((13, 11, 9))
    header = read_nifti_header([write_volume(data, name=name)])
    with open_nifti(header) as reader:
        for window in ((slice(3, 9), slice(0, 4), slice(5, 13)), (slice(0, 1), slice(10, 11), slice(0, 13))):
            np.testing.assert_array_equal(reader.read(window)[0][0], data.T[window])


@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_centres_become_corners(write_volume, affine: np.ndarray) -> None:
    """The centre of array pixel (k, j, i) lies where the file puts voxel (i, j, k)."""
    grid = read_nifti_header([write_volume(voxels(), affine)]).grid
    for i, j, k in ((0, 0, 0), (6, 0, 0), (0, 5, 0), (6, 5, 4)):
        np.testing.assert_allclose(
            grid.to_world((k + 0.5, j + 0.5, i + 0.5)), (affine @ (i, j, k, 1))[:3], rtol=1e-6, atol=1e-5
        )
    np.testing.assert_allclose(grid.spacing(), np.linalg.norm(affine[:3, :3], axis=0)[::-1], rtol=1e-6)


def test_sform_is_believed_before_qform(write_volume, tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), AFFINES["RAS"])
    image.set_qform(AFFINES["oblique"], 1)
    image.set_sform(AFFINES["LPS"], 4)
    image.to_filename(tmp_path / "q.nii")
    header = read_nifti_header([tmp_path / "q.nii"])
    np.testing.assert_allclose(header.grid.spacing(), (5.0, 0.5, 0.5))
    assert (header.extra["qform_code"], header.extra["sform_code"]) == (1, 4)


def test_slope_is_kept_beside_the_stored_numbers(write_volume) -> None:
    data = voxels(dtype="uint8")
    header = read_nifti_header([write_volume(data, slope=(2.5, -1024))])
    assert (header.bands[0].scale, header.bands[0].offset) == (2.5, -1024)
    np.testing.assert_array_equal(whole(header)[0][0], data.T)
    plain = read_nifti_header([write_volume(data, slope=(0, 7))])
    assert (plain.bands[0].scale, plain.bands[0].offset) == (1.0, 0.0)


def test_nan_and_the_users_nodata_are_invalid(write_volume) -> None:
    data = voxels(dtype="float32")
    data[1, 2, 3] = np.nan
    header = read_nifti_header([write_volume(data)], nodata=5)
    assert header.nodata == "tag"
    np.testing.assert_array_equal(whole(header)[1][0], (np.isfinite(data) & (data != 5)).T)
    assert read_nifti_header([write_volume(data)]).nodata == "nan"
    assert read_nifti_header([write_volume(voxels())]).nodata == "none"


def test_one_volume_of_four_axes_and_a_slice(write_volume) -> None:
    data = voxels()
    assert read_nifti_header([write_volume(data[..., None])]).grid.shape == (5, 6, 7)
    assert read_nifti_header([write_volume(data[..., :1])]).grid.shape == (1, 6, 7)
    flat = read_nifti_header([write_volume(data[..., 0])])
    assert flat.grid.shape == (1, 6, 7)
    np.testing.assert_array_equal(whole(flat)[0][0, 0], data[..., 0].T)


def test_version_2(write_volume) -> None:
    header = read_nifti_header([write_volume(voxels(), kind=nibabel.Nifti2Image)])
    assert header.extra["version"] == 2
    np.testing.assert_array_equal(whole(header)[0][0], voxels().T)


def test_flags(write_volume, tmp_path: Path) -> None:
    path = write_volume(voxels(), descrip=b"somebody", intent_code=1002)
    flags = read_nifti_header([path]).flags
    assert "dropped text of the header, which may name a patient" in flags
    assert any(flag.startswith("band 1: categorical (classes), each SR pixel is the LR pixel") for flag in flags)
    image = nibabel.Nifti1Image(voxels(), None)
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"somebody"))
    image.to_filename(tmp_path / "e.nii")
    flags = read_nifti_header([tmp_path / "e.nii"]).flags
    assert "dropped header extensions" in flags
    assumed = "placed by its voxel sizes alone (1 x 1 x 1); assumed are i from right to left, j to the front, k up"
    assert any(assumed in flag for flag in flags)


class Watched:
    """An SR of many slices in shards of four, that knows how many of the slabs that it gave are still held."""

    shape, shards = (1, 40, 6, 6), (1, 4, 6, 6)

    def __init__(self) -> None:
        self.given: list[weakref.ref[np.ndarray]] = []
        self.most = 0

    def __getitem__(self, where: tuple[Any, ...]) -> np.ndarray:
        self.most = max(self.most, sum(one() is not None for one in self.given))
        slab = np.zeros((where[1].stop - where[1].start, 6, 6), np.int16)
        self.given.append(weakref.ref(slab))
        return slab


def test_one_slab_is_gone_before_the_next_is_read(tmp_path: Path, write_volume) -> None:
    header, sr = read_nifti_header([write_volume(np.zeros((3, 3, 20), np.int16))]), Watched()
    write_nifti(tmp_path / "sr.nii", header, (2, 2, 2), sr)
    verify_nifti(tmp_path / "sr.nii", header, (2, 2, 2), sr)
    assert (len(sr.given), sr.most) == (20, 0)


# ---- refused ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.zeros((4, 4, 4, 3), "int16"), "more than one volume; found 3 of them; name one, from 1: --volume Volume=1"),
        (np.zeros((4, 4, 4, 1, 2), "int16"), "more than one volume; found 2 of them"),
        (np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")]), "colour voxels"),
        (np.zeros((4, 4, 4), "complex64"), "unknown voxel type; found complex64"),
        (np.zeros((4, 4, 4), "int64"), "unknown voxel type; found int64"),
    ],
)
def test_not_one_volume_of_real_numbers(write_volume, data: np.ndarray, message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_nifti_header([write_volume(data)])
    assert "\n" not in str(caught.value)


def test_not_nifti(tmp_path: Path) -> None:
    (tmp_path / "v.nii").write_bytes(b"II*\0" + bytes(600))
    with pytest.raises(SourceError, match="not a file that srcore reads; found a raster under another name"):
        read_nifti_header([tmp_path / "v.nii"])
    nibabel.Nifti1Pair(voxels(), np.eye(4)).to_filename(tmp_path / "p.hdr")
    with pytest.raises(SourceError, match=r"pair of \.hdr and \.img"):
        read_nifti_header([tmp_path / "p.hdr"])


def test_number_of_files_and_names(write_volume) -> None:
    path = write_volume(voxels())
    with pytest.raises(SourceError, match="a volume is one file"):
        read_nifti_header([path, path])
    with pytest.raises(SourceError, match="a volume has one band"):
        read_nifti_header([path], bands=["a", "b"])
    with pytest.raises(SourceError, match=r"nodata 0\.5 does not fit"):
        read_nifti_header([path], nodata=0.5)
    with pytest.raises(SourceError, match="outside the folders"):
        read_nifti_header([path], roots=[path.parent / "other"])


def test_an_affine_without_volume(write_volume) -> None:
    path = write_volume(voxels(), name="v.nii")
    data = bytearray(path.read_bytes())
    data[280:328] = bytes(48)
    path.write_bytes(data)
    with pytest.raises(GridError, match="affine cannot be kept"):
        read_nifti_header([path])


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_cut_files(write_volume, name: str) -> None:
    noise = np.random.default_rng(0).integers(0, 4000, (30, 40, 20)).astype("int16")
    path = write_volume(noise, name=name)
    data = path.read_bytes()
    for end in (1, 30, len(data) // 10, len(data) // 2, len(data) * 99 // 100, len(data) - 1):
        path.write_bytes(data[:end])
        with pytest.raises(SourceError) as caught:
            read_nifti_header([path])
        assert caught.value.code in ("TRUNCATED", "DAMAGED", "NOT_SUPPORTED")
        assert caught.value.code == "TRUNCATED" or end < 100


def test_a_wrong_checksum(write_volume) -> None:
    path = write_volume(np.random.default_rng(0).integers(0, 4000, (30, 40, 20)).astype("int16"))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught, open_nifti(read_nifti_header([path])):
        pass
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)


def test_members_and_tails(write_volume) -> None:
    """gzip files in several members are whole; a tail of zeros is ignored, one that goes on and on is refused."""
    path = write_volume(voxels())
    data = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(data[:400]) + gzip.compress(data[400:]) + gzip.compress(b""))
    np.testing.assert_array_equal(whole(read_nifti_header([path]))[0][0], voxels().T)
    path.write_bytes(gzip.compress(data + bytes(2**22)))
    with pytest.raises(SourceError, match="more than its header declares"):
        read_nifti_header([path])


def test_a_header_that_declares_the_moon(write_volume) -> None:
    path = write_volume(voxels(), name="v.nii")
    data = bytearray(path.read_bytes())
    data[40:56] = np.array([3, 30000, 30000, 30000, 1, 1, 1, 1], "<i2").tobytes()
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_nifti_header([path])
    assert caught.value.code == "TOO_LARGE"
    data[40:56] = np.array([3, 3000, 3000, 3000, 1, 1, 1, 1], "<i2").tobytes()
    path.write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_nifti_header([path])
    assert caught.value.code == "TRUNCATED"


@pytest.mark.parametrize("offset", [np.nan, -1.0, 10.0, 1e30, np.inf])
def test_an_offset_that_is_none(write_volume, offset: float) -> None:
    path = write_volume(voxels(), name="v.nii")
    data = bytearray(path.read_bytes())
    data[108:112] = np.array(offset, "<f4").tobytes()
    path.write_bytes(data)
    with pytest.raises(SourceError):
        read_nifti_header([path])


def test_no_byte_of_a_header_breaks_the_reader(write_volume) -> None:
    """Any damage is a SourceError or GridError, or harmless; never another exception, never memory without end."""
    path = write_volume(voxels(), name="v.nii")
    data = path.read_bytes()
    outcomes = {"read": 0, "refused": 0}
    for position in range(348):
        for value in (0x00, 0xFF):
            damaged = bytearray(data)
            damaged[position] = value
            path.write_bytes(damaged)
            try:
                header = read_nifti_header([path])
                whole(header)
                outcomes["read"] += 1
            except (SourceError, GridError):
                outcomes["refused"] += 1
    assert outcomes["refused"] > 20
    assert sum(outcomes.values()) == 348 * 2


def test_a_file_that_changes_after_the_plan(write_volume) -> None:
    header = read_nifti_header([write_volume(voxels())])
    write_volume(voxels((7, 6, 4)))
    with pytest.raises(SourceError) as caught, open_nifti(header):
        pass
    assert caught.value.code == "SOURCE_CHANGED"


# ---- out --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["sr.nii", "sr.nii.gz"])
@pytest.mark.parametrize("scale", [(1, 2, 2), (2, 2, 2), (5, 1, 1), (1, 1, 1), (3, 2, 1)])
@pytest.mark.parametrize("affine", AFFINES.values(), ids=AFFINES)
def test_the_outer_edge_stays(write_volume, tmp_path: Path, affine: np.ndarray, scale, name: str) -> None:
    header = read_nifti_header([write_volume(voxels(), affine)])
    sr = magnified(header, scale)
    write_nifti(tmp_path / name, header, scale, sr)
    verify_nifti(tmp_path / name, header, scale, sr)
    again = read_nifti_header([tmp_path / name])
    np.testing.assert_allclose(again.grid.bounds(), header.grid.bounds(), rtol=1e-6, atol=1e-5)
    image = nibabel.load(tmp_path / name)
    np.testing.assert_array_equal(np.asanyarray(image.dataobj).T, sr[0])
    # The LR voxel (i, j, k) lies at the mean of its SR voxels' centres.
    first = image.affine @ ((scale[2] - 1) / 2, (scale[1] - 1) / 2, (scale[0] - 1) / 2, 1)
    np.testing.assert_allclose(first[:3], affine[:3, 3], atol=1e-4)


def test_both_affines_codes_and_numbers_are_kept(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), None)
    image.set_qform(AFFINES["oblique"], 1)
    image.set_sform(AFFINES["LPS"], 4)
    image.header.set_xyzt_units("mm", "sec")
    image.header["cal_max"], image.header["dim_info"], image.header["intent_code"] = 300, 57, 1001
    image.to_filename(tmp_path / "v.nii")
    header = read_nifti_header([tmp_path / "v.nii"])
    write_nifti(tmp_path / "sr.nii", header, (2, 2, 2), magnified(header, (2, 2, 2)))
    written = nibabel.load(tmp_path / "sr.nii").header
    assert (int(written["qform_code"]), int(written["sform_code"])) == (1, 4)
    assert written.get_xyzt_units() == ("mm", "sec")
    assert (float(written["cal_max"]), int(written["dim_info"]), int(written["intent_code"])) == (300, 57, 1001)
    for affine, got in ((AFFINES["oblique"], written.get_qform()), (AFFINES["LPS"], written.get_sform())):
        np.testing.assert_allclose(got[:3, :3], affine[:3, :3] / 2, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose((got @ (0.5, 0.5, 0.5, 1))[:3], affine[:3, 3], rtol=1e-5)


def test_a_volume_without_affine_stays_in_its_middle(tmp_path: Path) -> None:
    nibabel.Nifti1Image(voxels(), None).to_filename(tmp_path / "v.nii")
    header = read_nifti_header([tmp_path / "v.nii"])
    sr = magnified(header, (1, 2, 2))
    write_nifti(tmp_path / "sr.nii", header, (1, 2, 2), sr)
    verify_nifti(tmp_path / "sr.nii", header, (1, 2, 2), sr)


def test_slope_and_type_are_written_back(write_volume, tmp_path: Path) -> None:
    for dtype in ("uint8", "uint16", "int32", "float32", "float64"):
        header = read_nifti_header([write_volume(voxels(dtype=dtype), slope=(2.5, -1024))])
        sr = magnified(header, (1, 2, 2))
        write_nifti(tmp_path / "sr.nii.gz", header, (1, 2, 2), sr)
        image = nibabel.load(tmp_path / "sr.nii.gz")
        assert image.get_data_dtype() == np.dtype(dtype)
        np.testing.assert_allclose(image.get_fdata().T, sr[0] * 2.5 - 1024)


def test_no_text_of_the_source_is_in_the_product(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), np.eye(4))
    for field in ("descrip", "aux_file", "db_name", "intent_name"):
        image.header[field] = b"somebody"
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"somebody"))
    image.to_filename(tmp_path / "v.nii")
    header = read_nifti_header([tmp_path / "v.nii"])
    np.testing.assert_array_equal(whole(header)[0][0], voxels().T)
    write_nifti(tmp_path / "sr.nii", header, (1, 2, 2), magnified(header, (1, 2, 2)))
    assert b"somebody" not in (tmp_path / "sr.nii").read_bytes()
    assert "somebody" not in json.dumps({**header.to_json(), "flags": []})


def test_the_same_volume_gives_the_same_bytes(write_volume, tmp_path: Path) -> None:
    header = read_nifti_header([write_volume(voxels())])
    sr = magnified(header, (1, 2, 2))
    for name in ("a.nii.gz", "b.nii.gz"):
        write_nifti(tmp_path / name, header, (1, 2, 2), sr)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()


def test_from_zarr_slab_by_slab(write_volume, tmp_path: Path) -> None:
    header = read_nifti_header([write_volume(voxels((20, 18, 11)))])
    sr = magnified(header, (1, 2, 2))
    stored = zarr.create_array(
        tmp_path / "sr.zarr", shape=sr.shape, dtype=sr.dtype, chunks=(1, 2, 9, 10), shards=(1, 4, 18, 20)
    )
    stored[:] = sr
    steps: list[tuple[int, int]] = []
    write_nifti(tmp_path / "sr.nii.gz", header, (1, 2, 2), stored, lambda done, total: steps.append((done, total)))
    verify_nifti(tmp_path / "sr.nii.gz", header, (1, 2, 2), stored)
    assert steps == [(4, 11), (8, 11), (11, 11)]


def test_a_long_axis_is_written_as_version_2(write_volume, tmp_path: Path) -> None:
    header = read_nifti_header([write_volume(voxels((20000, 1, 1)))])
    sr = magnified(header, (1, 1, 2))
    write_nifti(tmp_path / "sr.nii", header, (1, 1, 2), sr)
    verify_nifti(tmp_path / "sr.nii", header, (1, 1, 2), sr)
    assert isinstance(nibabel.load(tmp_path / "sr.nii"), nibabel.Nifti2Image)


@pytest.mark.parametrize("name", ["sr.nii", "sr.nii.gz"])
def test_verify_finds_what_differs(write_volume, tmp_path: Path, name: str) -> None:
    header = read_nifti_header([write_volume(voxels())])
    scale = (1, 2, 2)
    sr, path = magnified(header, scale), tmp_path / name
    write_nifti(path, header, scale, sr)
    other = sr.copy()
    other[0, 4, 11, 13] += 1
    with pytest.raises(StoreError, match="other voxels in slices"):
        verify_nifti(path, header, scale, other)
    moved = read_nifti_header([write_volume(voxels(), AFFINES["LPS"], "moved.nii")])
    with pytest.raises(StoreError, match="not where it should lie"):
        verify_nifti(path, moved, scale, sr)
    sloped = read_nifti_header([write_volume(voxels(), name="sloped.nii", slope=(2, 0))])
    with pytest.raises(StoreError, match="not the numbers"):
        verify_nifti(path, sloped, scale, sr)
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(StoreError, match="cannot be read back"):
        verify_nifti(path, header, scale, sr)
    with pytest.raises(StoreError, match="cannot be read back"):
        verify_nifti(tmp_path / "missing.nii", header, scale, sr)


def test_a_full_disk_is_a_store_error(write_volume) -> None:
    header = read_nifti_header([write_volume(voxels())])
    with pytest.raises(StoreError, match="disk is full"):
        write_nifti(Path("/dev/full"), header, (1, 2, 2), magnified(header, (1, 2, 2)))


# ---- real volumes -----------------------------------------------------------------------------------------------


def test_real_volumes(shared_data: Path, tmp_path: Path) -> None:
    paths = sorted((shared_data / "data" / "medical").rglob("*.nii.gz"))
    assert paths
    for path in paths:
        header = read_nifti_header([path])
        image = nibabel.load(path)
        values = whole(header)[0]
        band = header.bands[0]
        np.testing.assert_allclose(values[0] * band.scale + band.offset, image.get_fdata().T, atol=1e-3)
        sr = values.repeat(2, 3)
        write_nifti(tmp_path / "sr.nii", header, (1, 1, 2), sr)
        verify_nifti(tmp_path / "sr.nii", header, (1, 1, 2), sr)


@pytest.mark.parametrize("scale", [(1, 1, 1), (2, 2, 2), (5, 1, 1)])
def test_a_header_of_another_format_is_writable(write_volume, tmp_path: Path, scale: tuple[int, int, int]) -> None:
    """A format needs no NIfTI in its headers for its products to be NIfTI: where it lies is in the grid."""
    header = read_nifti_header([write_volume(voxels(), placed(np.diag([0.7, 0.8, 3.0])))])
    foreign = replace(header, format="dicom", extra={})
    sr = magnified(header, scale)
    write_nifti(tmp_path / "sr.nii.gz", foreign, scale, sr)
    verify_nifti(tmp_path / "sr.nii.gz", foreign, scale, sr)
    written = read_nifti_header([tmp_path / "sr.nii.gz"])
    assert np.abs(np.subtract(written.grid.bounds(), header.grid.scaled(scale).bounds())).max() < 1e-4
    assert np.allclose(nibabel.load(tmp_path / "sr.nii.gz").header.get_zooms(), np.array([0.7, 0.8, 3.0]) / scale[::-1])


@pytest.mark.parametrize("end", [348, 400, 539])
def test_a_header_of_version_2_that_ends_early_is_cut_short(tmp_path: Path, end: int) -> None:
    path = tmp_path / "v.nii"
    nibabel.save(nibabel.Nifti2Image(np.zeros((4, 5, 6), np.int16), np.eye(4)), path)
    path.write_bytes(path.read_bytes()[:end])
    with pytest.raises(SourceError) as caught:
        read_nifti_header([path])
    assert caught.value.code == "TRUNCATED"
