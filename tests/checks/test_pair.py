"""`srcore validate`: exit codes, JSON, and files that cannot be compared."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
from rasterio.control import GroundControlPoint
from rasterio.transform import Affine

from flows.cli import main
from srcore.catalog import load_catalog
from srcore.checks.pair import validate_pair
from srcore.dispatch import Workers
from srcore.errors import CatalogError, GridError
from srcore.limits import LIMITS, SHARPENED, with_changes
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene

HERE = Affine(10, 0, 600000, 0, -10, 5200000)


@pytest.fixture
def pair(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Callable[..., list[str]]:
    """Arguments of `srcore validate` for an LR and its nearest SR; options for either file."""

    def make(lr: dict[str, Any] | None = None, sr: dict[str, Any] | None = None, crop: int = 0) -> list[str]:
        values = landscape(2, (80, 96))
        big = values.repeat(2, 1).repeat(2, 2)
        big = big[:, : big.shape[1] - crop]
        a = write_raster(values, "lr.tif", transform=HERE, **(lr or {}))
        b = write_raster(big, "sr.tif", **{"transform": HERE * Affine.scale(0.5), **(sr or {})})
        return ["validate", str(b), "--lr", str(a)]

    return make


def run(monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> int:
    monkeypatch.setattr(sys, "argv", ["srcore", *arguments])
    with pytest.raises(SystemExit) as caught:
        main()
    return int(caught.value.code or 0)


def test_a_good_pair_is_0_and_speaks_json(
    pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(monkeypatch, [*pair(), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {check["id"] for check in said["checks"]} >= {"grid.corners", "mask.equal", "consistency.ratio"}
    assert run(monkeypatch, pair()) == 0
    assert "consistency" in capsys.readouterr().out


def test_a_gate_is_3(pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch) -> None:
    shifted = HERE * Affine.translation(0.25, 0.25) * Affine.scale(0.5)
    assert run(monkeypatch, pair(sr={"transform": shifted})) == 3
    assert run(monkeypatch, pair(sr={"dtype": "int32"})) == 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"sr": {"crs": "EPSG:32633"}}, "different CRS"),
        ({"sr": {"crs": None}}, "different CRS"),
        ({"crop": 1}, "no whole multiple"),
        ({"sr": {"transform": Affine(5, 0, 700000, 0, -5, 5200000)}}, "different places"),
        ({"lr": {"nodata": 0}}, "does not say what is nodata"),
    ],
)
def test_what_cannot_be_compared_is_2(
    options: dict[str, Any],
    said: str,
    pair: Callable[..., list[str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(monkeypatch, pair(**options)) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_a_missing_file_is_2(
    pair: Callable[..., list[str]], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = pair()
    assert run(monkeypatch, [*arguments[:3], "nowhere.tif"]) == 2
    assert run(monkeypatch, [*arguments, "--hr", arguments[3]]) == 2
    assert "does not fit its SR" in capsys.readouterr().err


def test_the_catalog_changes_limits_and_refuses_what_it_does_not_know(tmp_path: Path) -> None:
    def load(checks: str) -> Any:
        path = tmp_path / "data_catalog.yaml"
        path.write_text(
            "version: 1\nstore: ./store\ndatasets:\n  a:\n    kind: raster\n    source: ./*.tif\n"
            f"    model: srcore-x2\n    checks: {checks}\n"
        )
        return load_catalog(path).dataset("a").checks

    changes = {
        name: one.model_dump(exclude_unset=True) for name, one in load("{consistency.ratio: {gate: 2.5}}").items()
    }
    limits = with_changes(changes)
    assert (limits["consistency.ratio"].gate, limits["consistency.ratio"].warn) == (2.5, 1.0)
    assert limits["mask.equal"] == LIMITS["mask.equal"]
    assert with_changes({"seams.step": {"gate": None}})["seams.step"].gate is None
    own = with_changes(SHARPENED, {"detail.most": {"warn": 8.0}})["detail.most"]
    assert (own.warn, own.gate) == (8.0, SHARPENED["detail.most"]["gate"]), "a dataset's warning takes no gate away"
    assert with_changes(SHARPENED, {"detail.most": {"gate": None}})["detail.most"].gate is None
    for wrong in ("{consistency.rate: {gate: 2.5}}", "{seams.step: {stop: 2}}", "{seams.step: {gate: high}}"):
        with pytest.raises(CatalogError, match="checks"):
            load(wrong)


@pytest.mark.parametrize("scale", [(2, 2, 2), (5, 1, 1), (1, 2, 3), (3, 3, 3)])
def test_a_volume_of_any_whole_scale_can_be_compared(scale: tuple[int, ...], tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(300, 50, (5, 24, 20))
    up = values.repeat(scale[0], 0).repeat(scale[1], 1).repeat(scale[2], 2)
    spacing = np.array([2.0, 1.5, 1.0])
    for name, data, size in (("lr", values, spacing), ("sr", up, spacing / scale)):
        affine = np.diag([*size[::-1], 1.0])
        affine[:3, 3] = (size[::-1] - spacing[::-1]) / 2  # NIfTI says where the centre of a voxel lies
        nibabel.Nifti1Image(data.transpose(2, 1, 0).astype(np.float32), affine).to_filename(tmp_path / f"{name}.nii")
    report = validate_pair(tmp_path / "sr.nii", tmp_path / "lr.nii", LIMITS)
    assert report.failed_gates == []
    assert "consistency.ratio" not in {check.id for check in report.not_measured}
    assert ("slices.step" in {check.id for check in report.checks}) == (scale[0] > 1)


def test_one_file_a_band_and_some_bands_can_be_compared(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    values = landscape(3, (80, 96))
    big, fine = values.repeat(2, 1).repeat(2, 2), HERE @ Affine.scale(0.5)
    for band, name in enumerate(("B2", "B3", "B4")):
        write_raster(values[[band]], f"lr_{name}.tif", transform=HERE)
        write_raster(big[[band]], f"sr_{name}.tif", transform=fine)
    lr, two = write_raster(values, "lr.tif", transform=HERE), write_raster(big[[2, 0]], "two.tif", transform=fine)
    single, folder = write_raster(big, "sr.tif", transform=fine), lr.parent
    each = [str(folder / "sr_{band}.tif"), "--lr", str(folder / "lr_{band}.tif")]
    assert run(monkeypatch, ["validate", *each, "--bands", "B2,B4"]) == 0
    assert (
        run(monkeypatch, ["validate", str(single), "--lr", str(folder / "lr_{band}.tif"), "--bands", "B2,B3,B4"]) == 0
    )
    assert run(monkeypatch, ["validate", *each]) == 2, "'{band}' stands for nothing"
    assert run(monkeypatch, ["validate", str(two), "--lr", str(lr), "--bands", "3,1"]) == 0
    assert run(monkeypatch, ["validate", str(two), "--lr", str(lr), "--bands", "1,3"]) == 3, "the other order"
    assert run(monkeypatch, ["validate", str(two), "--lr", str(lr)]) == 2, "other bands"


def points(count: int, step: float, moved: float = 0.0) -> list[GroundControlPoint]:
    rng = np.random.default_rng(0)
    places = rng.uniform(0, 80, (count, 2))
    return [
        GroundControlPoint(step * row, step * col + moved, 600000 + 10 * col + row, 5200000 - 10 * row, 100 + col)
        for row, col in places
    ]


@pytest.mark.parametrize("count", [1, 4, 300])
@pytest.mark.parametrize("crs", ["EPSG:32632", "EPSG:4326"])
def test_control_points_are_compared_where_they_place_a_scene(
    count: int, crs: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(1, (80, 96))
    lr = write_raster(values, "lr.tif", transform=None, crs=crs, gcps=points(count, 1))
    big = values.repeat(2, 1).repeat(2, 2)

    def gates(product: list[GroundControlPoint], of: str = crs) -> list[str]:
        sr = write_raster(big, "sr.tif", transform=None, crs=of, gcps=product)
        return [check.id for check in validate_pair(sr, lr, LIMITS).failed_gates]

    assert gates(points(count, 2)) == []
    assert gates(points(count, 2)[::-1]) == [], "in any order"
    assert gates(points(count, 2, moved=0.5)) == ["grid.points"], "centres for corners"
    assert gates(points(count, 1)) == ["grid.points"], "those of the LR"
    assert gates(points(count + 1, 2)) == ["grid.points"], "one more"
    with pytest.raises(GridError, match="CRS"):
        gates(points(count, 2), "EPSG:32633")
    elsewhere = [GroundControlPoint(p.row, p.col, p.x + 1, p.y, p.z) for p in points(count, 2)]
    assert gates(elsewhere) == ["grid.points"]
    with pytest.raises(GridError, match="in different ways"):
        validate_pair(write_raster(big, "sr.tif", crs=crs), lr, LIMITS)


@pytest.mark.parametrize("crs", ["EPSG:32632", None])
def test_a_scene_that_control_points_place_is_published(
    crs: str | None, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    kept = rasterio.CRS.from_user_input(crs) if crs else rasterio.CRS()
    lr = write_raster(landscape(1, (60, 70)), "lr.tif", transform=None, crs=kept, gcps=points(9, 1))
    receipt = run_scene(direct_job(str(lr), lr.parent / "sr.tif", model="nearest-x2"), Workers(0))
    assert receipt is not None
    found = {check["id"]: check for check in receipt.checks}
    assert (found["grid.points"]["value"], found["grid.corners"]["state"]) == (0, "not measured")
    with rasterio.open(lr.parent / "sr.tif") as product:
        written, written_crs = product.gcps
    assert [(p.row, p.col, p.x, p.y, p.z) for p in written] == [(p.row, p.col, p.x, p.y, p.z) for p in points(9, 2)]
    assert (written_crs or None) == (kept or None)


def test_more_control_points_than_a_geotiff_holds_are_refused(write_raster: Callable[..., Path]) -> None:
    from srcore.storage.scene import read_header

    values = np.ones((1, 8, 8), np.uint8)
    assert read_header([write_raster(values, transform=None, gcps=points(10922, 1))]).lies_by_points
    with pytest.raises(GridError, match="found 10923"):
        read_header([write_raster(values, "more.tif", transform=None, gcps=points(10923, 1))])
