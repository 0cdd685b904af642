"""A derived series: where it lies, what it says, that a validator has nothing new to say, and who the patient is."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.dataelem import DataElement

from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.layout import ProductPaths
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.dicom.derived import FURTHER_SERIES
from srcore.storage.dicom.facts import Facts
from srcore.storage.dicom.writer import verify_derived, write_derived
from srcore.storage.header import Header
from srcore.storage.product import product_format
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.series import MR_CLASS, PATIENT, numbers, write_series

HERE = Workers(0)
REMOVE = Facts(("a" * 64,), "some-model", "b" * 64, "c" * 64, "remove")
KEEP = replace(REMOVE, identity="keep")


def finer(scale: tuple[int, int, int], values: np.ndarray | None = None) -> np.ndarray:
    """An SR (1, Z, Y, X) of the small series by repetition."""
    found = numbers() if values is None else values
    for axis, by in enumerate(scale):
        found = found.repeat(by, axis)
    return found[None]


def derive(folder: Path, out: Path, scale: tuple[int, int, int] = (2, 1, 1), facts: Facts = REMOVE) -> Header:
    header = read_header([folder])
    write_derived(out, header, scale, finer(scale), facts)
    verify_derived(out, header, scale, finer(scale))
    return header


def slices(folder: Path) -> list[pydicom.Dataset]:
    return [pydicom.dcmread(path) for path in sorted(folder.iterdir())]


@pytest.mark.parametrize("scale", [(1, 2, 2), (2, 2, 2), (5, 1, 1), (3, 1, 2)])
def test_it_is_read_as_the_same_ground_in_finer_voxels(tmp_path: Path, scale: tuple[int, int, int]) -> None:
    header = derive(write_series(tmp_path / "in"), tmp_path / "out", scale)
    found = read_header([tmp_path / "out"])
    assert found.grid.shape == tuple(n * by for n, by in zip((6, 10, 8), scale, strict=True))
    assert np.abs(np.subtract(found.grid.bounds(), header.grid.bounds())).max() < 1e-9
    with open_scene(found) as reader:
        values = reader.read(tuple(slice(0, n) for n in found.grid.shape))[0]
    assert np.array_equal(values, finer(scale))


def test_directions_that_a_writer_rounded_move_nothing(tmp_path: Path) -> None:
    """1, 0.9272 and -0.3746 are no unit vectors: their rounding must not be taken out of the spacing."""
    series = write_series(
        tmp_path / "in",
        ImageOrientationPatient=[1, 0, 0, 0, 0.9272, -0.3746],
        ImagePositionPatient=lambda place: [-20, 30 + 0.9365 * place, 100 + 2.318 * place],
        PixelSpacing=[75, 50],
    )
    header = derive(series, tmp_path / "out", (2, 2, 2))
    assert np.abs(np.subtract(read_header([tmp_path / "out"]).grid.bounds(), header.grid.bounds())).max() < 1e-9


def test_other_readers_put_it_where_it_lies(tmp_path: Path) -> None:
    sitk = pytest.importorskip("SimpleITK", reason="SimpleITK is not installed (extra: dev)")
    highdicom = pytest.importorskip("highdicom", reason="highdicom is not installed (extra: dev)")
    derive(write_series(tmp_path / "in"), tmp_path / "out", (2, 3, 1))
    outer = []
    for folder in (tmp_path / "in", tmp_path / "out"):
        judge = sitk.ImageSeriesReader()
        judge.SetFileNames(judge.GetGDCMSeriesFileNames(str(folder)))
        image = judge.Execute()
        ends = ([-0.5] * 3, [n - 0.5 for n in image.GetSize()])
        outer.append([image.TransformContinuousIndexToPhysicalPoint(end) for end in ends])
    assert np.abs(np.subtract(*outer)).max() < 1e-4
    assert image.GetSpacing() == pytest.approx((0.5, 0.25, 1.25))
    volume = highdicom.get_volume_from_series(slices(tmp_path / "out"))
    assert (volume.spatial_shape, volume.spacing) == ((12, 30, 8), pytest.approx((1.25, 0.25, 0.5)))
    # from the corner of (-20.25, 29.625, 98.75), half an SR voxel in; slices may be told from the last to the first
    first = volume.affine @ [11 if volume.affine[2, 0] < 0 else 0, 0, 0, 1]
    assert first[:3] == pytest.approx((-20.0, 29.75, 99.375))


def test_it_says_what_it_is_and_what_of(tmp_path: Path) -> None:
    derive(write_series(tmp_path / "in", PixelPaddingValue=-2000), tmp_path / "out", (2, 1, 1), KEEP)
    made = slices(tmp_path / "out")
    first, source = made[0], pydicom.dcmread(sorted((tmp_path / "in").iterdir())[3])
    assert [one.InstanceNumber for one in made] == list(range(1, 13))
    assert list(first.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert first.DerivationCodeSequence[0].CodeValue == "113085"
    assert "some-model, sha256 bbb" in first.DerivationDescription
    assert "not for primary diagnosis" in first.DerivationDescription
    for name in ("StudyInstanceUID", "FrameOfReferenceUID", "PatientID", "StudyDate", "WindowCenter", "WindowWidth"):
        assert first[name].value == source[name].value, name
    assert first.SeriesInstanceUID != source.SeriesInstanceUID
    assert len({one.SOPInstanceUID for one in made}) == 12
    assert {one.SeriesInstanceUID for one in made} == {first.SeriesInstanceUID}
    parents = [[item.ReferencedSOPInstanceUID for item in one.SourceImageSequence] for one in made[:3]]
    assert parents == [["1.2.3.9.1"], ["1.2.3.9.1", "1.2.3.9.2"], ["1.2.3.9.2", "1.2.3.9.1"]]
    assert (first.SliceThickness, first.PixelPaddingValue, first.SeriesNumber) == (1.25, -2000, 3 + FURTHER_SERIES)
    assert (first.RescaleSlope, first.RescaleIntercept, first.BitsStored) == (1, -1024, 16)
    assert not any(element.tag.is_private for one in made for element in one.iterall())


def test_two_runs_give_the_same_bytes_and_anything_else_another_series(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in")
    others = [replace(KEEP, configuration="d" * 64), replace(KEEP, sources=("e" * 64,)), REMOVE]
    series = []
    for name, facts in zip("abcde", (KEEP, KEEP, *others), strict=True):
        derive(folder, tmp_path / name, facts=facts)
        series.append(slices(tmp_path / name)[0].SeriesInstanceUID)
    assert [one.read_bytes() for one in sorted((tmp_path / "a").iterdir())] == [
        one.read_bytes() for one in sorted((tmp_path / "b").iterdir())
    ]
    assert len(set(series)) == 4


def test_what_tells_of_the_patient_is_gone_and_that_is_said(tmp_path: Path) -> None:
    called_numbers = {name: DataElement(name, "LO", PATIENT) for name in ("KVP", "Exposure", "WindowWidth")}
    words = {"Manufacturer": PATIENT, "ScanOptions": PATIENT, "PatientPosition": "DOE", "BodyPartExamined": "DOE"}
    odd = {"PhotometricInterpretation": "MONOCHROMEDOE", "RescaleType": PATIENT}
    folder = write_series(tmp_path / "in", **words, **called_numbers, **odd)
    derive(folder, tmp_path / "out")
    data = b"".join(path.read_bytes() for path in (tmp_path / "out").iterdir())
    assert [word for word in (b"DOE", b"1.2.3.", b"19010203", b"19990102") if word in data] == []
    made = slices(tmp_path / "out")[0]
    assert (made.PatientIdentityRemoved, made.DeidentificationMethodCodeSequence[0].CodeValue) == ("YES", "113100")
    assert "alone" in made.DeidentificationMethod
    derive(write_series(tmp_path / "second", SeriesInstanceUID="1.2.3.77"), tmp_path / "other", facts=REMOVE)
    other = slices(tmp_path / "other")[0]
    assert (other.PatientID, other.StudyInstanceUID) == (made.PatientID, made.StudyInstanceUID)
    assert made.PatientID.startswith("p-")


@pytest.mark.parametrize("burnt", ["YES", "NO"])
def test_of_pixels_with_text_nobody_says_that_the_patient_is_out(tmp_path: Path, burnt: str) -> None:
    folder = write_series(tmp_path / "in", BurnedInAnnotation=burnt)
    derive(folder, tmp_path / "out")
    made = slices(tmp_path / "out")[0]
    assert (made.BurnedInAnnotation, made.PatientIdentityRemoved) == (burnt, "NO" if burnt == "YES" else "YES")
    told = [flag for flag in read_header([folder]).flags if "burnt into its pixels" in flag]
    assert len(told) == (burnt == "YES")


@pytest.mark.parametrize(("said", "kept"), [("HU", "HU"), (None, "HU"), ("Z_EFF", "Z_EFF"), (PATIENT, "US")])
def test_numbers_that_are_no_hu_are_not_called_so(tmp_path: Path, said: str | None, kept: str) -> None:
    derive(write_series(tmp_path / "in", RescaleType=said), tmp_path / "out")
    assert slices(tmp_path / "out")[0].RescaleType == kept


class Counted:
    """An SR of many slices in shards of four, that notes how many are asked for at once."""

    shape, shards, most = (1, 60, 10, 8), (1, 4, 10, 8), 0

    def __getitem__(self, where: tuple[int, slice]) -> np.ndarray:
        _, span = where
        self.most = max(self.most, span.stop - span.start)
        return np.arange(span.start, span.stop, dtype=np.int16)[:, None, None] + np.zeros((1, 10, 8), np.int16)


def test_no_more_slices_are_in_memory_than_a_tile_is_deep(tmp_path: Path) -> None:
    header, sr = read_header([write_series(tmp_path / "in", numbers(30))]), Counted()
    write_derived(tmp_path / "out", header, (2, 1, 1), sr, REMOVE)
    verify_derived(tmp_path / "out", header, (2, 1, 1), sr)
    assert sr.most == 4
    assert [one.pixel_array[0, 0] for one in slices(tmp_path / "out")] == list(range(60))


def test_with_identity_kept_only_its_owner_reads_it(tmp_path: Path) -> None:
    derive(write_series(tmp_path / "in"), tmp_path / "out", facts=KEEP)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in (tmp_path / "out").iterdir()} == {0o600}
    assert slices(tmp_path / "out")[0].PatientName == PATIENT


def faults_of(path: Path) -> set[str]:
    tool = shutil.which("dciodvfy", path=Path(sys.executable).parent)
    if tool is None:
        pytest.skip("dciodvfy is not installed (dicom3tools, extra: dev)")
    told = subprocess.run([tool, str(path)], capture_output=True, text=True, check=False).stderr
    return {line for line in told.splitlines() if line.startswith("Error")}


MR = {"SOPClassUID": MR_CLASS, "Modality": "MR", "RescaleSlope": None, "RescaleIntercept": None, "RescaleType": None}


@pytest.mark.parametrize("facts", [REMOVE, KEEP], ids=["remove", "keep"])
@pytest.mark.parametrize("changes", [{}, MR], ids=["CT", "MR"])
def test_a_validator_finds_no_error_that_the_source_has_not(
    tmp_path: Path, changes: dict[str, Any], facts: Facts
) -> None:
    folder = write_series(tmp_path / "in", **changes)
    derive(folder, tmp_path / "out", facts=facts)
    before = faults_of(sorted(folder.iterdir())[0])
    assert [faults_of(path) - before for path in sorted((tmp_path / "out").iterdir())[:2]] == [set(), set()]


FILES = ("CT_small.dcm", "MR_small_bigendian.dcm", "J2K_pixelrep_mismatch.dcm", "dicomdirtests/98892001/CT5N")


@pytest.mark.parametrize("facts", [REMOVE, KEEP], ids=["remove", "keep"])
@pytest.mark.parametrize("name", FILES)
def test_of_a_scanners_own_files_neither(tmp_path: Path, name: str, facts: Facts) -> None:
    """pydicom's: with rounded directions, without a body part, big-endian, packed."""
    source = Path(pydicom.__file__).parent / "data/test_files" / name
    header = read_header([source])
    with open_scene(header) as reader:
        values = reader.read(tuple(slice(0, n) for n in header.grid.shape))[0][0]
    write_derived(tmp_path / "out", header, (1, 2, 2), finer((1, 2, 2), values), facts)
    verify_derived(tmp_path / "out", header, (1, 2, 2), finer((1, 2, 2), values))
    before = faults_of(header.paths[0])
    assert {_plain(one) for one in faults_of(tmp_path / "out" / "00001.dcm")} <= {_plain(one) for one in before}


