"""An enhanced file of an enhanced file: where its frames lie, what they say, and what judges have to say of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from srcore.dispatch import Workers
from srcore.errors import SourceError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.dicom import files
from srcore.storage.dicom.facts import Facts, classic_because
from srcore.storage.dicom.frames import ENHANCED
from srcore.storage.dicom.writer import verify_derived, write_derived
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.canary import canaries, traces, zipped
from tests.storage.dicom.series import CT_CLASS, PATIENT, numbers, save, write_enhanced
from tests.storage.dicom.test_derived import KEEP, REMOVE, faults_of, finer

MR: dict[str, Any] = {
    "SOPClassUID": ENHANCED[False],
    "Modality": "MR",
    "AcquisitionContrast": "T1",
    "ApplicableSafetyStandardAgency": "IEC",
}
SAID = {"BurnedInAnnotation": "NO", "LossyImageCompression": "00", "IrradiationEventUID": "1.2.3.6"}
"""What an enhanced file has to say, and only its source knows."""


def derive(tmp_path: Path, facts: Facts = REMOVE, name: str = "out", **changes: Any) -> tuple[Dataset, Header]:
    """The derived file of four frames made eight, of 20 x 8 pixels."""
    header = read_header([write_enhanced(tmp_path / "e.dcm", numbers(4), **{**SAID, **changes})])
    write_derived(tmp_path / name, header, (2, 2, 1), finer((2, 2, 1), numbers(4)), facts)
    verify_derived(tmp_path / name, header, (2, 2, 1), finer((2, 2, 1), numbers(4)))
    assert [path.name for path in (tmp_path / name).iterdir()] == ["00001.dcm"]
    return pydicom.dcmread(tmp_path / name / "00001.dcm"), header


def test_frames_lie_where_they_should_and_hold_what_was_written(tmp_path: Path) -> None:
    made, header = derive(tmp_path)
    found = read_header([tmp_path / "out"])
    assert found.grid.shape == (8, 20, 8)
    assert np.abs(np.subtract(found.grid.bounds(), header.grid.bounds())).max() < 1e-9
    with open_scene(found) as reader:
        values = reader.read(tuple(slice(0, n) for n in found.grid.shape))[0]
    assert np.array_equal(values, finer((2, 2, 1), numbers(4)))
    assert np.array_equal(made.pixel_array, values[0])


@pytest.mark.parametrize("facts", [REMOVE, KEEP], ids=["remove", "keep"])
@pytest.mark.parametrize("changes", [{}, MR], ids=["CT", "MR"])
def test_a_validator_finds_no_error(tmp_path: Path, changes: dict[str, Any], facts: Facts) -> None:
    made, _ = derive(tmp_path, facts, **changes)
    assert faults_of(tmp_path / "out/00001.dcm") == set()
    assert made.SOPClassUID == ENHANCED[not changes]


def test_it_says_what_it_is_and_what_each_frame_is_of(tmp_path: Path) -> None:
    made, _ = derive(tmp_path, KEEP)
    shared, frames = made.SharedFunctionalGroupsSequence[0], made.PerFrameFunctionalGroupsSequence
    assert list(made.ImageType) == ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    assert (made.PatientName, made.StudyInstanceUID, made.FrameOfReferenceUID) == (PATIENT, "1.2.3", "1.2.3.5")
    assert made.SeriesInstanceUID != "1.2.3.4"
    [derived] = frames[1].DerivationImageSequence
    assert derived.DerivationCodeSequence[0].CodeValue == "113085"
    assert "some-model, sha256 bbb" in derived.DerivationDescription
    assert "not for primary diagnosis" in derived.DerivationDescription
    of = [[item.ReferencedFrameNumber for item in one.DerivationImageSequence[0].SourceImageSequence] for one in frames]
    assert of[:4] == [[4], [4, 3], [3, 4], [3, 2]]
    [window], [size] = shared.FrameVOILUTSequence, shared.PixelMeasuresSequence
    assert (window.WindowCenter, window.WindowWidth) == (40, 400)
    assert (list(size.PixelSpacing), size.SliceThickness, size.SpacingBetweenSlices) == ([0.375, 0.5], 1.25, 1.25)
    assert shared.PixelValueTransformationSequence[0].RescaleIntercept == -1000
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "out/00001.dcm").stat().st_mode & 0o777 == 0o600


def test_other_readers_see_one_even_volume(tmp_path: Path) -> None:
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (extra: dev)")
    _, header = derive(tmp_path)
    volume = highdicom.imread(tmp_path / "out/00001.dcm").get_volume()
    assert volume.spatial_shape == (8, 20, 8)
    assert sorted(volume.spacing) == pytest.approx(sorted(header.grid.scaled((2, 2, 1)).spacing()))


def test_two_runs_give_the_same_bytes(tmp_path: Path) -> None:
    derive(tmp_path, name="a")
    derive(tmp_path, name="b")
    made, _ = derive(tmp_path, replace(REMOVE, configuration="d" * 64), "c")
    first = (tmp_path / "a/00001.dcm").read_bytes()
    assert first == (tmp_path / "b/00001.dcm").read_bytes()
    assert made.SeriesInstanceUID.encode() not in first


def test_of_a_file_full_of_words_none_is_left(tmp_path: Path) -> None:
    """In the file, in its functional groups, and in the region that it names."""
    write_enhanced(tmp_path / "e.dcm", numbers(4))
    made = pydicom.dcmread(tmp_path / "e.dcm")
    words = canaries(0)
    for element in words:
        if element.tag not in made:
            made.add(element)
    region, anatomy = Dataset(), Dataset()
    region.CodeValue, region.CodingSchemeDesignator, region.CodeMeaning = "69536005", "SCT", "QXCANARYX"
    anatomy.AnatomicRegionSequence, anatomy.FrameLaterality = [region], "QXCANARYX"
    for groups in (made.SharedFunctionalGroupsSequence[0], *made.PerFrameFunctionalGroupsSequence):
        groups.FrameAnatomySequence = [anatomy]
        groups.add(words["ReferencedStudySequence"])
    save(made, tmp_path / "e.dcm")
    header = read_header([tmp_path / "e.dcm"])
    write_derived(tmp_path / "out", header, (1, 1, 1), finer((1, 1, 1), numbers(4)), REMOVE)
    assert traces([tmp_path / "out"]) == []
    found = pydicom.dcmread(tmp_path / "out/00001.dcm").SharedFunctionalGroupsSequence[0].FrameAnatomySequence[0]
    assert found.AnatomicRegionSequence[0].CodeMeaning == "Head"


def test_a_run_publishes_it_and_says_nothing_of_classic_slices(tmp_path: Path) -> None:
    source = write_enhanced(tmp_path / "e.dcm", numbers(4, 40, 40))
    receipt = run_scene(direct_job(str(source), tmp_path / "sr"), Workers(0))
    assert receipt is not None
    assert [one.name for one in receipt.outputs][-1:] == ["sr/00001.dcm"]
    assert not any("classic" in flag for flag in receipt.flags)


def test_where_it_cannot_be_one_file_its_frames_become_classic_slices_and_that_is_said(tmp_path: Path) -> None:
    odd = {**SAID, "PhotometricInterpretation": "MONOCHROME1"}
    source = write_enhanced(tmp_path / "e.dcm", numbers(4, 40, 40), **odd)
    receipt = run_scene(direct_job(str(source), tmp_path / "sr"), Workers(0))
    assert receipt is not None
    assert any(flag.startswith("its frames are classic slices in the product: ") for flag in receipt.flags)
    made = [pydicom.dcmread(path) for path in sorted((tmp_path / "sr").iterdir())]
    assert [one.SOPClassUID for one in made] == [CT_CLASS] * 4
    assert [one.SourceImageSequence[0].ReferencedFrameNumber for one in made] == [4, 3, 2, 1]
    assert {one.RescaleIntercept for one in made} == {-1000}
    assert faults_of(tmp_path / "sr" / "00001.dcm") == set()


def test_frames_of_a_file_in_a_zip_are_unpacked_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_enhanced(tmp_path / "in/e.dcm", numbers(4))
    header = read_header([zipped(tmp_path / "in", tmp_path / "e.zip")])
    unpack, done = files._unzipped, list[int]()

    def counted(path: Path, entry: int) -> bytes:
        done.append(entry)
        return unpack(path, entry)

    monkeypatch.setattr(files, "_unzipped", counted)
    with open_scene(header) as reader:
        for place in range(4):
            found = reader.read((slice(place, place + 1), slice(0, 10), slice(0, 8)))[0][0, 0]
            assert np.array_equal(found, numbers(4)[3 - place])
    assert len(done) == 1


@pytest.mark.parametrize("count", [2, 40])
def test_frames_without_a_place_are_not_left_out_in_silence(tmp_path: Path, count: int) -> None:
    with pytest.raises(SourceError, match="4 descriptions of") as told:
        read_header([write_enhanced(tmp_path / "e.dcm", numbers(4), NumberOfFrames=count)])
    assert told.value.code == "NO_GEOMETRY"


def test_a_number_that_is_none_is_left_out(tmp_path: Path) -> None:
    made, _ = derive(tmp_path, KEEP, SeriesNumber=DataElement("SeriesNumber", "LO", "three"))
    assert made.SeriesNumber is None


@pytest.mark.parametrize(
    ("changes", "scale", "why"),
    [
        ({}, (2, 2, 2), ""),
        ({"enhanced": False}, (2, 2, 2), "its source is classic"),
        ({"photometric": "MONOCHROME1"}, (2, 2, 2), "white"),
        ({}, (4, 4096, 2048), "4 GiB"),
        ({"dtype": "uint8"}, (2, 2, 2), "16 bits"),
    ],
)
def test_why_it_cannot(tmp_path: Path, changes: dict[str, Any], scale: tuple[int, int, int], why: str) -> None:
    header = read_header([write_enhanced(tmp_path / "e.dcm", numbers(4))])
    dtype = changes.pop("dtype", header.dtype)
    told = classic_because(replace(header, dtype=dtype, extra={**header.extra, **changes}), scale)
    assert why in told
    assert bool(why) == bool(told)
