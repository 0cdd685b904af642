"""Hounsfield units by tissue, and numbers that cannot be negative."""

from __future__ import annotations

from pathlib import Path

import nibabel
import numpy as np
import pytest
from numpy.typing import NDArray

from srcore.checks import Check
from srcore.checks.blocks import Block
from srcore.checks.pair import validate_pair
from srcore.checks.tissue import TissueCheck
from srcore.dispatch import Workers
from srcore.limits import with_changes
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.storage.archive.publish import Receipt
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import read_header
from tests.storage.dicom.series import MR_CLASS, write_series

SCALE = (2, 2, 2)


def lr() -> NDArray[np.int16]:
    """Stored numbers (Z, Y, X) of a CT with slope 1 and intercept -1024: a third each of air, soft tissue and bone."""
    found = np.empty((6, 18, 24), np.int16)
    found[:, :6], found[:, 6:12], found[:, 12:] = 24, 1064, 1924  # -1000, 40, 900 HU
    return found


def checks(change: NDArray[np.int16], scale: tuple[int, int, int] = SCALE) -> dict[str, Check]:
    """Of an SR that is the LR repeated, with something added."""
    values = lr()
    sr = (values.repeat(scale[0], 0).repeat(scale[1], 1).repeat(scale[2], 2) + change)[None]
    around = np.pad(values, [(0, 0), (3, 3), (3, 3)], mode="edge")[None]
    core = tuple(slice(0, n) for n in values.shape)
    everywhere = np.ones(values[None].shape, np.bool_)
    collected = TissueCheck((1.0, -1024.0), scale[0] > 2)
    collected.add(Block(core, around, everywhere, sr, np.ones(sr.shape, np.bool_), scale))
    return {one.id: one for one in collected.checks(with_changes())}


def test_each_tissue_has_its_own_error() -> None:
    change = np.zeros((12, 36, 48), np.int16)
    change[:, 12:24] = 3  # soft tissue 3 HU denser
    found = checks(change)
    values = {name: one.value for name, one in found.items()}
    assert values == {
        "tissue.air": 0,
        "tissue.air_mean": 0,
        "tissue.soft": 3,
        "tissue.soft_mean": 3,
        "tissue.bone": 0,
        "tissue.bone_mean": 0,
    }
    assert [name for name, one in found.items() if not one.passed] == ["tissue.soft_mean"]
    assert found["tissue.soft_mean"].kind == "WARN"


def test_what_is_averaged_in_three_directions_is_no_error() -> None:
    change = np.zeros((12, 36, 48), np.int16)
    change[::2] += 40
    change[1::2] -= 40
    assert all(one.value == 0 for one in checks(change).values())


def test_a_model_that_shifts_hu_is_stopped() -> None:
    found = checks(np.full((12, 36, 48), 35, np.int16))
    assert [name for name, one in found.items() if one.kind == "GATE" and not one.passed] == [
        "tissue.air_mean",
        "tissue.soft_mean",
        "tissue.bone_mean",
    ]
    assert all(one.kind == "INFO" for one in checks(np.full((30, 18, 24), 35, np.int16), (5, 1, 1)).values())


def nifti(path: Path, values: NDArray[np.generic]) -> Path:
    nibabel.save(nibabel.Nifti1Image(values.T, np.diag([0.8, 0.8, 3, 1])), path)
    return path


def test_what_is_taken_for_hounsfield_units(tmp_path: Path) -> None:
    series = read_header([write_series(tmp_path / "ct")])
    assert hounsfield_of(series, ()) == (1.0, -1024.0)
    magnetic = read_header(
        [write_series(tmp_path / "mr", SOPClassUID=MR_CLASS, RescaleSlope=None, RescaleIntercept=None)]
    )
    assert hounsfield_of(magnetic, ((0.0, 900.0),)) is None
    volume = read_header([nifti(tmp_path / "v.nii", (lr() - 1024).astype(np.int16))], values="continuous")
    assert hounsfield_of(volume, ((-1024.0, 2000.0),)) == (1.0, 0.0)
    assert hounsfield_of(volume, ((0.0, 2000.0),)) is None
    assert hounsfield_of(volume, ((-5000.0, 2000.0),)) is None


def upscaled(path: Path, folder: Path, **options: object) -> tuple[Receipt, NDArray[np.float64]]:
    options |= {"model": "cubic-z5", "values": "continuous", "validate": False, "back_projection": 0}
    receipt = run_scene(direct_job(str(path), folder / "sr.nii", **options), Workers(0))
    assert receipt is not None
    return receipt, np.asarray(nibabel.load(folder / "sr.nii").get_fdata())


def test_magnitudes_stay_magnitudes(tmp_path: Path) -> None:
    """A bright slice beside dark ones: cubic convolution rings to below 0."""
    values = np.zeros((6, 20, 24), np.int16)
    values[2, 4:16] = 900
    path = nifti(tmp_path / "mr.nii", values)
    receipt, found = upscaled(path, tmp_path / "kept")
    assert found.min() == 0
    assert any("no number of the LR is negative" in flag for flag in receipt.flags)
    assert {one["id"]: one["passed"] for one in receipt.checks}["values.range"]
    free, ringing = upscaled(path, tmp_path / "free", valid_range=(None, 5000))
    assert ringing.min() < -50
    assert not any("no number of the LR is negative" in flag for flag in free.flags)
    below, lower = upscaled(nifti(tmp_path / "ct.nii", (values - 1000).astype(np.int16)), tmp_path / "ct")
    assert lower.min() < -1050
    assert any(one["id"].startswith("tissue.") for one in below.checks)


@pytest.mark.parametrize("dtype", ["int16", "float32"])
def test_a_stranger_judges_magnitudes_as_the_run_did(tmp_path: Path, dtype: str) -> None:
    """The floor that the run kept to is no cut of shadows, and what it took from a mean is no bias."""
    rng = np.random.default_rng(0)
    values = rng.integers(0, 400, (6, 32, 32)) * (rng.random((6, 32, 32)) < 0.5)
    path = nifti(tmp_path / "mr.nii", values.astype(dtype))
    upscaled(path, tmp_path)
    found = {one.id: one for one in validate_pair(tmp_path / "sr.nii", path, with_changes()).checks}
    assert [name for name, one in found.items() if one.kind == "GATE" and not one.passed] == []
    assert found["values.clipped"].passed
    assert found["values.mean"].passed
