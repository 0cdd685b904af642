"""When a scene was taken, and what its file says of itself: where the user looks, and true in the product."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
from rasterio.transform import from_origin
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import PlanError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt

Make = Callable[..., Any]
LANDSAT = "LC08_L2SP_193029_20230602_20230607_02_T1_SR_B4"


def upscale(source: Path, output: Path, **options: Any) -> Receipt:
    options = {"model": "nearest-x2", "outputs": ("cog", "stac"), **options}
    receipt = run_scene(direct_job(str(source), output, **options), Workers(0))
    assert receipt is not None
    return receipt


def properties(item: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(item.read_text())["properties"]
    return found


@pytest.fixture
def scene(tmp_path: Path, landscape: Make) -> Callable[..., Path]:
    """A placed scene; its file's time is of 2001."""

    def make(name: str = "scene.tif", tags: dict[str, Any] | None = None, **options: Any) -> Path:
        values = landscape(1, (48, 56), options.pop("dtype", "uint16"))
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True, parents=True)
        profile = {"driver": "GTiff", "height": 48, "width": 56, "count": 1, "dtype": values.dtype, **options}
        with rasterio.open(path, "w", **profile, crs="EPSG:32632", transform=from_origin(5e5, 5e6, 10, 10)) as out:
            out.write(values)
            for domain, found in (tags or {}).items():
                out.update_tags(ns=domain or None, **found)
        os.utime(path, (1e9, 1e9))
        return path

    return make


def test_an_unknown_date_is_null_everywhere_and_never_the_time_of_the_file(
    tmp_path: Path, scene: Callable[..., Path]
) -> None:
    flags = upscale(scene(), tmp_path / "sr.tif").flags
    found = properties(tmp_path / "sr.json")
    assert found["datetime"] is None
    assert found["start_datetime"] == "1858-01-01T00:00:00Z"
    assert found["end_datetime"] > "2025"
    assert "2001-09" not in (tmp_path / "sr.json").read_text()
    told = "date unknown: no tag or name says it; see `date`"
    assert told in flags
    assert told in found["srcore:flags"]


@pytest.mark.parametrize(
    ("name", "tags", "wish", "expected"),
    [
        (f"{LANDSAT}.TIF", {}, None, "2023-06-02T00:00:00Z"),
        ("a.tif", {"": {"SENSING_TIME": "2019-05-03T10:15:26.456Z"}}, None, "2019-05-03T10:15:26.456000Z"),
        ("a.tif", {"IMAGERY": {"ACQUISITIONDATETIME": "2010-02-01 12:00:00"}}, None, "2010-02-01T12:00:00Z"),
        ("a_2023-06-02.tif", {}, "*_YYYY-MM-DD.tif", "2023-06-02T00:00:00Z"),
        ("a.tif", {}, "2023-06-02", "2023-06-02T00:00:00Z"),
    ],
)
def test_a_date_that_is_known(
    tmp_path: Path, scene: Callable[..., Path], name: str, tags: dict[str, Any], wish: str | None, expected: str
) -> None:
    receipt = upscale(scene(name, tags), tmp_path / "sr.tif", date=wish)
    assert properties(tmp_path / "sr.json")["datetime"] == expected
    assert not [flag for flag in receipt.flags if "date" in flag]


def test_a_date_that_is_none_is_refused_before_anything(tmp_path: Path, scene: Callable[..., Path]) -> None:
    with pytest.raises(PlanError, match="date cannot be used") as caught:
        upscale(scene(), tmp_path / "sr.tif", date="YYYYMM.tif")
    assert caught.value.code == "BAD_SETTING"


