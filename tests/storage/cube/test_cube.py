"""A product as Zarr: xarray and rioxarray read the COG's pixels, coordinates, names, numbers and nodata in it."""

from __future__ import annotations

import json
import shutil
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
from zarr.storage import ZipStore

import srcore
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import CatalogError, StoreError
from srcore.run.dataset import run_dataset
from srcore.run.scene import run_scene
from srcore.storage.cube import attributes, levels, verify_cube, write_cube
from srcore.storage.scene import read_header

xarray = pytest.importorskip("xarray", reason="needs the extra xarray: pip install srcore[xarray]")
rioxarray = pytest.importorskip("rioxarray", reason="needs the extra xarray: pip install srcore[xarray]")


def scene_in(place: Path, nodata: float | None, dtype: str = "uint16", crs: str = "EPSG:32633") -> Path:
    """Three bands, 210 x 170 pixels of 10 m, a hole, and the numbers of a reflectance."""
    path = place / "west.tif"
    rng = np.random.default_rng(2)
    values = (rng.random((3, 210, 170)) * 4000 + 1000).astype(dtype)
    profile: dict[str, Any] = {"driver": "GTiff", "count": 3, "height": 210, "width": 170, "dtype": dtype, "crs": crs}
    if nodata is not None:
        values[:, 50:90, 20:60] = nodata
        profile["nodata"] = nodata
    corner = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
    with rasterio.open(path, "w", **profile, transform=corner) as file:
        file.write(values)
        file.descriptions = ("B02", "B03", "near infrared/8")
        file.scales, file.offsets = (1e-4,) * 3, (-0.1,) * 3
        file.update_tags(TIFFTAG_DATETIME="2023:06:02 10:00:00")
    return path


def published(place: Path, nodata: float | None, dtype: str = "uint16") -> Path:
    """The folder of a product with a Zarr, as a catalog makes it."""
    scene_in(place, nodata, dtype)
    entry = "kind: raster\n    source: ./west.tif\n    model: bicubic-x2\n    products: [cog, zarr, stac, report]\n"
    path = place / "data_catalog.yaml"
    path.write_text(f"version: 1\nstore: ./archive\ndatasets:\n  one:\n    {entry}")
    [outcome] = run_dataset(path, "one", lambda job: run_scene(job, Workers(0)))
    assert outcome.ok, outcome
    return place / "archive/one/products/west"


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return published(tmp_path_factory.mktemp("cube"), 0)


def test_xarray_reads_the_pixels_and_places_of_the_cog(product: Path) -> None:
    with ZipStore(product / "west.zarr.zip", mode="r") as store:
        found = xarray.open_zarr(store, decode_coords="all", mask_and_scale=False)
        cog = rioxarray.open_rasterio(product / "west.tif")
        assert list(found.data_vars) == ["B02", "B03", "band_3"]
        for name, plane in zip(found.data_vars, cog, strict=True):
            assert found[name].dtype == plane.dtype
            assert np.array_equal(found[name].values, plane.values)
        assert np.array_equal(found.x.values, cog.x.values)
        assert np.array_equal(found.y.values, cog.y.values)
        assert found.rio.crs == cog.rio.crs
        assert found.rio.transform() == cog.rio.transform()
        assert found.rio.bounds() == cog.rio.bounds()
        assert found["band_3"].attrs["long_name"] == "near infrared/8"


def test_xarray_knows_the_numbers_and_the_holes(product: Path) -> None:
    with ZipStore(product / "west.zarr.zip", mode="r") as store:
        found = xarray.open_zarr(store, decode_coords="all")
        with rasterio.open(product / "west.tif") as cog:
            raw, mask = cog.read(1), cog.read_masks(1)
        assert np.array_equal(np.isnan(found.B02.values), mask == 0)
        assert (mask == 0).sum() == 80 * 80
        wanted = raw[mask > 0] * 1e-4 - 0.1
        np.testing.assert_allclose(found.B02.values[mask > 0], wanted, rtol=0, atol=1e-6)


def test_each_overview_of_the_cog_is_a_level(product: Path) -> None:
    with ZipStore(product / "west.zarr.zip", mode="r") as store:
        root = xarray.open_zarr(store, mask_and_scale=False)
        layout = root.attrs["multiscales"]["layout"]
        with rasterio.open(product / "west.tif") as cog:
            assert len(layout) == 1 + len(cog.overviews(1))
        for number, one in enumerate(layout[1:]):
            coarse = xarray.open_zarr(store, group=one["asset"], mask_and_scale=False, decode_coords="all")
            with rasterio.open(product / "west.tif", overview_level=number) as cog:
                assert np.array_equal(coarse.B03.values, cog.read(2))
                assert coarse.rio.transform() == cog.transform
    conventions = {one["name"] for one in root.attrs["zarr_conventions"]}
    assert conventions == {"proj:", "spatial:", "multiscales"}
    assert (root.attrs["proj:code"], root.attrs["spatial:shape"]) == ("EPSG:32633", [420, 340])
    assert root.attrs["spatial:transform"] == [5, 0, 500_000, 0, -5, 5_000_000]


def test_the_receipt_and_the_item_have_it(product: Path) -> None:
    receipt = json.loads((product / "west.receipt.json").read_text())
    [output] = [one for one in receipt["outputs"] if one["name"] == "west.zarr.zip"]
    asset = json.loads((product / "west.json").read_text())["assets"]["zarr"]
    assert asset["file:checksum"] == f"1220{output['sha256']}"
    assert asset["type"].startswith("application/vnd.zarr; version=3")
    assert [band["name"] for band in asset["bands"]] == ["B02", "B03", "band_3"]


