"""Mosaics through the catalog: grouped, published, due again when a file comes or changes; named in every record."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError
from srcore.run.dataset import run_dataset
from srcore.run.scene import plain, scene_runner
from srcore.run.states import scene_states
from srcore.storage.archive.mosaics import _tell_of_lost
from srcore.storage.archive.sources import find_excluded, find_scenes

CATALOG = """\
version: 1
store: ./archive
datasets:
  tiles:
    kind: raster
    source: ./in/*.tif
    mosaic: {group: "{scene}_??.tif", order: first}
    values: continuous
    model: nearest-x2
    tile: 64
    products: [cog, stac]
"""


def values_of(size: int = 96) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    return np.stack([1500 + 900 * np.sin(x / 9) * np.cos(y / 7), 1200 + x + y]).astype("uint16")


def write(path: Path, values: np.ndarray, row: int = 0, column: int = 0, **more: Any) -> None:
    path.parent.mkdir(exist_ok=True)
    profile = {
        "driver": "GTiff",
        "count": 2,
        "height": values.shape[1],
        "width": values.shape[2],
        "dtype": values.dtype,
    }
    place = Affine(10, 0, 600000 + 10 * column, 0, -10, 5200000 - 10 * row)
    with rasterio.open(path, "w", **{"crs": "EPSG:32632", "transform": place, **profile, **more}) as target:
        target.write(values)


@pytest.fixture
def catalog(tmp_path: Path) -> Path:
    """A mosaic of four parts, `north`, of which one is not there yet, and one that does not fit, `south`."""
    values = values_of()
    for name, row, column in (("00", 0, 0), ("01", 0, 40), ("10", 50, 0)):
        part = values[:, row : 50 if row == 0 else 96, column : 40 if column == 0 else 96]
        write(tmp_path / "in" / f"north_{name}.tif", part, row, column)
    write(tmp_path / "in" / "south_00.tif", values)
    write(tmp_path / "in" / "south_01.tif", values, 0, 96, crs="EPSG:32633")
    write(tmp_path / "in" / "stray.tif", values)
    path = tmp_path / "data_catalog.yaml"
    path.write_text(CATALOG)
    return path


def run(catalog: Path, **more: Any) -> dict[str, Any]:
    with scene_runner(Workers(0, None), plain) as runner:
        return {one.scene: one for one in run_dataset(catalog, "tiles", runner, **more)}


@pytest.mark.slow
def test_a_mosaic_is_published_and_due_when_a_file_comes_or_changes(
    catalog: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        found = run(catalog)
    assert {name: one.result for name, one in found.items()} == {"north": "published", "south": "failed"}
    assert "leaves files out: 1, as stray.tif" in caplog.text
    states = {one.scene: one for one in scene_states(load_catalog(catalog), "tiles")}
    assert "BAD_MOSAIC" in states["south"].reason
    assert not states["north"].due
    folder = catalog.parent / "archive/tiles/products/north"
    receipt, item = (json.loads((folder / f"north.{end}").read_text()) for end in ("receipt.json", "json"))
    names = [f"north_{name}.tif" for name in ("00", "01", "10")]
    assert [Path(one["path"]).name for one in receipt["sources"]] == names
    assert [Path(one["href"]).name for one in item["links"] if one["rel"] == "derived_from"] == names
    assert receipt["flags"][0] == f"mosaic of 3 files, by name: {', '.join(names)}"
    values = values_of()
    with rasterio.open(folder / "north.tif") as product:
        got, mask = product.read(), product.dataset_mask() > 0
    expected = values.repeat(2, axis=1).repeat(2, axis=2)
    assert got.shape == expected.shape
    assert np.array_equal(got[:, mask], expected[:, mask])
    assert not mask[100:, 80:].any()
    assert mask.sum() == 4 * (96 * 96 - 46 * 56)

    write(catalog.parent / "in" / "north_11.tif", values[:, 50:, 40:], 50, 40)
    assert {one.scene: one.due for one in scene_states(load_catalog(catalog), "tiles")}["north"]
    assert run(catalog, scene="north")["north"].result == "published"
    with rasterio.open(folder / "north.tif") as product:
        assert np.array_equal(product.read(), expected)
    assert run(catalog, scene="north")["north"].result != "published"  # nothing to do
    write(catalog.parent / "in" / "north_11.tif", values[:, 50:, 40:] + 1, 50, 40)
    assert {one.scene: one.due for one in scene_states(load_catalog(catalog), "tiles")}["north"]


@pytest.mark.slow
def test_what_the_layer_of_one_file_hides_another_file_shows(tmp_path: Path) -> None:
    values = values_of()
    for day, dn in ((1, 0), (5, 1)):
        write(tmp_path / "in" / f"east_2024060{day}.tif", values + np.uint16(dn))
        mask = np.zeros((2, 96, 96), "uint8")  # a second band that means nothing
        mask[:, : 40 if day == 5 else 10, :50], mask[1] = 1, 0
        write(tmp_path / "masks" / f"east_2024060{day}.tif", mask)
    catalog = tmp_path / "data_catalog.yaml"
    text = CATALOG.replace('"{scene}_??.tif", order: first', '"{scene}_????????.tif", order: newest')
    quality = '    quality: {layer: "./masks/{scene}.tif", as: nodata, skip_above: 0.3}\n    roots: [./masks]\n'
    more = f'    date: "*_YYYYMMDD.tif"\n{quality}'
    catalog.write_text(text + more)
    assert [(one.result, one.message) for one in run(catalog).values()] == [("published", "")]
    folder = tmp_path / "archive/tiles/products/east"
    receipt, item = (json.loads((folder / f"east.{end}").read_text()) for end in ("receipt.json", "json"))
    with rasterio.open(folder / "east.tif") as product:
        got, mask = product.read()[:, ::2, ::2], product.dataset_mask()[::2, ::2] > 0
    old = np.zeros((96, 96), bool)
    old[:40, :50] = True
    hidden = np.zeros_like(old)
    hidden[:10, :50] = True
    assert np.array_equal(mask, ~hidden)
    assert np.array_equal(got[:, mask], np.where(old, values, values + np.uint16(1))[:, mask])
    share = 100 * (50 * 50) / (2 * 96 * 96)
    assert item["properties"]["eo:cloud_cover"] == pytest.approx(share, abs=1e-4)
    assert any(flag.startswith("quality layers mask of 2 files: 13.6% of what was seen") for flag in receipt["flags"])
    assert [Path(one["path"]).parent.name for one in receipt["sources"]] == ["in", "in", "masks", "masks"]
    assert run(catalog)["east"].result == "up to date"
    write(tmp_path / "masks" / "east_20240605.tif", np.ones((2, 96, 96), "uint8"))
    assert [one.due for one in scene_states(load_catalog(catalog), "tiles")] == [True]
    assert run(catalog)["east"].code == "CLOUDY"
    (tmp_path / "masks" / "east_20240601.tif").unlink()
    assert run(catalog)["east"].code == "NO_QUALITY"
    catalog.write_text(text + more.replace("as: nodata", "as: band"))
    assert run(catalog)["east"].code in ("BAD_SETTING", "NO_QUALITY")


def test_a_mosaic_of_which_a_file_is_excluded_is_not(catalog: Path, caplog: pytest.LogCaptureFixture) -> None:
    _tell_of_lost.cache_clear()
    catalog.write_text(CATALOG.replace("    values:", "    exclude: [north_01.tif, 'south_*', stray.tif]\n    values:"))
    loaded = load_catalog(catalog)
    entry = loaded.dataset("tiles")
    assert [(one.id, len(one.paths)) for one in find_scenes(entry, loaded.base)] == [("north", 2)]
    assert [one.id for one in find_excluded(entry, loaded.base)] == ["south"]
    assert "leaves files out" not in caplog.text  # `exclude` answers that


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('{group: "{scene}_??.tif", order: first}', '{group: "*.tif"}', "{scene} is needed once"),
        ('{group: "{scene}_??.tif", order: first}', '{group: "{scene}{scene}"}', "{scene} is needed once"),
        ('{group: "{scene}_??.tif", order: first}', '{group: "../{scene}.tif"}', "a pattern of names"),
        ('{group: "{scene}_??.tif", order: first}', '{group: "{scene}_{band}.tif"}', "a pattern of names"),
        ("order: first", "order: largest", "newest"),
        ("./in/*.tif", "./in/*_{band}.tif", "mosaic is made of rasters that hold all bands"),
        ("./in/*.tif", "https://example.org/a.tif", "the web has no lists"),
        ("./in/*.tif", "{stac: https://example.org/v1}", "a STAC item is a scene of its own"),
        ("./in/*.tif", "s3://bucket/*.tif\n    quality: {}", "files beside objects are not looked for"),
        ("kind: raster", "kind: volume", ""),
    ],
)
def test_what_is_no_mosaic_is_refused_in_the_catalog(catalog: Path, old: str, new: str, words: str) -> None:
    text = CATALOG.replace(old, new)
    if "{band}" in new and "source" not in new:
        text = text.replace("    values:", "    bands: [a, b]\n    values:")
    catalog.write_text(text)
    with pytest.raises(CatalogError) as raised:
        load_catalog(catalog)
    assert words in str(raised.value)
