"""Where a volume says that it lies: what cannot be is refused, what is assumed is told, and slices are slices."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from srcore.errors import GridError, SourceError
from srcore.storage.header import Header
from srcore.storage.nifti.header import read_nifti_header
from srcore.storage.nifti.placing import shear, slices_first
from srcore.storage.nifti.volume import axes_of, in_file, open_nifti, verify_nifti, write_nifti


def voxels(shape: tuple[int, ...] = (7, 6, 5)) -> np.ndarray:
    return (np.arange(np.prod(shape)) % 120).reshape(shape).astype("int16")


def placed(steps: tuple[float, float, float], shear_by: float = 0.0) -> np.ndarray:
    affine = np.diag([*steps, 1.0])
    affine[0, 1] = shear_by * steps[1]
    affine[:3, 3] = (-9.0, 4.0, 2.5)
    return affine


def saved(path: Path, data: np.ndarray, affine: np.ndarray | None, codes: tuple[int, int], **fields: Any) -> Path:
    """A volume with qform and sform codes, and fields of its header that nibabel would mend."""
    image = nibabel.Nifti1Image(data, affine, dtype=data.dtype)
    if affine is not None:
        image.set_qform(affine if codes[0] else None, code=codes[0], strip_shears=True)
        image.set_sform(affine if codes[1] else None, code=codes[1])
    image.to_filename(path)
    raw = bytearray(path.read_bytes())
    if "pixdim" in fields:
        raw[80:92] = np.array(fields["pixdim"], "<f4").tobytes()
    path.write_bytes(raw)
    return path


@pytest.mark.parametrize(
    "sizes", [(0, 0, 0), (0, 1, 1), (-0.8, 0.9, 2.5), (0.8, 0.9, -2.5), (np.nan, 1, 1), (np.inf, 1, 1)]
)
@pytest.mark.parametrize("code", [0, 1])
def test_sizes_that_place_and_cannot_be_are_refused(tmp_path: Path, sizes: tuple[float, ...], code: int) -> None:
    path = saved(tmp_path / "v.nii", voxels(), placed((0.8, 0.9, 2.5)), (code, 0), pixdim=sizes)
    with pytest.raises(GridError, match="voxel sizes cannot be"):
        read_nifti_header([path])


def test_with_an_sform_such_sizes_are_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.nii", voxels(), placed((0.8, 0.9, 2.5)), (0, 2), pixdim=(0, 0.9, 2.5))
    header = read_nifti_header([path])
    assert np.allclose(header.grid.spacing(), (2.5, 0.9, 0.8))
    assert "its voxel sizes (0 x 0.9 x 2.5) cannot be: those of the sform are used" in header.flags


def test_what_is_assumed_without_a_place_is_told(tmp_path: Path) -> None:
    path = saved(tmp_path / "v.nii", voxels(), None, (0, 0), pixdim=(0.8, 0.9, 2.5))
    flags = read_nifti_header([path]).flags
    assert any("voxel sizes alone (0.8 x 0.9 x 2.5); assumed are i from right to left" in flag for flag in flags)


@pytest.mark.parametrize(("by", "told"), [(0.0, False), (1e-5, False), (0.05, True), (0.3, True)])
def test_sheared_axes_are_told(tmp_path: Path, by: float, told: bool) -> None:
    affine = placed((0.8, 0.9, 2.5), by)
    flags = read_nifti_header([saved(tmp_path / "v.nii", voxels(), affine, (0, 4))]).flags
    assert any("sheared by" in flag for flag in flags) == told
    assert shear(affine) == pytest.approx(by / np.hypot(1, by), abs=1e-9)


def test_two_places_that_differ_are_told(tmp_path: Path) -> None:
    image = nibabel.Nifti1Image(voxels(), placed((1, 1, 1)))
    image.set_qform(placed((1, 1, 1)), code=1)
    image.set_sform(placed((1, 1, 1)), code=1)
    image.to_filename(tmp_path / "same.nii")
    moved = placed((1, 1, 1))
    moved[2, 3] += 3
    image.set_sform(moved, code=1)
    image.to_filename(tmp_path / "moved.nii")
    told = "qform and sform place it differently: the sform is used, and both are kept"
    assert told not in read_nifti_header([tmp_path / "same.nii"]).flags
    assert told in read_nifti_header([tmp_path / "moved.nii"]).flags


def test_one_volume_in_four_axes_is_told(tmp_path: Path) -> None:
    header = read_nifti_header([saved(tmp_path / "v.nii", voxels()[..., None], placed((1, 1, 1)), (0, 1))])
    assert header.grid.shape == (5, 6, 7)
    assert "4-D with one volume: read as 3-D, and so is the product" in header.flags


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
def test_one_of_several_volumes_is_read_by_its_number(tmp_path: Path, name: str) -> None:
    several = np.stack([voxels(), voxels() + 500, voxels() - 500], axis=3)
    path = saved(tmp_path / name, several, placed((1, 1, 2.5)), (0, 1)) if name == "v.nii" else tmp_path / name
    if name == "v.nii.gz":
        nibabel.Nifti1Image(several, placed((1, 1, 2.5))).to_filename(path)
    for place in range(3):
        header = read_nifti_header([path], volume=f"Volume={place + 1}")
        assert f"volume {place + 1} of 3: the others are left out" in header.flags
        assert np.array_equal(whole(header), several[..., place].T)
        write_nifti(tmp_path / "one.nii", header, (1, 1, 1), whole(header)[None])
        verify_nifti(tmp_path / "one.nii", header, (1, 1, 1), whole(header)[None])
        assert nibabel.load(tmp_path / "one.nii").shape == (7, 6, 5)
    for wrong in ("Volume=0", "Volume=4", "Volume=1.5", "EchoTime=30"):
        with pytest.raises(SourceError, match="name one of its 3 volumes, from 1") as raised:
            read_nifti_header([path], volume=wrong)
        assert raised.value.code == "BAD_SETTING"
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(SourceError) as raised:
        read_nifti_header([path], volume="Volume=1")
    assert raised.value.code == "TRUNCATED", "all of the file is proved, whichever volume is read"


@pytest.mark.parametrize(("unit", "times"), [("meter", 1e-3), ("micron", 1e3), ("mm", 1), ("unknown", 1)])
def test_a_header_in_another_unit_is_read_in_mm_and_written_as_it_came(tmp_path: Path, unit: str, times: float) -> None:
    image = nibabel.Nifti1Image(voxels(), np.diag([0.8 * times, 0.9 * times, 2.5 * times, 1]))
    image.header.set_xyzt_units(unit)
    image.to_filename(tmp_path / "v.nii")
    header = read_nifti_header([tmp_path / "v.nii"])
    assert np.allclose(header.grid.spacing(), (2.5, 0.9, 0.8))
    assert any("told here in mm" in flag for flag in header.flags) == (times != 1)
    sr = np.zeros((1, *header.grid.scaled((1, 2, 2)).shape), "int16")
    write_nifti(tmp_path / "sr.nii", header, (1, 2, 2), sr)
    verify_nifti(tmp_path / "sr.nii", header, (1, 2, 2), sr)
    written = nibabel.load(tmp_path / "sr.nii").header
    assert written.get_xyzt_units()[0] == unit
    assert np.allclose(written.get_zooms(), (0.4 * times, 0.45 * times, 2.5 * times))


@pytest.mark.parametrize("step", [1e-6, 1e4])
def test_voxels_that_no_scan_has_are_refused(tmp_path: Path, step: float) -> None:
    with pytest.raises(GridError, match="no scan has voxels of that size"):
        read_nifti_header([saved(tmp_path / "v.nii", voxels(), placed((1, 1, step)), (0, 1))])


# ---- slices --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "expected"),
    [
        ((0.8, 0.9, 2.5), (0, 1, 2)),
        ((1.0, 1.0, 1.0), (0, 1, 2)),
        ((1.2, 1.0, 1.0), (0, 1, 2)),
        ((2.5, 0.8, 0.9), (2, 0, 1)),
        ((0.8, 2.5, 0.9), (1, 0, 2)),
        ((3.0, 3.0, 1.0), (0, 1, 2)),
    ],
)
def test_slices_lie_along_the_coarse_axis(steps: tuple[float, float, float], expected: tuple[int, ...]) -> None:
    assert slices_first(placed(steps)) == expected


@pytest.mark.parametrize(("named", "expected"), [(0, (2, 0, 1)), (1, (1, 0, 2)), (2, (0, 1, 2)), (None, (0, 1, 2))])
def test_where_none_is_coarse_along_the_one_that_the_header_names(
    tmp_path: Path, named: int | None, expected: tuple[int, ...]
) -> None:
    image = nibabel.Nifti1Image(voxels(), placed((1, 1, 1.2)))
    image.header.set_dim_info(slice=named)
    image.to_filename(tmp_path / "v.nii")
    assert axes_of(read_nifti_header([tmp_path / "v.nii"])) == expected
    assert slices_first(placed((0.8, 0.9, 2.5)), named) == (0, 1, 2), "what is coarse counts first"


def whole(header: Header) -> np.ndarray:
    with open_nifti(header) as reader:
        return np.asarray(reader.read(tuple(slice(0, n) for n in header.grid.shape))[0][0])


@pytest.mark.parametrize("name", ["v.nii", "v.nii.gz"])
@pytest.mark.parametrize("steps", [(2.5, 0.8, 0.9), (0.8, 2.5, 0.9), (0.8, 0.9, 2.5)])
@pytest.mark.parametrize("scale", [(2, 2, 2), (1, 2, 3)])
def test_slices_come_first_and_the_file_stays_as_it_came(
    tmp_path: Path, name: str, steps: tuple[float, float, float], scale: tuple[int, int, int]
) -> None:
    data, affine = voxels(), placed(steps)
    nibabel.Nifti1Image(data, affine, dtype=data.dtype).to_filename(tmp_path / name)
    header = read_nifti_header([tmp_path / name])
    axes = axes_of(header)
    assert header.grid.spacing()[0] == pytest.approx(2.5)
    np.testing.assert_array_equal(whole(header), data.T.transpose(axes))
    window = (slice(1, 3), slice(2, 5), slice(1, 4))
    with open_nifti(header) as reader:
        np.testing.assert_array_equal(reader.read(window)[0][0], data.T.transpose(axes)[window])
    for index in np.ndindex(2, 2, 2):  # the corners lie where they lay
        corner = [i * n for i, n in zip(index, header.grid.shape, strict=True)]
        file = np.array(in_file(corner, axes)[::-1], float) - 0.5
        assert np.allclose(header.grid.to_world(corner), (affine @ [*file, 1])[:3])
    sr = whole(header)[None].repeat(scale[0], 1).repeat(scale[1], 2).repeat(scale[2], 3)
    write_nifti(tmp_path / f"sr-{name}", header, scale, sr)
    verify_nifti(tmp_path / f"sr-{name}", header, scale, sr)
    product = nibabel.load(tmp_path / f"sr-{name}")
    i, j, k = in_file(scale, axes)[::-1]
    np.testing.assert_array_equal(product.get_fdata(), data.repeat(i, 0).repeat(j, 1).repeat(k, 2))
    assert np.allclose(product.affine @ [-0.5, -0.5, -0.5, 1], affine @ [-0.5, -0.5, -0.5, 1], atol=1e-4)
    assert np.allclose(product.affine[:3, :3] * [i, j, k], affine[:3, :3], atol=1e-5)


# ---- padding -------------------------------------------------------------------------------------


def ct(padding: float, noise: bool = False, dtype: str = "int16") -> np.ndarray:
    rng = np.random.default_rng(4)
    data = rng.integers(-1000, 1200, (20, 18, 9)).astype(dtype)
    data[:4, :, :] = padding
    if noise:
        data[0, 0, 0] = -1500
    return data


@pytest.mark.parametrize(("padding", "noise", "expected"), [
    (-2000, False, -2000.0), (-3024, False, -3024.0), (-32768, False, -32768.0),
    (-1024, False, None), (-1000, False, None), (-2000, True, None),
])  # fmt: skip
def test_padding_of_ct_is_nodata(tmp_path: Path, padding: int, noise: bool, expected: float | None) -> None:
    path = saved(tmp_path / "v.nii", ct(padding, noise), placed((1, 1, 1)), (0, 1))
    header = read_nifti_header([path])
    assert header.bands[0].nodata == expected
    assert any("less than CT measures" in flag for flag in header.flags) == (expected is not None)
    with open_nifti(header) as reader:
        values, valid = reader.read(tuple(slice(0, n) for n in header.grid.shape))
    np.testing.assert_array_equal(valid, values != expected if expected is not None else np.ones_like(valid))
    assert read_nifti_header([path], nodata=7).bands[0].nodata == 7


@pytest.mark.parametrize(
    ("name", "flag"),
    [
        ("07_shear_sform.nii.gz", "its axes are sheared by 13 degrees: ITK opens neither the source nor the product"),
        ("53_extension.nii.gz", "dropped header extensions"),
        ("65_4d_t1.nii", "4-D with one volume: read as 3-D, and so is the product"),
        ("81_ct_padding_-2000.nii.gz",
         "-2000 is less than CT measures, and the one such number: padding, nodata in the product"),
        ("85_pixdim_zero.nii.gz", None),
        ("87_pixdim_neg.nii.gz", None),
        ("99_slices_on_i.nii.gz", "its slices lie along i: worked on as slices, and written as it came"),
    ],
)  # fmt: skip
def test_cases_of_users(shared_data: Path, name: str, flag: str | None) -> None:
    path = shared_data / "cases" / "medical" / name
    if not path.exists():
        pytest.skip(f"{name} is not there")
    if flag is None:
        with pytest.raises(GridError, match="voxel sizes cannot be"):
            read_nifti_header([path])
    else:
        assert flag in read_nifti_header([path]).flags