def _plain(fault: str) -> str:
    """Without the value that it quotes."""
    return re.sub(r"\[\d+\] = <.*?>", "", fault)


def test_a_run_publishes_the_folder_whole(tmp_path: Path) -> None:
    values = (np.random.default_rng(1).random((3, 40, 40)) * 900 + 100).astype(np.int16)
    folder = write_series(tmp_path / "in", values)
    out = tmp_path / "out"
    (out / "sr").mkdir(parents=True)  # empty, as somebody makes it before
    receipt = run_scene(direct_job(str(folder), out / "sr", model="bicubic-x2"), HERE)
    assert receipt is not None
    product = ProductPaths(out, "sr")
    assert [one.name for one in receipt.outputs][-3:] == ["sr/00001.dcm", "sr/00002.dcm", "sr/00003.dcm"]
    assert is_whole(product, receipt, thorough=True)
    assert sorted(path.name for path in out.iterdir()) == ["sr", "sr.receipt.json", "sr.report.html", "sr.report.json"]
    with pytest.raises(PlanError, match="exists"):
        run_scene(direct_job(str(folder), out / "sr", model="bicubic-x2"), HERE)
    before = {path.name: path.read_bytes() for path in (out / "sr").iterdir()}
    again = run_scene(direct_job(str(folder), out / "sr", model="bicubic-x2", overwrite=True), HERE)
    assert again is not None
    assert again.outputs[-3:] == receipt.outputs[-3:]
    assert {path.name: path.read_bytes() for path in (out / "sr").iterdir()} == before
    (out / "sr" / "00002.dcm").unlink()
    assert not is_whole(product, Receipt.load(product.receipt) or receipt)


