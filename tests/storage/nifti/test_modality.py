"""What a NIfTI is of, where somebody says it: of a CT all numbers are HU, of an MR none is, whatever they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import read_header
from srcore.treatment import Treatment
from tests.storage.dicom.series import write_series

RINGING, AIR, MR = (-1207.0, 3382.0), (-1024.0, 900.0), (0.0, 833.0)


@pytest.mark.parametrize(
    ("said", "ends", "is_hu"),
    [
        (None, RINGING, False),
        (None, AIR, True),
        (None, MR, False),
        ("CT", RINGING, True),
        ("CT", MR, True),
        ("MR", AIR, False),
    ],
)
def test_whoever_says_it_is_believed(tmp_path: Path, said: Any, ends: tuple[float, float], is_hu: bool) -> None:
    nibabel.save(nibabel.Nifti1Image(np.zeros((4, 4, 4), np.int16), np.eye(4)), tmp_path / "a.nii")
    header = read_header([tmp_path / "a.nii"], modality=said, values="continuous")
    assert hounsfield_of(header, [ends]) == ((1.0, 0.0) if is_hu else None)


def test_a_series_says_it_itself(tmp_path: Path) -> None:
    folder = write_series(tmp_path / "in")
    assert read_header([folder], modality="CT").extra["modality"] == "CT"
    with pytest.raises(SourceError, match="the series is no MR") as told:
        read_header([folder], modality="MR")
    assert told.value.code == "BAD_SETTING"


def test_it_makes_another_product_and_is_in_its_receipt() -> None:
    assert Treatment(modality="CT").changed() == {"modality": "CT"}
    assert "modality" not in Treatment().changed()
