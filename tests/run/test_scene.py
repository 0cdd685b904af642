"""The whole path on small scenes: every form of nodata, odd sizes, due and not due."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine
from rio_cogeo.cogeo import cog_validate

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import PlanError, SRError
from srcore.run import scene
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt

HERE = Workers(0)


def upscale(source: Path, **options: Any) -> Path:
    output = source.parent / f"{source.stem}-sr.tif"
    options = {"model": "bicubic-x2", "tile": 32, "block": 32, **options}
    receipt = run_scene(direct_job(str(source), output, **options), HERE)
    assert receipt is not None
    return output


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "int32", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 67), (5, 3), (61, 83)])
def test_every_shape_and_dtype_is_published(
    dtype: str, shape: tuple[int, int], landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape(2, shape, dtype))
    with rasterio.open(source) as lr, rasterio.open(upscale(source)) as sr:
        assert (sr.height, sr.width, sr.count) == (2 * shape[0], 2 * shape[1], 2)
        assert sr.dtypes == lr.dtypes
        assert sr.crs == lr.crs
        np.testing.assert_allclose(sr.bounds, lr.bounds, rtol=0, atol=1e-9)


def test_a_product_comes_with_all_that_belongs_to_it(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    output = upscale(write_raster(landscape()), model="srcore-x2")
    valid, errors, warnings = cog_validate(output, strict=True)
    assert valid, (errors, warnings)
    receipt = Receipt.load(output.parent / "scene-sr.receipt.json")
    assert receipt is not None
    assert {item.name for item in receipt.outputs} == {
        "scene-sr.tif",
        "scene-sr.json",
        "scene-sr.png",
        "scene-sr.report.json",
        "scene-sr.report.html",
    }
    assert list(receipt.parameters["halo"]) == [16, 16]
    hidden = [path.name for path in output.parent.iterdir() if path.name.startswith(".")]
    assert [name for name in hidden if list((output.parent / name).iterdir())] == []


def test_what_comes_behind_is_imported_once_while_tiles_are_computed_and_its_failure_is_nobodys(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[str] = []

    def fails(_: str) -> None:
        threads.append(threading.current_thread().name)
        raise ImportError

    monkeypatch.setattr(scene, "import_module", fails)
    output = upscale(write_raster(landscape()))
    receipt = Receipt.load(output.parent / "scene-sr.receipt.json")
    assert receipt is not None
    assert receipt.parameters["tiles"] > 1
    assert threads == ["meanwhile_0"]
    for name in scene.BEHIND:
        assert find_spec(name)


@pytest.mark.parametrize("form", ["tag", "nan", "mask", "none"])
def test_nodata_comes_back_in_its_own_form(
    form: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(2, (53, 47), "float32" if form == "nan" else "uint16")
    valid = np.ones(values.shape[1:], bool)
    valid[10:20, :7] = valid[40:, 30:] = False
    options: dict[str, Any] = {}
    if form == "tag":
        values[:, ~valid] = 0
        options["nodata"] = 0
    elif form == "nan":
        values[:, ~valid] = np.nan
    elif form == "mask":
        options["mask"] = valid
    else:
        valid[:] = True
    with rasterio.open(upscale(write_raster(values, **options))) as sr:
        expected = np.repeat(np.repeat(valid, 2, 0), 2, 1)
        numbers = sr.read()
        found = sr.read_masks().astype(bool) & np.isfinite(numbers)
        np.testing.assert_array_equal(found, np.broadcast_to(expected, found.shape))
        assert np.isfinite(numbers[:, expected]).all()


def test_a_coarser_cut_than_was_asked_for_is_said(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    source = write_raster(landscape(1, (600, 20)))
    for tile, told in ((100, True), (256, False)):
        caplog.clear()
        job = direct_job(str(source), source.parent / "sr.tif", model="bicubic-x2", tile=tile)
        run_scene(job, HERE, until="plan")
        said = [record.message for record in caplog.records if record.levelname == "WARNING"]
        assert ("tiles of 256 x 20 px where 100 were asked for" in "".join(said)) is told
        assert len(said) == told


@pytest.mark.parametrize("name", ["srcore-x2", "bicubic-x2"])
def test_tiled_is_untiled_through_all_stages_also_beside_nodata(
    name: str, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(1, (97, 71))
    rng = np.random.default_rng(3)
    for _ in range(12):
        y, x = rng.integers(0, 90), rng.integers(0, 60)
        values[:, y : y + rng.integers(1, 25), x : x + rng.integers(1, 25)] = 0
    results = []
    for tile in (16, 40, 128):
        output = upscale(write_raster(values, f"cut-{tile}.tif", nodata=0), tile=tile, model=name, precision="float32")
        with rasterio.open(output) as sr:
            results.append(sr.read().astype(int))
    # a float that lies on a half may round either way where a kernel changes its order
    assert np.abs(results[0] - results[2]).max() <= 1
    assert (results[0] != results[2]).mean() < 1e-3
    assert (results[1] != results[2]).mean() < 1e-3


@pytest.mark.parametrize(
    "transform",
    [
        Affine(10, 0, 5e5, 0, 10, 4e6),
        Affine.translation(5e5, 4e6) * Affine.rotation(30) * Affine.scale(10, -7),
        Affine(0.1, 0, 12.3, 0, -0.1, 47.1),
    ],
    ids=["south-up", "rotated", "degrees"],
)
def test_unusual_grids_keep_their_corners(
    transform: Affine, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    crs = "EPSG:4326" if transform.a == 0.1 else "EPSG:32632"
    source = write_raster(landscape(1, (21, 33)), transform=transform, crs=crs)
    with rasterio.open(source) as lr, rasterio.open(upscale(source)) as sr:
        for corner in [(0, 0), (lr.width, lr.height), (0, lr.height)]:
            twice = (2 * corner[0], 2 * corner[1])
            np.testing.assert_allclose(sr.transform * twice, lr.transform * corner, rtol=0, atol=1e-9)


def test_a_run_stops_where_it_is_told_and_goes_on_from_there(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = write_raster(landscape())
    output = source.parent / "sr.tif"
    job = direct_job(str(source), output, model="bicubic-x2", tile=32, block=64)
    for stage in ("plan", "ingest", "upscale", "export", "validate"):
        assert run_scene(job, HERE, until=stage) is None
        assert not output.exists()
    markers = sorted((source.parent / ".sr.srcore").glob("*/done/*.json"))
    assert len(markers) == 6
    written = [path.stat().st_mtime_ns for path in markers]
    run_scene(job, HERE, until="upscale")
    assert [path.stat().st_mtime_ns for path in markers] == written
    assert run_scene(job, HERE) is not None
    assert output.exists()


def test_an_existing_output_is_kept(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> None:
    source = write_raster(landscape())
    before = upscale(source).read_bytes()
    with pytest.raises(PlanError, match="exists; use --overwrite"):
        upscale(source)
    assert upscale(source, overwrite=True).read_bytes() == before


@pytest.fixture
def archive(tmp_path: Path, landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Path:
    """A catalog of three scenes; the second is no raster."""
    write_raster(landscape(seed=1), "in/a.tif")
    (tmp_path / "in/b.tif").write_text("not a raster")
    write_raster(landscape(seed=2), "in/c.tif")
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n"
        "  fields:\n    kind: raster\n    source: ./in/*.tif\n    model: bicubic-x2\n"
    )
    return catalog


def night(catalog: Path, **options: Any) -> dict[str, Outcome]:
    outcomes = run_dataset(catalog, "fields", lambda job: run_scene(job, HERE), **options)
    return {outcome.scene: outcome for outcome in outcomes}


def test_one_bad_scene_does_not_stop_the_others(archive: Path) -> None:
    outcomes = night(archive)
    assert {name: outcome.result for name, outcome in outcomes.items()} == {
        "a": "published",
        "b": "failed",
        "c": "published",
    }
    assert outcomes["b"].code == "NOT_SUPPORTED"
    record = json.loads((archive.parent / "store/fields/quarantine/b.json").read_text())
    assert record["code"] == "NOT_SUPPORTED"
    again = night(archive)
    assert {name: outcome.result for name, outcome in again.items()} == {
        "a": "up to date",
        "b": "quarantined",
        "c": "up to date",
    }


def test_what_changes_makes_a_scene_due(archive: Path, landscape: Callable[..., np.ndarray]) -> None:
    night(archive)

    def states() -> dict[str, str]:
        return {state.scene: state.state for state in scene_states(load_catalog(archive), "fields")}

    assert states() == {"a": "published", "b": "quarantined", "c": "published"}
    source = archive.parent / "in/a.tif"
    stamp = source.stat().st_mtime_ns
    os.utime(source, ns=(stamp, stamp + 10**9))
    assert states()["a"] == "published"  # same bytes
    with rasterio.open(source, "r+") as target:
        target.write(target.read() + 1)
    assert states()["a"] == "changed"
    night(archive)
    archive.write_text(archive.read_text().replace("bicubic-x2", "nearest-x2"))
    assert states() == {"a": "changed", "b": "changed", "c": "changed"}
    night(archive)
    (archive.parent / "store/fields/products/c/c.tif").unlink()
    assert states() == {"a": "published", "b": "quarantined", "c": "new"}


def test_force_scene_and_limit_choose(archive: Path) -> None:
    assert set(night(archive, scene="c")) == {"c"}
    assert night(archive, scene="c", force=True)["c"].result == "published"
    assert night(archive, limit=1)["a"].result == "published"
    with pytest.raises(SRError, match="has no scene 'zzz'"):
        night(archive, scene="zzz")
