"""A DICOM series as a volume: its numbers, where they lie, and that few slices are held at a time."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.uid import DeflatedExplicitVRLittleEndian, ExplicitVRBigEndian

from srcore.errors import SourceError
from srcore.storage.dicom import reader as reading
from srcore.storage.dicom.files import checked_files
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.series import MR_CLASS, PATIENT, dataset, numbers, save, write_enhanced, write_series

WHOLE = slice(None)


def _all(header: Header) -> np.ndarray:
    with open_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))[0][0]


def test_numbers_and_places_are_those_of_the_files(tmp_path: Path) -> None:
    header = read_header([write_series(tmp_path)])
    assert (header.format, header.kind, header.dtype, header.grid.shape) == ("dicom", "volume", "int16", (6, 10, 8))
    assert np.array_equal(_all(header), numbers())
    assert (header.bands[0].scale, header.bands[0].offset, header.bands[0].unit) == (1.0, -1024.0, "HU")
    assert header.grid.spacing() == pytest.approx((2.5, 0.75, 0.5))
    # the centre of voxel (2, 3, 4): LPS (-20 + 4 * 0.5, 30 + 3 * 0.75, 105), and RAS has the first two the other way
    assert header.grid.to_world((2.5, 3.5, 4.5)) == pytest.approx((18.0, -32.25, 105.0))


def test_a_window_is_that_part_of_the_whole(tmp_path: Path) -> None:
    header = read_header([write_series(tmp_path)])
    with open_scene(header) as reader:
        values, valid = reader.read((slice(1, 4), slice(2, 9), slice(3, 5)))
    assert np.array_equal(values[0], numbers()[1:4, 2:9, 3:5])
    assert valid.all()


def test_few_slices_are_held_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = numbers(12)
    monkeypatch.setattr(reading, "KEPT_BYTES", 3 * values[0].nbytes)
    header = read_header([write_series(tmp_path, values)])
    with open_scene(header) as reader:
        for place in (*range(12), 0):
            assert np.array_equal(
                reader.read((slice(place, place + 1), slice(0, 10), slice(0, 8)))[0][0, 0], values[place]
            )
            assert len(reader._kept) <= 3


def test_slices_from_head_to_feet_give_the_same_volume(tmp_path: Path) -> None:
    up = read_header([write_series(tmp_path / "up")])
    down = [100.0 + 2.5 * (5 - place) for place in range(6)]
    other = write_series(tmp_path / "down", numbers()[::-1], ImagePositionPatient=lambda i: [-20.0, 30.0, down[i]])
    header = read_header([other])
    assert header.grid == up.grid
    assert np.array_equal(_all(header), numbers())


def test_an_oblique_series_lies_where_simpleitk_and_highdicom_put_it(shared_data: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (extra: dev)")
    folder = shared_data / "data/medical/dicom_series_mr_t1"
    header = read_header([folder])
    judge = sitk.ImageSeriesReader()
    judge.SetFileNames(judge.GetGDCMSeriesFileNames(str(folder)))
    image = judge.Execute()
    theirs, ours = sitk.GetArrayFromImage(image), _all(header)
    rng = np.random.default_rng(0)
    apart, other = 0.0, 0
    for z, y, x in rng.integers(0, header.grid.shape, (1000, 3)).tolist():
        right, front, head = header.grid.to_world((z + 0.5, y + 0.5, x + 0.5))
        index = image.TransformPhysicalPointToContinuousIndex((-right, -front, head))
        i, j, k = (round(one) for one in index)
        apart = max(apart, *(abs(one - whole) for one, whole in zip(index, (i, j, k), strict=True)))
        other += int(theirs[k, j, i] != ours[z, y, x])
    assert other == 0
    # of a voxel: the header's positions are rounded to 1e-4 mm, and ITK takes the step from two of them
    assert apart < 2e-3
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (extra: dev)")
    volume = highdicom.get_volume_from_series([pydicom.dcmread(one) for one in sorted(folder.iterdir())])
    back = volume.affine[:3, 0] @ (header.grid.matrix[:, 0] * [-1, -1, 1]) < 0
    for z, y, x in ((0, 0, 0), (31, 383, 273)):
        right, front, head = header.grid.to_world((z + 0.5, y + 0.5, x + 0.5))
        theirs_mm = volume.affine @ [31 - z if back else z, y, x, 1]
        assert np.abs(theirs_mm[:3] - (-right, -front, head)).max() < 1e-2


def test_padding_is_nodata_and_a_range_of_it_too(tmp_path: Path) -> None:
    values = numbers()
    values[0, 0, :3] = (-2000, -1990, -1980)
    one = read_header([write_series(tmp_path / "one", values, PixelPaddingValue=-2000)])
    with open_scene(one) as reader:
        assert reader.read((slice(0, 1), slice(0, 1), slice(0, 4)))[1].tolist() == [[[[False, True, True, True]]]]
    assert one.bands[0].nodata == -2000
    many = read_header([write_series(tmp_path / "many", values, PixelPaddingValue=-2000, PixelPaddingRangeLimit=-1990)])
    with open_scene(many) as reader:
        got, valid = reader.read((slice(0, 1), slice(0, 1), slice(0, 4)))
    assert valid.tolist() == [[[[False, False, True, True]]]]
    assert got[0, 0, 0, 1] == -2000


def test_padding_written_as_the_other_sign_is_understood(tmp_path: Path) -> None:
    header = read_header(
        [write_series(tmp_path, PixelPaddingValue=DataElement(0x00280120, "US", 63536))]
    )  # -2000 of a signed series, as US
    assert header.bands[0].nodata == -2000


def test_bits_above_those_stored_are_not_looked_at(tmp_path: Path) -> None:
    low = (numbers(3) - 300).astype(np.int16)
    dirty = ((low.astype(np.int32) & 0x0FFF) | 0x5000).astype(np.uint16).view(np.int16)
    header = read_header([write_series(tmp_path, dirty, BitsStored=12, HighBit=11)])
    assert np.array_equal(_all(header), low)


def test_a_zip_is_read_where_it_lies(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, f"../{PATIENT}/{file.name}")  # a name that would lead elsewhere is never used
    header = read_header([packed])
    assert header.grid == read_header([folder]).grid
    assert np.array_equal(_all(header), numbers())
    assert PATIENT not in str(header.to_json())


def test_big_endian_and_files_without_a_preamble_are_read_and_said(tmp_path: Path) -> None:
    for place, plane in enumerate(numbers(3)):
        save(dataset(plane.byteswap(), place), tmp_path / "big" / str(place), ExplicitVRBigEndian)
        made = dataset(plane, place)
        (tmp_path / "bare").mkdir(exist_ok=True)
        pydicom.dcmwrite(tmp_path / "bare" / str(place), made, implicit_vr=True, little_endian=True)
    big, bare = read_header([tmp_path / "big"]), read_header([tmp_path / "bare"])
    assert "big-endian, which the standard has retired" in big.flags
    assert np.array_equal(_all(big), numbers(3))
    assert np.array_equal(_all(bare), numbers(3))


def test_an_enhanced_file_is_the_series_of_its_frames(tmp_path: Path) -> None:
    values = numbers(4)
    header = read_header([write_enhanced(tmp_path / "enhanced.dcm", values)])
    assert header.grid.shape == (4, 10, 8)
    assert header.bands[0].offset == -1000
    assert np.array_equal(_all(header), values[::-1])
    assert header.grid.to_world((0.5, 0.5, 0.5)) == pytest.approx((20.0, -30.0, 92.5))


def test_the_header_of_a_run_holds_no_text_of_the_files(tmp_path: Path) -> None:
    header = read_header([write_series(tmp_path)])
    said = str({**header.to_json(), "bands": "", "beside": ""})
    assert PATIENT not in said
    assert "1.2.3" not in said
    assert Header.from_json(header.to_json()) == header


def test_mr_without_rescale_is_read_as_stored_and_said(tmp_path: Path) -> None:
    changes = {"SOPClassUID": MR_CLASS, "Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None}
    header = read_header([write_series(tmp_path, **changes)])
    assert (header.bands[0].scale, header.bands[0].offset, header.bands[0].unit) == (1.0, 0.0, None)
    assert "no rescale: numbers as stored" in header.flags


def test_a_link_out_of_the_roots_is_refused_without_a_name(tmp_path: Path) -> None:
    away = write_series(tmp_path / "away")
    folder = write_series(tmp_path / "in")
    (folder / "z.dcm").symlink_to(next(away.iterdir()))
    with pytest.raises(SourceError) as told:
        checked_files([folder], [folder])
    assert told.value.code == "OUTSIDE"
    assert PATIENT not in str(told.value)


def test_a_deflated_series_is_read(tmp_path: Path) -> None:
    for place, plane in enumerate(numbers(3)):
        save(dataset(plane, place), tmp_path / "deflated" / str(place), DeflatedExplicitVRLittleEndian)
    assert np.array_equal(_all(read_header([tmp_path / "deflated"])), numbers(3))


def test_a_zip_with_a_password_or_cut_short_is_refused_without_a_name(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "series")
    packed = tmp_path / "study.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(folder.iterdir()):
            archive.write(file, file.name)
    whole = packed.read_bytes()
    locked = bytearray(whole)
    for start in (b"PK\x03\x04", b"PK\x01\x02"):  # the flag of an encrypted entry, in both of its headers
        at = locked.find(start) + (6 if start == b"PK\x03\x04" else 8)
        locked[at] |= 1
    for data, code in ((bytes(locked), "NOT_SUPPORTED"), (whole[: len(whole) // 2], None)):
        packed.write_bytes(data)
        with pytest.raises(SourceError) as told:
            read_header([packed])
        assert code is None or told.value.code == code
        assert PATIENT not in str(told.value)
