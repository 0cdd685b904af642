"""No gate stops a right product, of whatever kind the scene is; wrong products of scenes with content are stopped."""

from __future__ import annotations

import json
from collections.abc import Callable
from math import isfinite
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from srcore.dispatch import Workers
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from tests.checks.products import PRODUCTS, WRONG, Case, body, judged, normal_cases, right_cases, stored

RIGHT, NORMAL = right_cases(), normal_cases()


def strict(text: str) -> Any:
    """JSON as it is defined: without NaN and Infinity."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    return json.loads(text, parse_constant=refuse)


@pytest.mark.parametrize("product", list(PRODUCTS))
@pytest.mark.parametrize("name", list(RIGHT))
def test_no_gate_stops_a_right_product(name: str, product: str) -> None:
    report = judged(RIGHT[name], PRODUCTS[product](RIGHT[name]))
    assert [(check.id, check.value) for check in report.failed_gates] == []
    assert all(isfinite(check.value) for check in report.checks if not isinstance(check.value, str))
    assert strict(json.dumps(report.to_json()))["not_measured"] == len(report.not_measured)
    assert all(check.basis for check in report.not_measured)


@pytest.mark.parametrize("product", ["truth", "cubic"])
@pytest.mark.parametrize("mistake", list(WRONG))
@pytest.mark.parametrize("name", list(NORMAL))
def test_a_wrong_product_is_stopped(name: str, mistake: str, product: str) -> None:
    case = NORMAL[name]
    sr = PRODUCTS[product](case)
    if mistake == "bands swapped" and len(sr) == 1:
        pytest.skip("one band has none to be swapped with")
    wrong = stored(WRONG[mistake](sr.astype(np.float64)), case.dtype)
    assert judged(case, wrong).verdict == "quarantined"


def test_a_check_without_basis_says_why() -> None:
    case = RIGHT["constant"]
    found = {check.id: check for check in judged(case, case.hr).checks}
    for name in ("registration.shift", "seams.step", "detail.least", "wald.gain"):
        assert found[name].state == "not measured"
        assert found[name].basis
    volume = RIGHT["volume (2, 2, 2)"]
    found = {check.id: check for check in judged(volume, volume.hr).checks}
    for name in ("seams.step", "detail.most", "wald.gain"):
        assert (found[name].state, found[name].passed) == ("not measured", True)
        assert found[name].basis.startswith("slices of the SR lie between those of the LR")
    for name in ("values.mean", "consistency.ratio", "registration.shift", "slices.step"):
        assert (found[name].state, found[name].passed) == ("measured", True)


@pytest.mark.parametrize("mistake", ["gain 1.05", "offset", "a constant", "nothing", "inverted"])
def test_a_wrong_volume_is_stopped(mistake: str) -> None:
    case = RIGHT["volume (2, 2, 2)"]
    assert judged(case, stored(WRONG[mistake](case.hr.astype(np.float64)), case.dtype)).verdict == "quarantined"


@pytest.mark.parametrize(
    "name",
    [
        "constant 0.1",
        "rain",
        "night lights, uint8",
        "half saturated",
        "2 x 3 px",
        "one bright LR pixel",
        "one valid pixel",
        "nothing valid",
        "a swath",
    ],
)
def test_a_scene_of_any_kind_is_published_with_a_report_that_is_json(
    name: str, write_raster: Callable[..., Path]
) -> None:
    case = RIGHT[name]
    nodata = {} if case.valid is None else {"nodata": float("nan") if case.dtype == "float32" else 0}
    values = case.lr if case.valid is None else np.where(case.valid, case.lr, nodata["nodata"]).astype(case.dtype)
    source = write_raster(values, photometric="minisblack", **nodata)
    receipt = run_scene(direct_job(str(source), source.parent / "sr.tif", model="srcore-x2"), Workers(0))
    assert receipt is not None
    documents = [strict(path.read_text()) for path in sorted(source.parent.glob("sr*.json"))]
    assert len(documents) == 3, "the item, the report and the receipt"
    report = documents[2]
    silent = [check["id"] for check in report["checks"] if check["state"] == "not measured"]
    assert report["not_measured"] == len(silent) > 0
    assert receipt.notes[-1] == "some checks had no basis here: the page names them"
    assert "checks not measured: there was no basis for them here" in (source.parent / "sr.report.html").read_text()


@pytest.mark.parametrize(
    "case", [Case(body((1, 1, 1), -1000.0), "int16"), Case(body((1, 1, 1), 0.0)[:, :2], "float32")]
)
def test_a_volume_by_a_generator_of_volumes_is_published(case: Case, tmp_path: Path) -> None:
    volume = case.hr[0].transpose(2, 1, 0).copy()
    volume[0, 0, 0] -= 100  # below the air: what comes to the LR's own end may be cut off there, and tells of no shift
    nibabel.Nifti1Image(volume, np.diag([1, 1, 2, 1.0])).to_filename(tmp_path / "lr.nii")
    job = direct_job(str(tmp_path / "lr.nii"), tmp_path / "sr.nii", model="srcore-volume-x2")
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    assert receipt.verdict in ("published", "degraded")
    found = {check["id"]: check for check in receipt.checks}
    state = "measured" if case.lr.shape[1] > 2 else "not measured"
    assert found["consistency.ratio"]["state"] == found["registration.shift"]["state"] == state