def test_validate_looks_at_it(product: Path, tmp_path: Path) -> None:
    checks = {one["id"]: one for one in json.loads((product / "west.receipt.json").read_text())["checks"]}
    assert (checks["file.zarr"]["passed"], checks["file.zarr"]["kind"]) == (True, "GATE")
    for name in ("west.tif", "west.zarr.zip"):
        shutil.copy(product / name, tmp_path / name)
    scene = product.parents[3] / "west.tif"
    assert srcore.validate(tmp_path / "west.tif", scene).verdict != "failed"
    with (tmp_path / "west.zarr.zip").open("r+b") as file:
        file.truncate(5000)
    [check] = [one for one in srcore.validate(tmp_path / "west.tif", scene).checks if one.id == "file.zarr"]
    assert not check.passed


def test_the_same_product_has_the_same_bytes_and_damage_is_found(product: Path, tmp_path: Path) -> None:
    header = read_header([product / "west.tif"])
    for name in ("a.zarr.zip", "b.zarr.zip"):
        write_cube(tmp_path / name, product / "west.tif", header)
    raw = (tmp_path / "a.zarr.zip").read_bytes()
    assert (tmp_path / "b.zarr.zip").read_bytes() == raw
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr.zip", "b.zarr.zip"]
    verify_cube(tmp_path / "a.zarr.zip", product / "west.tif", header)
    broken = bytearray(raw)
    broken[len(raw) // 2] ^= 1
    (tmp_path / "a.zarr.zip").write_bytes(broken)
    with pytest.raises(StoreError) as caught:
        verify_cube(tmp_path / "a.zarr.zip", product / "west.tif", header)
    assert caught.value.code == "VERIFY_FAILED"
    with zipfile.ZipFile(tmp_path / "b.zarr.zip") as packed:
        codecs = json.loads(packed.read("B02/zarr.json"))["codecs"]
    assert {one["name"] for one in codecs} == {"bytes", "zstd"}


def test_a_mask_is_a_variable(tmp_path: Path) -> None:
    path = scene_in(tmp_path, None)
    with rasterio.open(path, "r+") as file:
        mask = np.full((210, 170), 255, np.uint8)
        mask[10:20] = 0
        file.write_mask(mask)
    header = read_header([path])
    write_cube(tmp_path / "a.zarr.zip", path, header)
    with ZipStore(tmp_path / "a.zarr.zip", mode="r") as store:
        found = xarray.open_zarr(store)
        assert np.array_equal(found.valid.values, mask // 255)


def test_a_mask_is_compared_too(tmp_path: Path) -> None:
    path = scene_in(tmp_path, None)
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.full((210, 170), 255, np.uint8))
    header = read_header([path])
    write_cube(tmp_path / "a.zarr.zip", path, header)
    verify_cube(tmp_path / "a.zarr.zip", path, header)
    with rasterio.open(path, "r+") as file:
        file.write_mask(np.pad(np.full((209, 170), 255, np.uint8), [(1, 0), (0, 0)]))
    with pytest.raises(StoreError, match="valid of the whole, row 0"):
        verify_cube(tmp_path / "a.zarr.zip", path, header)


def test_no_width_is_held_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("srcore.storage.cube.levels.PIECE_BYTES", 2 * 512 * 512 * 3 * 2)
    values = np.arange(3 * 600 * 2300, dtype=np.uint16).reshape(3, 600, 2300)
    with rasterio.open(
        tmp_path / "wide.tif", "w", driver="GTiff", count=3, height=600, width=2300, dtype="uint16"
    ) as file:
        file.write(values)
    seen = np.zeros_like(values)
    with levels.level(tmp_path / "wide.tif", 0, 3) as whole:
        for piece, found in whole.pieces():
            assert found.nbytes <= levels.PIECE_BYTES
            seen[(slice(None), *piece)] += found
    assert np.array_equal(seen, values)
    header = read_header([tmp_path / "wide.tif"])
    write_cube(tmp_path / "a.zarr.zip", tmp_path / "wide.tif", header)
    verify_cube(tmp_path / "a.zarr.zip", tmp_path / "wide.tif", header)


def test_floats_with_nan_stay_nan(tmp_path: Path) -> None:
    path = scene_in(tmp_path, float("nan"), "float32")
    write_cube(tmp_path / "a.zarr.zip", path, header := read_header([path]))
    verify_cube(tmp_path / "a.zarr.zip", path, header)
    with ZipStore(tmp_path / "a.zarr.zip", mode="r") as store:
        found = xarray.open_zarr(store)
        assert int(np.isnan(found.B02.values).sum()) == 40 * 40


@pytest.mark.parametrize(
    ("bands", "names"),
    [
        (
            ["x", "B1", "B1", "spatial_ref", "", "Grün", "a/b"],
            ["band_1", "B1", "band_3", "band_4", "band_5", "band_6", "band_7"],
        ),
        (["../../etc", "band_1"], ["band_1", "band_2"]),
        (["band_3", "level_1", "a/b", "level_up"], ["band_1", "band_2", "band_3", "level_up"]),
    ],
)
def test_names_of_bands_are_names_of_variables(bands: list[str], names: list[str]) -> None:
    assert attributes.variable_names(bands) == names


def test_a_zarr_stands_beside_a_cog(tmp_path: Path) -> None:
    path = tmp_path / "data_catalog.yaml"
    entry = "kind: raster\n    source: ./*.tif\n    model: srcore-x2\n    products: [zarr]\n"
    path.write_text(f"version: 1\nstore: ./a\ndatasets:\n  one:\n    {entry}")
    with pytest.raises(CatalogError, match="never goes without cog"):
        load_catalog(path)
