from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import nibabel
import numpy as np
import pytest

from srcore.run.direct import direct_job
from srcore.stages import validate
from srcore.stages.plan import plan_scene


@pytest.mark.parametrize(("model", "asked"), [("bicubic-x2", True), ("srcore-volume-x2", False)])
def test_a_generator_that_couples_slices_is_not_asked_about_one(
    model: str, asked: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On volumes that are large enough for the self-test it ended every run with srcore-volume-x2."""
    monkeypatch.setattr(validate, "SELF_TEST_SHARE", 1e9)
    data = np.random.default_rng(0).integers(1, 500, (40, 38, 12)).astype("int16")
    nibabel.Nifti1Image(data, np.eye(4)).to_filename(tmp_path / "head.nii.gz")
    plan = plan_scene(direct_job(str(tmp_path / "head.nii.gz"), tmp_path / "sr.nii.gz", model=model), 0)
    assert (callable(validate._self_test(plan))) == asked


def test_the_self_test_is_left_out_where_it_would_cost_too_much(
    tmp_path: Path, write_raster: Callable[..., Path], landscape: Callable[..., np.ndarray]
) -> None:
    plan = plan_scene(direct_job(str(write_raster(landscape())), tmp_path / "sr.tif", model="bicubic-x2"), 0)
    assert not callable(validate._self_test(plan))
