"""Products of providers in a catalog and on the command line: to published products, and up to date afterwards."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pystac
import rasterio
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import SourceError
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.raster.gdal import gdal_env
from srcore.storage.stac.document import validate_item
from tests.storage.providers.products import NAME, make_landsat, make_safe, pixels, write

CATALOG = """\
version: 1
store: ./store
datasets:
  s2:
    kind: raster
    source: ./in/*.SAFE
    bands: [red, green, blue, B11]
    model: nearest-x2
    products: [cog, stac]
    quality: {{layer: SCL, as: nodata, skip_above: {most}}}
  landsat:
    kind: raster
    source: ./in/LC09*
    model: nearest-x2
    products: [cog, stac]
"""


def make_archive(folder: Path, most: float = 0.9) -> Path:
    make_safe(folder / "in")
    make_landsat(folder / "in" / "LC09_scene")
    path = folder / "data_catalog.yaml"
    path.write_text(CATALOG.format(most=most))
    return path


def night(catalog: Path, dataset: str) -> list[Outcome]:
    return run_dataset(catalog, dataset, lambda job: run_scene(job, Workers(0)))


def test_folders_are_scenes_and_are_up_to_date_until_a_file_of_them_changes(tmp_path: Path) -> None:
    catalog = make_archive(tmp_path)
    assert [(one.scene, one.result) for one in night(catalog, "s2")] == [(NAME, "published")]
    assert [(one.scene, one.result) for one in night(catalog, "landsat")] == [("LC09_scene", "published")]
    loaded = load_catalog(catalog)
    assert {one.state for name in ("s2", "landsat") for one in scene_states(loaded, name)} == {"published"}
    band = next((tmp_path / "in").rglob("*_B11_20m.jp2"))
    write(band, pixels(20, 3), 20)
    assert [one.reason for one in scene_states(loaded, "s2")] == ["the source changed"]
    next((tmp_path / "in").rglob("*_B05_20m.jp2")).unlink()  # a band that nobody asked for
    assert [one.result for one in night(catalog, "s2")] == ["published"]


def test_the_product_says_what_the_provider_said(tmp_path: Path) -> None:
    catalog = make_archive(tmp_path)
    [outcome] = night(catalog, "s2")
    folder = tmp_path / "store/s2/products" / NAME
    with gdal_env(), rasterio.open(folder / f"{NAME}.tif") as product:
        assert product.descriptions == ("B04", "B03", "B02", "B11")
        assert [one.name for one in product.colorinterp] == ["red", "green", "blue", "undefined"]
        assert set(product.scales) == {1e-4}
        assert set(product.offsets) == {-0.1}
        assert (product.nodata, product.res, product.shape) == (0, (5, 5), (120, 120))
        np.testing.assert_array_equal(product.read(1)[::2, ::2][14:], pixels(10, 3)[14:])
        assert not product.read()[:, :24, 12:].any()
    item = pystac.Item.from_file(str(folder / f"{NAME}.json"))
    validate_item(item)
    assert item.datetime is not None
    assert item.datetime.isoformat() == "2024-06-01T10:30:21.024000+00:00"
    assert item.properties["eo:cloud_cover"] == 23.3333
    assert item.properties["platform"] == "sentinel-2a"
    bands = json.loads((folder / f"{NAME}.json").read_text())["assets"]["data"]["bands"]
    assert [band["eo:common_name"] for band in bands] == ["red", "green", "blue", "swir16"]
    assert outcome.receipt is not None
    names = {Path(source.path).name for source in outcome.receipt.sources}
    assert {"MTD_MSIL2A.xml", "MTD_TL.xml"} < names
    assert len(names) == 7


def test_two_baselines_in_one_dataset_have_their_own_numbers(tmp_path: Path) -> None:
    catalog, old = make_archive(tmp_path), NAME.replace("N0510", "N0214").replace("20240601T17", "20240601T18")
    make_safe(tmp_path / "in", name=old, baseline="02.14", offset=None)
    assert [one.result for one in night(catalog, "s2")] == ["published", "published"]
    found = {}
    for name in (NAME, old):
        with gdal_env(), rasterio.open(tmp_path / f"store/s2/products/{name}/{name}.tif") as product:
            found[name] = (set(product.scales), set(product.offsets))
    assert found == {NAME: ({1e-4}, {-0.1}), old: ({1e-4}, {0.0})}


def test_a_scene_under_clouds_fails_no_night(tmp_path: Path) -> None:
    catalog = make_archive(tmp_path, most=0.1)
    [outcome] = night(catalog, "s2")
    assert (outcome.result, outcome.code, outcome.fails) == ("skipped", "CLOUDY", False)
    [again] = night(catalog, "s2")
    assert (again.result, again.fails) == ("quarantined", False)
    assert not (tmp_path / "store/s2/products" / NAME).exists()


def test_one_broken_product_stops_no_other(tmp_path: Path) -> None:
    catalog = make_archive(tmp_path)
    other = tmp_path / "in" / f"{NAME.replace('T32TQM', 'T32TQN')}.SAFE"
    shutil.copytree(tmp_path / "in" / f"{NAME}.SAFE", other)
    (other / "MTD_MSIL2A.xml").write_text("<broken")
    assert sorted((one.result, one.code) for one in night(catalog, "s2")) == [
        ("failed", "BAD_METADATA"),
        ("published", ""),
    ]


def test_the_command_line_takes_a_folder_or_its_metadata(tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    for number, source in enumerate((safe, safe / "MTD_MSIL2A.xml")):
        options = ["--model", "nearest-x2", "--workers", "0", "--bands", "B02,B05", "--quality", "SCL"]
        done = CliRunner().invoke(app, ["upscale", str(source), str(tmp_path / f"{number}.tif"), *options])
        assert done.exit_code == 0, done.output
        assert "quality layer SCL: 23.3% of what was seen is meant" in done.output
    assert (tmp_path / "0.tif").read_bytes() == (tmp_path / "1.tif").read_bytes()
    done = CliRunner().invoke(app, ["upscale", str(safe), str(tmp_path / "2.tif"), "--quality", "udm2"])
    assert isinstance(done.exception, SourceError)
    assert (done.exception.code, done.exception.exit_code) == ("NO_QUALITY", 2)


def test_the_store_is_a_stac_catalog_that_a_night_keeps(tmp_path: Path) -> None:
    catalog = make_archive(tmp_path)
    catalog.write_text(catalog.read_text().replace("  s2:\n", "  s2:\n    title: Fields\n    licence: CC-BY-4.0\n"))
    for name in ("s2", "landsat"):
        night(catalog, name)
    root = pystac.Catalog.from_file(str(tmp_path / "store/catalog.json"))
    assert {child.id: child.title for child in root.get_children()} == {"s2": "Fields", "landsat": "landsat"}
    items = {item.id: item for item in root.get_items(recursive=True)}
    assert set(items) == {NAME, "LC09_scene"}
    assert items[NAME].collection_id == "s2"
    collection = items[NAME].get_collection()
    assert isinstance(collection, pystac.Collection)
    assert (collection.license, collection.summaries.lists["platform"]) == ("CC-BY-4.0", ["sentinel-2a"])
    assert Path(items[NAME].assets["data"].get_absolute_href() or "").is_file()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("store/**/*.json")}
    night(catalog, "s2")
    assert {path: path.stat().st_mtime_ns for path in before} == before
    catalog.write_text(catalog.read_text().replace("    title: Fields\n", "    privacy: restricted\n"))
    night(catalog, "s2")
    assert [child.id for child in pystac.Catalog.from_file(str(tmp_path / "store/catalog.json")).get_children()] == [
        "landsat"
    ]
