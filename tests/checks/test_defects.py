"""Twelve planted defects: each is found by the check that is there for it, and the good product passes every gate."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import Resampling
from rasterio.transform import Affine

from srcore.checks import Check, Report
from srcore.checks.pair import validate_pair
from srcore.dispatch import Workers
from srcore.limits import LIMITS
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.samples.archive import footprint, halve
from srcore.samples.defects import DEFECTS
from srcore.samples.landscape import render


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with lr.tif (drawn, with a nodata collar) and sr.tif, its product."""
    folder = tmp_path_factory.mktemp("scene")
    values = halve(render((600, 660), 3))[:4]
    values[:, ~footprint(values.shape[1:], 4.0)] = 0
    profile = {
        "driver": "GTiff",
        "dtype": "uint16",
        "count": 4,
        "height": 300,
        "width": 330,
        "nodata": 0,
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, 600000, 0, -10, 5200000),
    }
    with rasterio.open(folder / "lr.tif", "w", **profile) as target:
        target.write(values)
    receipt = run_scene(direct_job(str(folder / "lr.tif"), folder / "sr.tif", model="bicubic-x2"), Workers(0))
    assert receipt is not None
    assert receipt.verdict == "published", [check for check in receipt.checks if not check["passed"]]
    return folder


def rewrite(scene: Path, target: Path, values: np.ndarray, valid: np.ndarray, **options: object) -> Path:
    """The product with other pixels, by another tool."""
    with rasterio.open(scene / "sr.tif") as product:
        profile = {**product.profile, "driver": "GTiff", "tiled": True, **options}
    with rasterio.open(target, "w", **profile) as out:
        out.write(np.where(valid, values, 0).astype(profile["dtype"]))
    return target


def read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    with rasterio.open(path) as product:
        values = product.read()
    return values, values != 0


def by_id(report: Report) -> dict[str, Check]:
    return {check.id: check for check in report.checks}


def test_the_good_product_passes_also_when_another_tool_wrote_it(scene: Path, tmp_path: Path) -> None:
    report = validate_pair(rewrite(scene, tmp_path / "sr.tif", *read(scene / "sr.tif")), scene / "lr.tif", LIMITS)
    assert report.verdict == "published", [check for check in report.checks if not check.passed]


@pytest.mark.parametrize("name", list(DEFECTS))
def test_each_planted_defect_is_found_by_its_check(name: str, scene: Path, tmp_path: Path) -> None:
    plant, expected = DEFECTS[name]
    values, valid = plant(*read(scene / "sr.tif"))
    report = validate_pair(rewrite(scene, tmp_path / "sr.tif", values, valid), scene / "lr.tif", LIMITS)
    failed = {check.id for check in report.checks if not check.passed}
    assert failed & set(expected), failed
    assert report.verdict != "published"


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
def test_a_truncated_block_is_found(keep: float, scene: Path, tmp_path: Path) -> None:
    cut = tmp_path / "sr.tif"
    data = (scene / "sr.tif").read_bytes()
    cut.write_bytes(data[: int(keep * len(data))])
    report = validate_pair(cut, scene / "lr.tif", LIMITS)
    assert [check.id for check in report.failed_gates] == ["file.blocks"]


def test_a_damaged_block_is_found(scene: Path, tmp_path: Path) -> None:
    data = bytearray((scene / "sr.tif").read_bytes())
    middle = len(data) * 2 // 3
    data[middle : middle + 4096] = bytes(4096)
    (tmp_path / "sr.tif").write_bytes(data)
    failed = [check.id for check in validate_pair(tmp_path / "sr.tif", scene / "lr.tif", LIMITS).failed_gates]
    assert failed[0] in ("file.blocks", "file.overviews")  # what GDAL makes of the bytes is up to its zlib