def test_the_product_keeps_white_and_domains_and_loses_what_is_false(
    tmp_path: Path, scene: Callable[..., Path]
) -> None:
    tags = {"": {"GSD": "10", "SENSOR": "x"}, "PROVIDER": {"CLOUD": "3", "NROWS": "48"}}
    source = scene("a.tif", tags, dtype="uint8", photometric="MINISWHITE")
    flags = upscale(source, tmp_path / "sr.tif").flags
    with rasterio.open(source) as lr, rasterio.open(tmp_path / "sr.tif") as sr:
        assert sr.tags(ns="IMAGE_STRUCTURE")["MINISWHITE"] == "YES"
        np.testing.assert_array_equal(sr.read(1)[::2, ::2], lr.read(1))
        assert sr.tags(ns="PROVIDER") == {"CLOUD": "3"}
        assert (sr.tags().get("SENSOR"), sr.tags().get("GSD")) == ("x", None)
    assert "dropped tags, not kept or false at another scale: GSD, PROVIDER:NROWS" in flags


def test_status_and_the_table_of_a_run_tell_what_a_user_should_know(tmp_path: Path, scene: Callable[..., Path]) -> None:
    scene("in/a.tif")
    scene("in/b.tif")
    catalog = tmp_path / "c.yaml"
    entry = "{kind: raster, source: ./in/*.tif, model: nearest-x2, products: [cog, stac]}"
    catalog.write_text(f"version: 1\nstore: ./s\ndatasets:\n  d: {entry}\n")
    done = CliRunner().invoke(app, ["run", "d", "--catalog", str(catalog), "--workers", "0"])
    assert done.exit_code == 0, done.output
    assert "note: 2 scenes: no nodata" in done.output
    assert "3 notes" in done.output
    told = CliRunner().invoke(app, ["status", "--catalog", str(catalog)]).output
    assert "note: 2 scenes: no nodata" in told
    rows = json.loads(CliRunner().invoke(app, ["status", "--catalog", str(catalog), "--json"]).output)["scenes"]
    assert [row["flags"][0] for row in rows] == ["no nodata"] * 2
    # the key counts as a configuration only where somebody sets it
    assert {state.state for state in scene_states(load_catalog(catalog), "d")} == {"published"}
    catalog.write_text(catalog.read_text().replace("products:", 'date: "2023-06-02", products:'))
    assert {state.state for state in scene_states(load_catalog(catalog), "d")} == {"changed"}


def volume(path: Path, shape: tuple[int, int, int], dtype: str = "int16") -> Path:
    data = (np.arange(np.prod(shape)).reshape(shape) % 500).astype(dtype)
    affine = np.diag([0.8, 0.9, 2.5, 1.0])
    nibabel.Nifti1Image(data, affine, dtype=data.dtype).to_filename(path)
    return path


def test_one_slice_is_not_doubled_and_one_by_one_it_is_done(tmp_path: Path) -> None:
    source = volume(tmp_path / "v.nii", (24, 20, 1))
    with pytest.raises(PlanError, match="would make several slices of one") as caught:
        upscale(source, tmp_path / "sr.nii", model="srcore-volume-x2")
    assert caught.value.code == "NOT_SUPPORTED"
    upscale(source, tmp_path / "sr.nii", model="nearest-x2", outputs=("nifti",))
    assert nibabel.load(tmp_path / "sr.nii").shape == (48, 40, 1)


def test_nan_and_inf_of_a_volume_are_nothing_and_told(tmp_path: Path) -> None:
    source = volume(tmp_path / "v.nii", (24, 20, 6), "float32")
    image = nibabel.load(source)
    data = np.array(image.get_fdata(dtype=np.float32))
    data[3:5, 2, 1], data[9, 9, 3] = np.nan, -np.inf
    nibabel.Nifti1Image(data, image.affine).to_filename(tmp_path / "holes.nii")
    flags = upscale(tmp_path / "holes.nii", tmp_path / "sr.nii", privacy="public").flags
    assert "2 NaN and 1 Inf among the voxels: nothing is there, in the product either" in flags
    assert "date unknown: none is kept of a volume" in flags
    assert properties(tmp_path / "sr.json")["datetime"] is None
    sr = nibabel.load(tmp_path / "sr.nii").get_fdata()
    np.testing.assert_array_equal(np.isnan(sr), np.kron(~np.isfinite(data), np.ones((2, 2, 1), bool)))
