"""A series of several volumes: one of them on request, by the tag that tells them apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from srcore.errors import SourceError
from srcore.run.direct import direct_job
from srcore.storage.scene import open_scene, read_header
from tests.storage.dicom.series import MR_CLASS, PATIENT, numbers, write_series
from tests.storage.dicom.test_refused import refusal


@pytest.fixture
def echoes(tmp_path: Path) -> Path:
    """Three places, at each an echo of 30 and one of 60 ms."""
    return write_series(
        tmp_path / "of-two-echoes",
        SOPClassUID=MR_CLASS,
        ImagePositionPatient=lambda i: [-20.0, 30.0, 2.5 * (i // 2)],
        EchoTime=lambda i: "30.0" if i % 2 else "60",
        ImageType=lambda i: ["ORIGINAL", "PRIMARY", PATIENT.replace("^", "") if i % 2 else "M"],
    )


@pytest.mark.parametrize(("wanted", "first"), [("EchoTime=30", 1), ("EchoTime = 60.0", 0)])
def test_one_echo_is_a_volume(echoes: Path, wanted: str, first: int) -> None:
    assert "by EchoTime: 30.0, 60" in str(refusal(echoes))
    header = read_header([echoes], volume=wanted)
    assert header.grid.shape == (3, 10, 8)
    with open_scene(header) as reader:
        values = reader.read(tuple(slice(0, n) for n in header.grid.shape))[0][0]
    assert np.array_equal(values, numbers()[first::2])
    assert "left out: 3 slices of other volumes (EchoTime is another)" in header.flags


def test_what_is_not_there_is_refused_with_what_is(echoes: Path) -> None:
    told = refusal(echoes, volume="EchoTime=45")
    assert (told.code, "2 values of EchoTime: 30.0, 60" in str(told)) == ("SEVERAL_VOLUMES", True)
    told = refusal(echoes, volume="ImageType=none")
    assert (told.code, "2 values of ImageType;" in str(told)) == ("SEVERAL_VOLUMES", True)
    assert refusal(echoes, volume="FlipAngle=90").code == "SEVERAL_VOLUMES"
    for wrong in ("EchoTime", "PatientName=x", "=3", "", "EchoTime="):
        assert refusal(echoes, volume=wrong).code == "BAD_SETTING"


def test_another_volume_is_another_product(echoes: Path, tmp_path: Path) -> None:
    jobs = [direct_job(str(echoes), tmp_path / "sr.nii", volume=one) for one in (None, "EchoTime=30", "EchoTime=60")]
    assert len({one.configuration for one in jobs}) == 3
    with pytest.raises(SourceError, match="several volumes"):
        read_header([echoes], **jobs[0].wishes)
