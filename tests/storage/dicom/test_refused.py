"""What is no even, straight volume of one patient is refused in one line, with a code, and nothing of a patient."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom.encaps import encapsulate
from pydicom.uid import MPEG2MPML, HTJ2KLossless, JPEGExtended12Bit

from srcore.errors import SourceError
from srcore.storage.dicom.files import is_dicom
from srcore.storage.disk.veil import veiled
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.series import PATIENT, dataset, numbers, save, write_series


def refusal(folder: Path, **wishes: Any) -> SourceError:
    """The error, which is one line and names nobody."""
    with pytest.raises(SourceError) as told:
        read_header([folder], **wishes)
    text = str(told.value)
    assert "\n" not in text
    assert PATIENT not in text
    assert folder.name not in text
    return told.value


def _at(heights: list[float]) -> Callable[[int], list[float]]:
    return lambda place: [-20.0, 30.0, heights[place]]


CASES = {
    "missing": (
        {"ImagePositionPatient": _at([0, 2.5, 5, 12.5, 15, 17.5])},
        "SLICES_MISSING",
        "2 missing of 8, above height 5.00 mm, step 2.5 mm",
    ),
    "double": (
        {"ImagePositionPatient": _at([0, 2.5, 5, 5, 7.5, 10])},
        "SLICES_DOUBLE",
        "1 places with more than one, by height 5.00 mm, of 6 slices",
    ),
    "uneven": (
        {"ImagePositionPatient": _at([0, 2.5, 5, 7.5, 11, 14.5])},
        "SLICES_UNEVEN",
        "gaps: 3 of 2.5 mm, 2 of 3.5 mm",
    ),
    "tilted": (
        {"ImagePositionPatient": lambda i: [-20.0, 30.0 + 2.5 * i * np.tan(np.radians(15)), 2.5 * i]},
        "GANTRY_TILT",
        "15.0 degrees",
    ),
    "turned": (
        {"ImageOrientationPatient": lambda i: [1, 0, 0, 0, 0, -1] if i == 2 else [1, 0, 0, 0, 1, 0]},
        "SLICES_MIXED",
        "differ in orientation; found 2 kinds: 5 slices, 1 slices",
    ),
    "spacing": ({"PixelSpacing": lambda i: [0.75, 0.5 + 0.1 * (i > 3)]}, "SLICES_MIXED", "differ in pixel spacing"),
    "rescale": ({"RescaleIntercept": lambda i: -1024 + i // 5}, "SLICES_MIXED", "differ in rescale"),
    "places": ({"FrameOfReferenceUID": lambda i: f"1.2.{i // 3}"}, "SLICES_MIXED", "differ in frame of reference"),
    "nowhere": ({"ImagePositionPatient": None}, "NO_GEOMETRY", "no usable ImagePositionPatient in 6 of 6"),
    "skewed": ({"ImageOrientationPatient": [1, 0, 0, 0.5, 0.5, 0]}, "NO_GEOMETRY", "ImageOrientationPatient in 6"),
    "no rescale": ({"RescaleSlope": None, "RescaleIntercept": None}, "NO_RESCALE", "no Hounsfield units"),
    "slope 0": ({"RescaleSlope": 0}, "NO_RESCALE", "slope 0"),
    "no series": ({"SeriesInstanceUID": None}, "NO_SERIES", "6 of 6 slices"),
    "palette": ({"PhotometricInterpretation": "PALETTE COLOR"}, "NOT_SUPPORTED", "slices in a palette"),
    "localisers": ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, "NOT_SUPPORTED", "6 localiser"),
    "times": (
        {
            "ImagePositionPatient": lambda i: [-20.0, 30.0, 2.5 * (i // 2)],
            "TemporalPositionIdentifier": lambda i: i % 2 + 1,
        },
        "SEVERAL_VOLUMES",
        "2 at each of 3 places, by TemporalPositionIdentifier: 1, 2",
    ),
    "copies": (
        {"SOPInstanceUID": lambda i: f"1.2.9.{i // 2}"},
        "SLICES_DOUBLE",
        "3 of 6 slices have the SOPInstanceUID",
    ),
    "echoes side by side": (
        {"EchoNumbers": lambda i: i % 2 + 1},
        "SEVERAL_VOLUMES",
        "2 values of EchoNumbers: 3 of 1, 3 of 2; name one: --volume TAG=VALUE",
    ),
    "an echo of one slice": ({"EchoTime": lambda i: 30 + 60 * (i == 4)}, "SEVERAL_VOLUMES", "5 of 30, 1 of 90"),
    "phases side by side": (
        {"ComplexImageComponent": lambda i: "PHASE" if i % 2 else "MAGNITUDE"},
        "SEVERAL_VOLUMES",
        "2 values of ComplexImageComponent;",
    ),
    "a mosaic": ({"ImageType": ["ORIGINAL", "PRIMARY", "M", "MOSAIC"]}, "NOT_SUPPORTED", "a mosaic, in 6 of 6"),
    "spacing 0": ({"PixelSpacing": [0, 0.5]}, "NO_GEOMETRY", "no usable PixelSpacing in 6 of 6"),
    "spacing nan": (
        {"PixelSpacing": lambda i: [[0.75, 0.5], ["nan", 0.5]][i == 2]},
        "NO_GEOMETRY",
        "PixelSpacing in 1",
    ),
    "spacing inf": ({"PixelSpacing": ["inf", 0.5]}, "NO_GEOMETRY", "no usable PixelSpacing in 6 of 6"),
    "spacing of another unit": ({"PixelSpacing": [7.5e5, 5e5]}, "NO_GEOMETRY", "no usable PixelSpacing in 6 of 6"),
    "position nan": (
        {"ImagePositionPatient": lambda i: [0, 0, "nan" if i == 3 else 2.5 * i]},
        "NO_GEOMETRY",
        "ImagePositionPatient in 1 of 6",
    ),
    "slope nan": ({"RescaleSlope": "nan"}, "NO_RESCALE", "slope nan, intercept -1024 in 6 of 6"),
    "unpacked": ({"PatientID": lambda i: f"{PATIENT}{i // 4}"}, "TWO_PATIENTS", "4 slices of "),
}


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("name", CASES)
def test_the_diagnosis(tmp_path: Path, name: str) -> None:
    changes, code, said = CASES[name]
    error = refusal(write_series(tmp_path / f"{PATIENT}-folder", **changes))
    assert error.code == code
    assert said in str(error)


def test_two_patients_are_told_as_keyed_hashes(tmp_path: Path) -> None:
    error = refusal(write_series(tmp_path / "folder-of-two", PatientID=lambda i: f"{PATIENT}{i // 4}"))
    assert f"4 slices of {veiled(f'{PATIENT}0', 8)}, 2 slices of {veiled(f'{PATIENT}1', 8)}" in str(error)


def test_of_several_series_one_is_chosen_by_uid_or_by_its_name_in_the_list(tmp_path: Path) -> None:
    folder = tmp_path / "folder-of-many"
    write_series(folder / "a", numbers(3))
    write_series(folder / "b", numbers(5), SeriesInstanceUID="1.2.3.44", ImageOrientationPatient=[0, 1, 0, 0, 0, -1])
    # b's slices lie side by side along x
    write_series(
        folder / "b",
        numbers(5),
        SeriesInstanceUID="1.2.3.44",
        ImageOrientationPatient=[0, 1, 0, 0, 0, -1],
        ImagePositionPatient=lambda i: [4.0 * i, 0.0, 0.0],
    )
    error = refusal(folder)
    assert error.code == "SEVERAL_SERIES"
    assert f"{veiled('1.2.3.4', 8)}: CT axial, 3 slices every 2.5 mm" in str(error)
    assert f"{veiled('1.2.3.44', 8)}: CT sagittal, 5 slices every 4 mm" in str(error)
    assert "1.2.3.4" not in str(error)
    chosen = read_header([folder], series="1.2.3.44")
    assert chosen.grid == read_header([folder], series=veiled("1.2.3.44", 8)).grid
    assert chosen.grid.shape == (5, 10, 8)
    assert "left out: 3 slices of 1 other series" in chosen.flags
    assert refusal(folder, series="1.9").code == "SEVERAL_SERIES"


def test_what_is_no_slice_is_left_out_and_named(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    capture = dataset(numbers()[0], 7, SOPClassUID="1.2.840.10008.5.1.4.1.1.7", SeriesInstanceUID="1.2.3.7")
    save(capture, folder / "screen.dcm")
    scout = dataset(numbers()[0], 8, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"], SeriesInstanceUID="1.2.3.8")
    save(scout, folder / "scout.dcm")
    (folder / "notes.txt").write_text("nothing")
    header = read_header([folder])
    assert header.grid.shape == (6, 10, 8)
    told = "left out: 1 Secondary Capture Image Storage, 1 file that is no DICOM, 1 localiser"
    assert told in header.flags


def test_pixels_that_no_decoder_reads_are_refused_before_any_is_read(tmp_path: Path) -> None:
    made = dataset(numbers()[0], 0)
    path = save(made, tmp_path / "htj2k.dcm")
    data = path.read_bytes().replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.4.201\0"[:20], 1)
    path.write_bytes(data)
    assert refusal(path).code == "NO_DECODER"


@pytest.mark.parametrize("syntax", [MPEG2MPML, JPEGExtended12Bit])
def test_one_slice_that_no_decoder_reads_is_found_before_any_is_read(tmp_path: Path, syntax: str) -> None:
    folder = write_series(tmp_path)
    made = dataset(numbers()[0], 6)
    made.PixelData = encapsulate([made.PixelData])
    made["PixelData"].is_undefined_length = True
    save(made, folder / "last.dcm", syntax)
    assert refusal(folder).code == "NO_DECODER"


@pytest.mark.filterwarnings("ignore:Invalid value for VR DS")
@pytest.mark.parametrize("thickness", ["nan", -5, 0])
def test_a_thickness_that_can_be_none_says_nothing(tmp_path: Path, thickness: object) -> None:
    header = read_header([write_series(tmp_path, numbers(1), SliceThickness=thickness)])
    assert header.grid.spacing()[0] == 1
    assert "one slice without a thickness: taken for 1 mm" in header.flags


HTJ2K = bytes.fromhex(
    "ff4fff5100294000000000080000000a0000000000000000000000080000000a000000000000000000018f0101ff500008000200000009ff"
    "52000c00020001000104044001ff5c00072088888888ff64001700014f70656e4a50482056657220302e32362e332eff90000a0000000000"
    "450001ff93c0002db09e426db19308be1eca2ad636e4448a2d45610fdcd406382224b900c0002a2000152000fcb028e9e27600aeebbae800"
    "01beb600ffd9"
)
"""`numbers()[0]`, as OpenJPH packs it."""


def test_high_throughput_jpeg_2000_is_read_to_the_number(tmp_path: Path) -> None:
    made = dataset(numbers()[0], 0)
    made.PixelData = encapsulate([HTJ2K])
    made["PixelData"].is_undefined_length = True
    header = read_header([save(made, tmp_path / "one.dcm", HTJ2KLossless)])
    with open_scene(header) as reader:
        values, _ = reader.read(tuple(slice(0, n) for n in header.grid.shape))
    assert np.array_equal(values[0, 0], numbers()[0])


def test_echo_times_that_differ_by_rounding_are_one(tmp_path: Path) -> None:
    assert read_header([write_series(tmp_path, EchoTime=lambda i: 30 + 0.01 * i)]).grid.shape[0] == 6


@pytest.mark.parametrize(("said", "unit"), [("HU", "HU"), (None, "HU"), ("US", "HU"), ("MGML", None), ("Z_EFF", None)])
def test_a_ct_whose_rescale_leads_elsewhere_is_in_no_hu(tmp_path: Path, said: str | None, unit: str | None) -> None:
    header = read_header([write_series(tmp_path, RescaleType=said)])
    assert header.bands[0].unit == unit
    assert ("its rescale does not lead to HU: no number is taken for HU" in header.flags) == (unit is None)
    assert (hounsfield_of(header, [(-1000.0, 0.0)]) is None) == (unit is None)


def test_a_truncated_slice_is_refused_when_it_is_read(tmp_path: Path) -> None:
    folder = write_series(tmp_path)
    file = sorted(folder.iterdir())[0]
    file.write_bytes(file.read_bytes()[:-40])
    header = read_header([folder])
    with open_scene(header) as reader, pytest.raises(SourceError) as told:
        reader.read(tuple(slice(0, n) for n in header.grid.shape))
    assert told.value.code == "DAMAGED"
    assert "of 6" in str(told.value)
    assert PATIENT not in str(told.value)


def test_the_tilted_phantom_and_the_dose_screen_are_known(shared_data: Path) -> None:
    tilt = refusal(shared_data / "data/medical/dicom_ct_tilt")
    assert tilt.code == "GANTRY_TILT"
    assert "18.5 degrees" in str(tilt)
    assert "1 Secondary Capture Image Storage" in str(refusal(shared_data / "data/medical/dicom_dose_screen"))


def test_what_is_dicom_is_known_by_its_first_bytes(tmp_path: Path) -> None:
    assert is_dicom(write_series(tmp_path / "series"))
    (tmp_path / "plain").write_bytes(b"II*\0" + bytes(200))
    assert not is_dicom(tmp_path / "plain")
    assert not is_dicom(tmp_path / "not there")