def test_a_swapped_overview_is_found(scene: Path, tmp_path: Path) -> None:
    values, valid = read(scene / "sr.tif")
    target = rewrite(scene, tmp_path / "sr.tif", values[:, ::-1, ::-1], valid[:, ::-1, ::-1])
    with rasterio.open(target, "r+") as product:
        product.build_overviews([2, 4], Resampling.average)
    stale = by_id(validate_pair(target, scene / "lr.tif", LIMITS))["file.overviews"]
    assert stale.passed
    with rasterio.open(target, "r+") as product:
        product.write(values)
    assert [c.id for c in validate_pair(target, scene / "lr.tif", LIMITS).failed_gates] == ["file.overviews"]


def test_limits_can_be_changed(scene: Path) -> None:
    limits = {**LIMITS, "consistency.ratio": LIMITS["consistency.ratio"].__class__(gate=0.01)}
    failed = validate_pair(scene / "sr.tif", scene / "lr.tif", limits).failed_gates
    assert [(check.id, check.limit) for check in failed] == [("consistency.ratio", 0.01)]


def test_the_report_beside_the_product_holds_the_same_checks(scene: Path) -> None:
    written = json.loads((scene / "sr.report.json").read_text())
    assert written["verdict"] == "published"
    found = {check["id"]: check["value"] for check in written["checks"]}
    again = by_id(validate_pair(scene / "sr.tif", scene / "lr.tif", LIMITS))
    for name in ("consistency.ratio", "values.mean", "spectral.angle", "detail.beyond", "mask.equal"):
        assert again[name].value == pytest.approx(found[name], rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(
    "name",
    [
        "landsat8_elkton/L8-B5-Elkton-VA.tiff",
        "neon_OSBS_029.tif",
        "sentinel2_barbellino/S2A2A_20170703_022_Barbellino_BOA_10.tif",
        "hls_10band_float32.tif",
    ],
)
def test_no_gate_stops_a_good_product_of_real_imagery(name: str, shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "data/satellite" / name
    job = direct_job(str(source), tmp_path / "sr.tif", model="bicubic-x2", tile=128, validate=False)
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    assert [check for check in receipt.checks if check["kind"] == "GATE" and not check["passed"]] == []


def test_a_scene_of_nothing_is_published_and_flagged(write_raster: Callable[..., Path]) -> None:
    source = write_raster(np.zeros((2, 70, 90), np.uint16), nodata=0)
    receipt = run_scene(direct_job(str(source), source.parent / "sr.tif", model="bicubic-x2"), Workers(0))
    assert receipt is not None
    assert receipt.verdict == "degraded"
    assert [check["id"] for check in receipt.checks if not check["passed"]] == ["scene.empty"]
    item = json.loads((source.parent / "sr.json").read_text())
    assert item["properties"]["srcore:verdict"] == "degraded"
    assert item["properties"]["srcore:failed_checks"] == ["scene.empty"]


def test_a_scene_of_one_valid_pixel_is_published(write_raster: Callable[..., Path]) -> None:
    values = np.zeros((2, 70, 90), np.uint16)
    values[:, 33, 44] = 1234
    source = write_raster(values, nodata=0)
    receipt = run_scene(direct_job(str(source), source.parent / "sr.tif", model="srcore-x2"), Workers(0))
    assert receipt is not None
    assert receipt.verdict == "published", [check for check in receipt.checks if not check["passed"]]


def test_a_volume_is_checked_too(shared_data: Path, tmp_path: Path) -> None:
    source = shared_data / "data/medical/mr_abdomen_3mm.nii.gz"
    job = direct_job(str(source), tmp_path / "sr.nii.gz", model="bicubic-x2", validate=False)
    receipt = run_scene(job, Workers(0))
    assert receipt is not None
    assert receipt.verdict == "published", [check for check in receipt.checks if not check["passed"]]
    report = validate_pair(tmp_path / "sr.nii.gz", source, LIMITS)
    assert report.verdict == "published"
    assert isinstance(by_id(report)["registration.shift"].value, float)
