"""What a source says, in its file or beside it, reaches the product, the receipt, the item and the page."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError, GateError, SourceError
from srcore.job import OUTPUTS
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt

Make = Callable[..., Any]
HERE = Workers(0)


def upscale(source: str | Path, output: Path, **options: Any) -> Receipt:
    options = {"model": "nearest-x2", "outputs": ("cog",), **options}
    receipt = run_scene(direct_job(str(source), output, **options), HERE)
    assert receipt is not None
    return receipt


def shown(path: Path) -> np.ndarray:
    """What GDAL takes for data in every band of a file, whatever its form is and whatever lies beside it."""
    with rasterio.Env(GDAL_DISABLE_READDIR_ON_OPEN="FALSE", GDAL_PAM_ENABLED="YES"), rasterio.open(path) as file:
        found: np.ndarray = (file.read_masks() > 0) & np.isfinite(file.read())
        return found


def doubled(mask: np.ndarray) -> np.ndarray:
    return np.kron(mask, np.ones((1, 2, 2), bool)).astype(bool)


def hide(path: Path) -> Path:
    """A .msk beside `path` that hides a quarter of it."""
    mask = path.with_name(f"{path.name}.msk")
    with rasterio.open(path) as file:
        values = np.full((1, file.height, file.width), 255, np.uint8)
        count = file.count
    values[:, : values.shape[1] // 2, : values.shape[2] // 2] = 0
    profile = {"driver": "GTiff", "count": 1, "height": values.shape[1], "width": values.shape[2], "dtype": "uint8"}
    with rasterio.open(mask, "w", **profile) as out:
        out.write(values)
        out.update_tags(**{f"INTERNAL_MASK_FLAGS_{i}": "2" for i in range(1, count + 1)})
    return mask


def test_a_mask_beside_the_scene_is_in_the_product_and_in_the_receipt(
    tmp_path: Path, landscape: Make, write_raster: Make
) -> None:
    source = write_raster(landscape(3, (40, 50), "uint8"))
    mask = hide(source)
    receipt = upscale(source, tmp_path / "sr.tif", outputs=OUTPUTS)
    np.testing.assert_array_equal(shown(tmp_path / "sr.tif"), doubled(shown(source)))
    assert shown(source).mean() == 0.75
    assert [Path(one.path).name for one in receipt.sources] == ["scene.tif", mask.name]
    flag = "read beside the file: scene.tif.msk (mask)"
    told = [flag, "date unknown: no tag or name says it; see `date`"]
    assert list(receipt.flags) == told
    item = json.loads((tmp_path / "sr.json").read_text())
    assert item["properties"]["srcore:flags"] == told
    assert [link["href"] for link in item["links"] if link["rel"] == "derived_from"] == [
        "./scene.tif",
        f"./{mask.name}",
    ]
    assert flag in (tmp_path / "sr.report.html").read_text()


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
def test_bands_that_hide_pixels_in_different_ways(
    tmp_path: Path, dtype: str, landscape: Make, write_raster: Make
) -> None:
    """A tag, another tag, a mask inside, a mask beside, and nothing: each band keeps its own."""
    values = landscape(5, (40, 50), dtype)
    top = 65535 if dtype == "uint16" else 254
    values[0, :5], values[1, 8:12], values[0, 20:25], values[4, :3] = 0, top, top, 0
    inside = np.full((40, 50), 255, np.uint8)
    inside[30:] = 0
    paths = [
        write_raster(values[i : i + 1], f"s_B{i}.tif", **o)
        for i, o in enumerate(({"nodata": 0}, {"nodata": top}, {"mask": inside}, {}, {}))
    ]
    hide(paths[3])
    receipt = upscale(tmp_path / "s_{band}.tif", tmp_path / "sr.tif", bands=tuple(f"B{i}" for i in range(5)))
    expected = np.concatenate([shown(path) for path in paths])
    assert [round(float(one.mean()), 3) for one in expected] == [0.875, 0.9, 0.75, 0.75, 1]
    np.testing.assert_array_equal(shown(tmp_path / "sr.tif"), doubled(expected))
    if dtype != "float32":
        assert any("bands hide pixels in different ways" in flag for flag in receipt.flags)


@pytest.mark.parametrize("hides", ["mask", "alpha"])
def test_nan_under_a_mask_or_alpha_in_one_band(tmp_path: Path, hides: str, landscape: Make, write_raster: Make) -> None:
    values = landscape(4, (40, 50), "float32")
    mask = np.full((40, 50), 255, np.uint8)
    mask[:9] = 0
    values[1, 20:30, 5:40] = np.nan
    expected = np.isfinite(values[:3]) & (mask > 0)
    if hides == "alpha":
        values[3] = mask
        source = write_raster(values, photometric="RGB", alpha="YES")
    else:
        source = write_raster(values[:3], mask=mask)
    upscale(source, tmp_path / "sr.tif")
    np.testing.assert_array_equal(shown(tmp_path / "sr.tif")[:3], doubled(expected))


def test_near_infrared_that_is_called_alpha(tmp_path: Path, landscape: Make, write_raster: Make) -> None:
    values = landscape(4, (40, 50), "uint8")
    values[3, 10:20, 10:20] = 0
    source = write_raster(values, photometric="RGB", alpha="YES")
    for name, options in (("auto", {}), ("named", {"bands": ("1", "2", "3", "4")}), ("data", {"alpha": "data"})):
        receipt = upscale(source, tmp_path / f"{name}.tif", **options)
        with rasterio.open(tmp_path / f"{name}.tif") as sr:
            assert [colour.name for colour in sr.colorinterp] == ["red", "green", "blue", "undefined"]
            means = sr.read().reshape(4, 40, 2, 50, 2).mean(axis=(2, 4))
        assert shown(tmp_path / f"{name}.tif").all()
        assert np.abs(means - values)[:3].mean() < 2
        assert any("called alpha" in flag for flag in receipt.flags) == (name != "data")
    assert upscale(source, tmp_path / "mask.tif", alpha="mask").configuration != receipt.configuration
    assert shown(tmp_path / "mask.tif")[:3].mean() == 0.95


def test_a_tag_that_lost_digits(tmp_path: Path, landscape: Make, write_raster: Make) -> None:
    values = landscape(1, (40, 50), "float32")
    values[0, :10] = np.finfo(np.float32).min
    source = write_raster(values, nodata=-3.4e38)
    upscale(source, tmp_path / "sr.tif")
    np.testing.assert_array_equal(shown(tmp_path / "sr.tif"), doubled(shown(source)))
    assert shown(source).mean() == 0.75


def test_an_undeclared_number_is_told_where_the_user_looks(tmp_path: Path, landscape: Make, write_raster: Make) -> None:
    values = landscape(1, (60, 80), "int16")
    values[0, ::40, ::10] = -9999
    source = write_raster(values)
    told = "-9999 in band 1 looks like nodata and is data here; 0.333 % of the pixels; --nodata -9999"
    done = CliRunner().invoke(
        app, ["upscale", str(source), str(tmp_path / "sr.tif"), "--model", "nearest-x2", "--workers", "0"]
    )
    assert done.exit_code == 0, done.output
    assert f"note: {told}" in done.output
    receipt = json.loads((tmp_path / "sr.receipt.json").read_text())
    assert any(flag.startswith(told) for flag in receipt["flags"])
    assert told in (tmp_path / "sr.report.html").read_text()
    assert any(told in flag for flag in json.loads((tmp_path / "sr.json").read_text())["properties"]["srcore:flags"])


def test_a_gate_that_stops_a_product_tells_of_it_too(tmp_path: Path, landscape: Make, write_raster: Make) -> None:
    values = landscape(1, (60, 80), "int16")
    values[0, 20:40, 20:40] = -9999
    limits = {"detail.beyond": {"gate": 0.0}}
    with pytest.raises(GateError, match=r"looks like nodata and is data here; 8\.33 % of the pixels; --nodata -9999"):
        upscale(write_raster(values), tmp_path / "sr.tif", model="bicubic-x2", limits=limits)


def test_what_nothing_can_be_computed_with_is_refused_at_ingest(
    tmp_path: Path, landscape: Make, write_raster: Make
) -> None:
    values = landscape(1, (60, 80), "float32")
    values[0, :6] = np.finfo(np.float32).min
    with pytest.raises(SourceError, match=r"found 10 % of the pixels; --nodata -3\.40282347e\+38") as caught:
        upscale(write_raster(values), tmp_path / "sr.tif")
    assert caught.value.code == "UNDECLARED"
    receipt = upscale(write_raster(values), tmp_path / "sr.tif", nodata=-3.4e38)
    assert shown(tmp_path / "sr.tif").mean() == 0.9
    assert receipt.flags == ()


# ---- a dataset --------------------------------------------------------------------------------------------------


@pytest.fixture
def archive(tmp_path: Path, landscape: Make, write_raster: Make) -> Path:
    """A catalog of two scenes, one of them in capitals."""
    write_raster(landscape(1, (30, 40), seed=1), "in/a.tif")
    write_raster(landscape(1, (30, 40), seed=2), "in/B.TIF")
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n"
        "  fields:\n    kind: raster\n    source: ./in/*.tif\n    model: nearest-x2\n    products: [cog, stac]\n"
    )
    return catalog


def night(catalog: Path) -> dict[str, str]:
    return {one.scene: one.result for one in run_dataset(catalog, "fields", lambda job: run_scene(job, HERE))}


def states(catalog: Path) -> dict[str, str]:
    return {one.scene: one.state for one in scene_states(load_catalog(catalog), "fields")}


def test_a_mask_that_arrives_makes_a_scene_due(archive: Path) -> None:
    """Statistics beside it do not; a mask that changes or goes does."""
    assert night(archive) == {"a": "published", "B": "published"}
    scene = archive.parent / "in/a.tif"
    words = (
        "<PAMDataset><PAMRasterBand band='1'><Metadata><MDI key='STATISTICS_MEAN'>1</MDI></Metadata></PAMRasterBand>"
    )
    scene.with_name("a.tif.aux.xml").write_text(f"{words}</PAMDataset>")
    assert states(archive) == {"a": "published", "B": "published"}
    mask = hide(scene)
    assert states(archive) == {"a": "changed", "B": "published"}
    assert night(archive) == {"a": "published", "B": "up to date"}
    assert shown(archive.parent / "store/fields/products/a/a.tif").mean() == 0.75
    later = mask.stat().st_mtime_ns + 10**9
    os.utime(mask, ns=(later, later))
    assert states(archive)["a"] == "published"  # the same bytes
    with rasterio.open(mask, "r+") as out:
        out.write(np.full((1, 30, 40), 255, np.uint8))
    assert states(archive)["a"] == "changed"
    mask.unlink()
    assert night(archive)["a"] == "published"
    assert shown(archive.parent / "store/fields/products/a/a.tif").all()


def test_a_bad_neighbour_is_quarantined_until_it_is_mended(archive: Path) -> None:
    words = archive.parent / "in/a.tif.aux.xml"
    words.write_text("<PAMDataset>")
    assert night(archive) == {"a": "failed", "B": "published"}
    record = json.loads((archive.parent / "store/fields/quarantine/a.json").read_text())
    assert record["code"] == "SIDECAR"
    assert night(archive) == {"a": "quarantined", "B": "up to date"}
    words.write_text("<PAMDataset><PAMRasterBand band='1'><NoDataValue>7</NoDataValue></PAMRasterBand></PAMDataset>")
    assert night(archive) == {"a": "published", "B": "up to date"}
    with rasterio.open(archive.parent / "store/fields/products/a/a.tif") as product:
        assert product.nodata == 7


def test_names_that_are_no_utf8(archive: Path, landscape: Make, write_raster: Make) -> None:
    """Published, refused or quarantined: every document stays one that any program reads."""
    archive.write_text(archive.read_text().replace("[cog, stac]", "[cog, stac, report]"))
    folder = os.fsencode(archive.parent / "in")
    good, bad = folder + b"/sc\xe9ne.tif", folder + b"/b\xe4d.tif"
    os.rename(hide(archive.parent / "in/a.tif"), good + b".msk")
    os.rename(archive.parent / "in/a.tif", good)
    Path(os.fsdecode(bad)).write_bytes(b"not a raster")
    results = night(archive)
    assert sorted(results.values()) == ["failed", "published", "published"]
    (scene,) = (name for name in results if name.startswith("sc-ne-"))
    products = archive.parent / "store/fields/products" / scene
    assert shown(products / f"{scene}.tif").mean() == 0.75
    documents = [*(archive.parent / "store").rglob("*.json")]
    assert len(documents) >= 7
    for document in documents:
        text = document.read_bytes().decode()
        assert json.dumps(json.loads(text), ensure_ascii=False).encode()
    receipt = Receipt.load(products / f"{scene}.receipt.json")
    assert receipt is not None
    assert Path(receipt.sources[0].path).name == "sc\\udce9ne.tif"
    assert sorted(states(archive).values()) == ["published", "published", "quarantined"]
    assert sorted(night(archive).values()) == ["quarantined", "up to date", "up to date"]
    with pytest.raises(Exception, match="an output's name must be UTF-8"):
        upscale(archive.parent / "in/B.TIF", Path(os.fsdecode(folder + b"/\xff.tif")))


def test_a_source_of_folders(tmp_path: Path) -> None:
    (tmp_path / "in/S2A_MSIL2A.SAFE").mkdir(parents=True)
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        "version: 1\nstore: ./store\ndatasets:\n"
        "  fields:\n    kind: raster\n    source: ./in/*.SAFE\n    model: nearest-x2\n"
    )
    with pytest.raises(CatalogError, match=r"matches folders; found S2A_MSIL2A\.SAFE: a Sentinel product.*_10m\.jp2"):
        scene_states(load_catalog(catalog), "fields")
