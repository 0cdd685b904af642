"""xarray in, xarray out: the pixels of the file, in the right place, with their names, lazily where Dask is."""

from __future__ import annotations

import runpy
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dask
import dask.array as da
import numpy as np
import pytest
import rasterio
import rioxarray
import torch
import xarray as xr
from rasterio.control import GroundControlPoint
from rasterio.crs import CRS
from rasterio.transform import Affine

import srcore
from srcore.checkpoints import Architecture
from srcore.errors import GridError, PlanError, SourceError, SRError
from srcore.run.face import FILES_ONLY
from srcore.weights import build, describe, save_checkpoint

FAST, PLAIN = "srcore-x2-fast", "bicubic-x2"


@pytest.fixture(autouse=True)
def _nothing_is_left_out_unseen() -> Any:
    """What a test does not expect to be told as left out is an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="srcore:")
        yield


def opened(path: Path, **options: Any) -> xr.DataArray:
    found = rioxarray.open_rasterio(path, **options)
    assert isinstance(found, xr.DataArray)
    return found


def small(*dims: str, **sizes: int) -> xr.DataArray:
    """uint8 values with coordinates on y and x, y downwards."""
    shape = [sizes.get(dim, {"y": 20, "x": 30}.get(dim, 2)) for dim in dims]
    values = np.random.default_rng(0).integers(1, 250, shape, "uint8")
    coords = {"y": 900 - 10.0 * np.arange(sizes.get("y", 20)), "x": 5 + 10.0 * np.arange(sizes.get("x", 30))}
    return xr.DataArray(values, {dim: coords[dim] for dim in dims if dim in coords}, dims, "small")


CASES: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("uint16", {"nodata": 0}, {}),
    ("uint16", {}, {"nodata": 512.0}),
    ("int16", {"nodata": -1}, {"sharpen": 0.1, "back_projection": 2}),
    ("uint8", {}, {"denoise": 1.0}),
    ("float32", {"nodata": float("nan")}, {"back_projection": 0}),
    ("float32", {"nodata": -9999}, {}),
    ("float32", {"nodata": -3.4e38}, {}),
]


@pytest.mark.parametrize(("dtype", "profile", "options"), CASES)
def test_an_array_gets_the_pixels_of_its_file(
    dtype: str,
    profile: dict[str, Any],
    options: dict[str, Any],
    landscape: Callable[..., np.ndarray],
    write_raster: Callable[..., Path],
) -> None:
    values = landscape(2, (50, 43), dtype)
    if nothing := {**profile, **options}.get("nodata"):
        values[:, 10:20, :17] = nothing
    if dtype == "float32":
        values[1, 40:, 30:] = np.nan
    path = write_raster(values, **profile)
    options = {"model": FAST, "tile": 32, **options}
    product = srcore.upscale(path, path.with_name("sr.tif"), validate=False, **options)
    sr, written = srcore.upscale(opened(path), **options), opened(product.data)
    np.testing.assert_array_equal(sr.values, written.values)
    assert sr.dtype == written.dtype
    assert sr.rio.transform().almost_equals(written.rio.transform())
    assert sr.rio.crs == written.rio.crs
    assert str(sr.rio.nodata) == str(written.rio.nodata)
    np.testing.assert_allclose(sr.x, written.x, rtol=0, atol=1e-6)
    np.testing.assert_allclose(sr.y, written.y, rtol=0, atol=1e-6)
    lazily = opened(path, chunks={"x": 19, "y": 23})
    if "denoise" not in options:
        np.testing.assert_array_equal(srcore.upscale(lazily, **options).values, written.values)


@pytest.mark.parametrize("tile", [None, 16, 33])
def test_chunks_and_tiles_change_no_bit(tile: int | None, landscape: Callable[..., np.ndarray]) -> None:
    values = landscape(2, (70, 61), "float32")
    values[:, 30:40, 20:50] = np.nan
    source = xr.DataArray(values, dims=("band", "y", "x"))
    computed = srcore.upscale(source, model=PLAIN, tile=tile)
    for chunks in (7, (1, 70, 13), (2, 32, 61)):
        lazy = srcore.upscale(source.copy(data=da.from_array(values, chunks)), model=PLAIN, tile=tile)
        assert lazy.chunks is not None
        np.testing.assert_array_equal(lazy.values, computed.values)
    whole = srcore.upscale(source, model=PLAIN, tile=128)
    np.testing.assert_allclose(computed, whole, rtol=1e-6)
    assert computed.equals(srcore.upscale(source, model=PLAIN, tile=tile))


def test_a_lazy_array_reads_for_a_tile_what_the_tile_sees() -> None:
    read: list[Any] = []

    def block(block_info: Any = None) -> np.ndarray:
        read.append(block_info[None]["chunk-location"])
        return np.random.default_rng(read[-1]).integers(1, 99, (1, 256, 256), "uint16")

    values = da.map_blocks(
        block, chunks=((1,), (256,) * 8, (256,) * 8), dtype="uint16", meta=np.empty((0, 0, 0), "uint16")
    )
    with dask.config.set(scheduler="synchronous"):
        sr = srcore.upscale(xr.DataArray(values, dims=("band", "y", "x")), model=FAST, tile=256)
        assert len(read) == 64  # once for the normalisation
        read.clear()
        assert sr.isel(y=slice(0, 512), x=slice(512, 1024)).values.shape == (1, 512, 512)
    assert set(read) == {(0, row, col) for row in (0, 1) for col in (0, 1, 2)}
    assert sr.data.chunks == ((1,), (512,) * 8, (512,) * 8)


@pytest.mark.parametrize("ascending", [False, True])
def test_coordinates_are_the_centres_of_the_finer_pixels(ascending: bool) -> None:
    source = small("y", "x")
    source = source.isel(y=slice(None, None, -1)) if ascending else source
    source.y.attrs["units"] = "metre"
    sr = srcore.upscale(source, model=PLAIN)
    assert sr.dims == ("y", "x")
    np.testing.assert_allclose(sr.coarsen(y=2, x=2).mean().y, source.y, rtol=0, atol=1e-9)
    np.testing.assert_allclose(sr.coarsen(y=2, x=2).mean().x, source.x, rtol=0, atol=1e-9)
    assert sr.y.attrs == source.y.attrs
    assert sr.rio.bounds() == source.rio.bounds()
    assert (sr.rio.crs, sr.name, "spatial_ref" in sr.coords) == (None, "small", False)


@pytest.mark.parametrize(
    "dims", [("band", "y", "x"), ("y", "x", "band"), ("channel", "lat", "lon"), ("x", "y"), ("time", "y", "x", "band")]
)
def test_dimensions_keep_their_order_and_names(dims: tuple[str, ...]) -> None:
    source = small(*dims, **{"lat": 20, "lon": 30})
    sr = srcore.upscale(source, model="nearest-x2", back_projection=0)
    assert sr.dims == dims
    expected = source
    for dim in set(dims) & {"y", "x", "lat", "lon"}:
        expected = expected.isel({dim: np.repeat(np.arange(source.sizes[dim]), 2)})
    np.testing.assert_array_equal(sr.values, expected.values)


@pytest.mark.parametrize("lazy", [False, True])
def test_every_moment_is_done_by_itself(lazy: bool) -> None:
    days = np.array(["2024-05-01", "2024-05-02", "2024-05-03"], "datetime64[ns]")
    source = small("time", "band", "y", "x", time=3).assign_coords(time=days, cloud=("time", [0.1, 0.2, 0.3]))
    sr = srcore.upscale(source.chunk(x=7) if lazy else source, model=FAST)
    assert (sr.chunks is not None) == lazy
    assert (sr.time == source.time).all()
    assert sr.cloud.values.tolist() == [0.1, 0.2, 0.3]
    for day in range(3):
        one = srcore.upscale(source.isel(time=day), model=FAST)
        np.testing.assert_array_equal(sr.isel(time=day).values, one.values)


def test_names_attributes_and_encoding_stay_where_they_hold(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    path = write_raster(landscape(3), nodata=0)
    with rasterio.open(path, "r+") as target:
        target.descriptions = ("blue", "green", "red")
        target.update_tags(SENSOR="x")
        target.scales = (1e-4,) * 3
    source = opened(path)
    source.attrs["STATISTICS_MEAN"] = 7
    with pytest.warns(UserWarning, match="srcore: left out of the SR: attribute STATISTICS_MEAN"):
        sr = srcore.upscale(source, model=PLAIN)
    assert "STATISTICS_MEAN" not in sr.attrs
    assert sr.attrs == {name: value for name, value in source.attrs.items() if name != "STATISTICS_MEAN"}
    assert sr.band.values.tolist() == [1, 2, 3]
    masked = opened(path, masked=True)
    sr = srcore.upscale(masked, model=PLAIN)
    assert (sr.rio.encoded_nodata, sr.encoding["rasterio_dtype"]) == (0, "uint16")
    assert "preferred_chunks" not in sr.encoding
    sr.rio.to_raster(path.with_name("back.tif"))
    with rasterio.open(path.with_name("back.tif")) as back:
        assert (back.nodata, back.dtypes[0], back.descriptions) == (0, "uint16", ("blue", "green", "red"))
        np.testing.assert_allclose(back.transform, Affine(5, 0, 600000, 0, -5, 5200000))


def test_bands_are_chosen_by_label_name_or_number() -> None:
    source = small("band", "y", "x", band=3).assign_attrs(long_name=("blue", "green", "red"), units=("a", "b", "c"))
    every = srcore.upscale(source, model=PLAIN)
    for bands in (["red", "blue"], "red,blue", [3, 1]):
        sr = srcore.upscale(source, model=PLAIN, bands=bands)
        np.testing.assert_array_equal(sr.values, every.values[[2, 0]])
        assert (sr.attrs["long_name"], sr.attrs["units"]) == (("red", "blue"), ("c", "a"))
    labelled = source.assign_coords(band=["B04", "B03", "B02"])
    assert srcore.upscale(labelled, model=PLAIN, bands=["B02"]).band.values.tolist() == ["B02"]
    with pytest.raises(SourceError, match=r"band 'nir' is not in the array; found B04 or blue or 1, B03"):
        srcore.upscale(labelled, model=PLAIN, bands=["nir"])
    with pytest.raises(SourceError, match="named more than once"):
        srcore.upscale(labelled, model=PLAIN, bands=["B04", "blue"])
    with pytest.raises(SourceError, match="bands are named, and the array has none"):
        srcore.upscale(small("y", "x"), model=PLAIN, bands=[1])


def test_a_nodata_number_is_told_of_the_result() -> None:
    source = small("y", "x")
    source[3:6, 4:9] = 0
    sr = srcore.upscale(source, model=PLAIN, nodata=0)
    assert sr.rio.nodata == 0
    np.testing.assert_array_equal(sr.values == 0, (source.values == 0).repeat(2, 0).repeat(2, 1))
    with pytest.warns(UserWarning, match="its nodata, which uint8 cannot hold"):
        srcore.upscale(source.assign_attrs(_FillValue=-9999), model=PLAIN)


@pytest.mark.parametrize("lazy", [False, True])
def test_numbers_that_look_like_nodata_are_told(lazy: bool) -> None:
    source = small("y", "x").astype("float32")
    source[:4, :20] = -9999
    source = source.chunk() if lazy else source
    with pytest.warns(UserWarning, match="srcore: -9999 in band 1 looks like nodata and is data here"):
        srcore.upscale(source, model=FAST)
    sr = srcore.upscale(source, model=FAST, nodata=-9999)
    assert (sr.values == -9999).sum() == 4 * 4 * 20
    with pytest.raises(SourceError, match="looks like nodata") as caught:
        srcore.upscale(source * np.float32(1e30), model=FAST)
    assert caught.value.code == "UNDECLARED"


@pytest.mark.parametrize("lazy", [False, True])
def test_a_dataset_gives_its_bands(lazy: bool) -> None:
    one, two = small("y", "x").rename("red"), (small("y", "x") // 2).astype("int16").rename("nir")
    source = xr.Dataset({"red": one, "nir": two, "sun": 41.0}, attrs={"title": "field"}).rio.write_crs(32632)
    source = source.reset_coords("spatial_ref")  # as a reader that knows no CF leaves it
    sr = srcore.upscale(source.chunk() if lazy else source, model=FAST)
    assert list(sr.data_vars) == ["red", "nir", "sun"]
    assert (sr.attrs, float(sr.sun), sr.red.rio.crs) == ({"title": "field"}, 41.0, CRS.from_epsg(32632))
    for name, band in (("red", one), ("nir", two)):
        assert sr[name].dtype == band.dtype
        np.testing.assert_array_equal(sr[name].values, srcore.upscale(band, model=FAST).values)
    assert list(srcore.upscale(source, model=PLAIN, bands=["nir"]).data_vars) == ["nir"]
    with pytest.raises(SourceError, match="no band 'blue'; found red, nir"):
        srcore.upscale(source, model=PLAIN, bands=["blue"])


def test_bands_that_a_generator_sees_together_are_given_together(tmp_path: Path) -> None:
    torch.manual_seed(0)
    architecture = Architecture(name="edsr", params={"width": 4, "blocks": 1, "bands": 2})
    spec = describe("pair", architecture)
    save_checkpoint(tmp_path / "pair", spec, build(spec), "")
    red, nir = small("y", "x", y=30) // 3, small("y", "x", y=30)
    both = srcore.super_resolve(np.stack([red, nir]), model=tmp_path / "pair")
    for lazy in (False, True):
        source = xr.Dataset({"red": red.assign_attrs(units="DN"), "nir": nir, "sun": 41.0})
        sr = srcore.upscale(source.chunk() if lazy else source, model=tmp_path / "pair")
        np.testing.assert_array_equal(np.stack([sr.red, sr.nir]), both)
        assert (list(sr), sr.red.dims, sr.red.attrs, sr.nir.attrs) == (
            ["red", "nir", "sun"],
            ("y", "x"),
            {"units": "DN"},
            {},
        )
    with pytest.raises(SourceError, match="the bands of the Dataset differ; found None, int16, uint8"):
        srcore.upscale(xr.Dataset({"red": red, "nir": nir.astype("int16")}), model=tmp_path / "pair")
    with pytest.raises(PlanError, match="takes 2 bands; found 1"):
        srcore.upscale(red, model=tmp_path / "pair")


def test_the_transform_follows_the_coordinates_of_what_was_cut(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    source = opened(write_raster(landscape(1)))
    cut = source.isel(x=slice(10, 40), y=slice(5, 25))
    sr = srcore.upscale(cut, model=PLAIN)
    assert sr.spatial_ref.attrs["GeoTransform"] == "600100.0 5.0 0.0 5199950.0 0.0 -5.0"
    every_other = source.isel(x=slice(0, 60, 2))
    assert srcore.upscale(every_other, model=PLAIN).rio.transform() == Affine(10, 0, 599995, 0, -5, 5200000)


def test_a_turned_grid_keeps_its_corners(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    turned = Affine.translation(5e5, 4e6) * Affine.rotation(30) * Affine.scale(10, -7)
    source = opened(write_raster(landscape(1, (21, 33)), transform=turned))
    lost = "coordinate xc, coordinate yc" if "xc" in source.coords else None
    with pytest.warns(UserWarning, match=lost) if lost else warnings.catch_warnings():
        sr = srcore.upscale(source, model=PLAIN)
    np.testing.assert_allclose(sr.rio.transform() * (66, 42), turned * (33, 21), rtol=0, atol=1e-6)


def test_control_points_lie_where_they_lay(landscape: Callable[..., np.ndarray]) -> None:
    points = [GroundControlPoint(row, col, 1e5 + col, 2e5 - row, 0.0, str(row)) for row in (0, 60) for col in (0, 80)]
    source = xr.DataArray(landscape(1), dims=("band", "y", "x")).rio.write_gcps(points, "EPSG:32632")
    found = srcore.upscale(source, model=PLAIN).rio.get_gcps()
    assert [(p.row, p.col, p.x, p.y) for p in found] == [(2 * p.row, 2 * p.col, p.x, p.y) for p in points]


OF_FILES: dict[str, Any] = {
    "output": "sr.tif",
    "alpha": "data",
    "values": "bits",
    "valid_range": (0, 1),
    "date": "2024-01-02",
    "privacy": "public",
    "trust": True,
    "validate": False,
    "overwrite": True,
    "workers": 1,
    "scheduler": "tcp://127.0.0.1:1",
}
UNEVEN = small("y", "x").assign_coords(x=np.arange(30.0) ** 2)
REFUSED: list[tuple[xr.DataArray | xr.Dataset, dict[str, Any], type[SRError], str]] = [
    (UNEVEN, {}, GridError, "the coordinates x are not evenly spaced"),
    (small("y", "x", y=1), {}, GridError, "the coordinates y leave the size of a pixel open; found 1 of them"),
    (small("a", "b"), {}, SourceError, r"rows and columns is not known; found a, b; say it: \.rio"),
    (small("y", "x").astype("int64"), {}, SourceError, "found int64; convert it"),
    (small("y", "x").to_dataset().drop_dims("x"), {}, SourceError, "no variable of the Dataset has rows and columns"),
    *(
        (small("y", "x"), {name: value}, PlanError, f"given back, not published; found {name} is set")
        for name, value in OF_FILES.items()
    ),
    (small("y", "x"), {"model": "srcore-volume-x2"}, SRError, "a generator for 3 axes and a scene of 2"),
    (small("y", "x"), {"scale": 3}, PlanError, "does not have the scale; found 3"),
    (small("y", "x").chunk(), {"denoise": 1.0}, PlanError, "an array in chunks is not denoised"),
]


def test_what_only_files_take_is_known() -> None:
    assert set(OF_FILES) == set(FILES_ONLY)


@pytest.mark.parametrize(("source", "options", "kind", "said"), REFUSED)
def test_what_cannot_be_done_is_told_in_one_line(
    source: Any, options: dict[str, Any], kind: type[SRError], said: str
) -> None:
    with pytest.raises(kind, match=said) as caught:
        srcore.upscale(source, **{"model": PLAIN, **options})
    assert "\n" not in str(caught.value)


def test_without_rioxarray_one_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rioxarray", None)
    with pytest.raises(SourceError, match=r"labelled arrays need rioxarray; .*pip install 'srcore\[xarray\]'$"):
        srcore.upscale(small("y", "x"))


def test_the_notebook_of_the_docs_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = Path(__file__).parents[2] / "docs" / "python.py"
    monkeypatch.chdir(tmp_path)
    names = runpy.run_path(str(script))
    assert names["sr"].shape == names["finer"].shape == (2, 320, 320)
    assert names["lazy"].chunks is not None