def test_files_of_somebody_else_in_the_folder_stay(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in", numbers().repeat(4, 1).repeat(4, 2))
    out = tmp_path / "out"
    job = direct_job(str(folder), out / "sr", model="bicubic-x2", overwrite=True)
    out.mkdir()
    (out / "sr").mkdir()
    (out / "sr" / "mine.txt").write_text("mine")
    with pytest.raises(PlanError, match="not empty"):
        run_scene(job, HERE)
    (out / "sr" / "mine.txt").unlink()
    assert run_scene(job, HERE) is not None
    (out / "sr" / "mine.txt").write_text("mine")
    with pytest.raises(PlanError, match="not empty"):
        run_scene(job, HERE)
    assert (out / "sr" / "mine.txt").read_text() == "mine"
    assert len(list((out / "sr").iterdir())) == 7


@pytest.mark.parametrize("where", ["in/sr", "in"])
def test_it_never_lies_in_its_own_source(tmp_path: Path, where: str) -> None:
    folder = write_series(tmp_path / "in")
    with pytest.raises(PlanError) as told:
        run_scene(direct_job(str(folder), tmp_path / where, model="bicubic-x2", overwrite=True), HERE)
    assert told.value.code == "BAD_OUTPUT"
    assert len(list(folder.iterdir())) == 6


@pytest.mark.parametrize(
    ("out", "options", "code"),
    [
        ("v1.2", {}, "BAD_OUTPUT"),
        ("sr.nii.gz", {"identity": "keep"}, "BAD_SETTING"),
        ("sr", {"model": "srcore-x2", "outputs": ("report", "trust")}, "BAD_OUTPUT"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_pixel_is_read(
    tmp_path: Path, out: str, options: dict[str, Any], code: str
) -> None:
    folder = write_series(tmp_path / "in")
    with pytest.raises(PlanError) as told:
        run_scene(direct_job(str(folder), tmp_path / "out" / out, **{"model": "bicubic-x2", **options}), HERE)
    assert told.value.code == code
    assert not (tmp_path / "out").exists()
    with pytest.raises(PlanError):
        product_format("", "volume")  # of `srcore upscale SERIES .`


def test_of_a_nifti_there_is_none(tmp_path: Path) -> None:
    nibabel = pytest.importorskip("nibabel")
    nibabel.save(nibabel.Nifti1Image(numbers(8, 40, 40).T, np.eye(4)), tmp_path / "a.nii")
    with pytest.raises(PlanError, match="derived from a DICOM series alone"):
        run_scene(direct_job(str(tmp_path / "a.nii"), tmp_path / "sr", model="bicubic-x2"), HERE)
