"""Laws of the raster product: what was upscaled is what a fresh open gives, however it was cut."""

from __future__ import annotations

import os
from itertools import product as combinations
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from rasterio.enums import ColorInterp
from rio_cogeo import cog_info, cog_validate

from srcore.errors import PlanError
from srcore.storage.cog import Statistics, read_statistics
from srcore.storage.cog.model import model_tags, tags_of, written_by_gdal
from srcore.storage.cog.product import Product, Rect
from srcore.storage.cog.pyramid import overview
from srcore.storage.raster.directories import HEIGHT, TILE_BYTE_COUNTS, TILE_HEIGHT, TILE_OFFSETS, TILE_WIDTH, WIDTH
from srcore.tiling import BLOCK_HR, TilePlan
from tests.storage.cog.product_cases import POINTS, Scene, make_scene, upsampled
from tests.storage.cog.work_cases import Work, make_default_work, make_product, make_work, stored

PLAIN = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
RGB = ("red", "green", "blue")
CASES: dict[str, dict[str, Any]] = {
    "uint8": {"dtype": "uint8"},
    "int8 tag": {"dtype": "int8", "nodata": "tag", "number": -128.0, "shape": (100, 20)},
    "uint16 two bands": {"bands": 2, "shape": (131, 97)},
    "uint16 twelve bands": {"bands": 12},
    "uint16 tag in the data's range": {"nodata": "tag", "number": 500.0, "shape": (70, 100)},
    "int16 tag": {"dtype": "int16", "nodata": "tag", "number": -9999.0, "shape": (200, 33)},
    "int32 mask": {"dtype": "int32", "nodata": "mask", "bands": 3, "shape": (130, 101)},
    "uint32 tag 0": {"dtype": "uint32", "nodata": "tag", "number": 0.0},
    "float32 tag": {"dtype": "float32", "nodata": "tag", "number": -3.4028234663852886e38, "shape": (70, 40)},
    "float32 nan": {"dtype": "float32", "nodata": "nan", "bands": 2, "shape": (61, 100)},
    "float64 one band": {"dtype": "float64", "shape": (40, 200)},
    "mask of floats": {"dtype": "float32", "nodata": "mask", "bands": 2, "shape": (128, 96)},
    "mask, odd": {"nodata": "mask", "dtype": "uint8", "bands": 3, "shape": (71, 63), "scale": (3, 3)},
    "x3, prime": {"shape": (101, 107), "scale": (3, 3), "nodata": "tag", "number": 0.0},
    "x3, float, prime": {"shape": (67, 53), "scale": (3, 3), "nodata": "nan", "dtype": "float32"},
    "RGBA": {"dtype": "uint8", "bands": 3, "nodata": "alpha", "colours": RGB, "shape": (100, 40)},
    "gray and alpha": {"nodata": "alpha", "colours": ("gray",)},
    "alpha and tag": {"nodata": "tag", "number": 0.0, "with_alpha": True, "bands": 2, "shape": (100, 40)},
    "blue first": {"dtype": "uint8", "bands": 3, "colours": ("blue", "green", "red")},
    "one pixel": {"shape": (1, 1)},
    "one row": {"shape": (1, 300), "nodata": "tag", "number": 0.0},
    "one column": {"shape": (211, 1), "nodata": "mask"},
    "scale 1, 3": {"scale": (1, 3), "shape": (200, 50)},
    "rotated": {"affine": ((3.0, 10.0, 5e5), (-10.0, 2.5, 5e6))},
    "south up": {"affine": ((0.0, 10.0, 5e5), (10.0, 0.0, 4e6))},
    "not square": {"affine": ((0.0, 10 / 3, 5e5), (-7.1, 0.0, 5e6))},
    "point": {"area_or_point": "Point"},
    "degrees": {"crs": "EPSG:4326", "affine": ((0.0, 1 / 3600, 11.0), (-1 / 3600, 0.0, 47.0))},
    "no CRS": {"crs": None},
    "no place": {"crs": None, "affine": PLAIN},
    "control points": {"crs": None, "affine": PLAIN, "gcps": POINTS, "gcps_crs": "EPSG:4326"},
    "tags": {"tags": {"TIFFTAG_DATETIME": "2024:06:01 10:20:30", "NOTE": '50 % <&> "ü"', "EMPTY": "x"}},
}
LARGE: dict[str, dict[str, Any]] = {
    "three levels, each tile its overviews": {"shape": (1028, 530), "nodata": "tag", "number": 0.0},
    "x3, prime": {"shape": (347, 353), "scale": (3, 3), "nodata": "nan", "dtype": "float32"},
    "mask": {"shape": (600, 520), "nodata": "mask", "dtype": "int16"},
    "alpha": {"shape": (600, 520), "nodata": "alpha", "bands": 3, "dtype": "uint8", "colours": RGB},
    "smaller than a block": {"shape": (40, 50), "bands": 2},
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_round_trip(tmp_path: Path, case: dict[str, Any]) -> None:
    work = make_work(tmp_path / "work", make_scene(**case))
    assert_right(work, work.write(tmp_path / "product.tif"))
    assert sorted(os.listdir(tmp_path)) == ["product.tif", "work"]


@pytest.mark.parametrize("case", LARGE.values(), ids=list(LARGE))
def test_round_trip_in_blocks_as_they_are_published(tmp_path: Path, case: dict[str, Any]) -> None:
    work = make_default_work(tmp_path / "work", make_scene(**case))
    path = work.write(tmp_path / "product.tif")
    assert_right(work, path)
    with rasterio.open(path) as product:
        assert set(product.block_shapes) == {(512, 512)}


def assert_right(work: Work, path: Path) -> None:
    """Verified, a COG, and to GDAL all that the scene is: every pixel of every level, and every word."""
    work.verify(path)
    assert cog_validate(str(path), strict=True) == (True, [], [])
    scene = work.scene
    with rasterio.open(path) as product:
        assert_words(product, scene)
        levels: list[dict[str, Any]] = [{}, *({"OVERVIEW_LEVEL": n} for n in range(len(product.overviews(1))))]
        block, shape = work.store.plan.tiles.block, max(product.shape)
        assert len(levels) == 1 + max(0, int(np.ceil(np.log2(shape / block))))
    finer = None
    for options in levels:
        with rasterio.open(path, **options) as opened:
            values, mask = opened.read(), opened.read_masks(1) > 0
        if finer is None:
            assert_pixels(values, mask, scene)
        else:
            expected, expected_mask = overview(finer, whole(values), scene.header)
            assert values.tobytes() == expected.tobytes()
            if scene.header.nodata == "mask":
                np.testing.assert_array_equal(mask, expected_mask)
        finer = Held(values, mask)


def whole(values: np.ndarray) -> Rect:
    return Rect(slice(0, values.shape[1]), slice(0, values.shape[2]))


class Held:
    """A level in memory."""

    def __init__(self, values: np.ndarray, usable: np.ndarray) -> None:
        self.values, self.usable, self.shape = values, usable, (values.shape[1], values.shape[2])

    def band(self, band: int, rect: Rect) -> np.ndarray:
        return self.values[band, rect.rows, rect.cols]

    def mask(self, rect: Rect) -> np.ndarray:
        return self.usable[rect.rows, rect.cols]


def assert_pixels(values: np.ndarray, mask: np.ndarray, scene: Scene) -> None:
    header, bands = scene.header, len(scene.header.bands)
    assert values[:bands].tobytes() == scene.sr.tobytes()
    if header.nodata in ("mask", "alpha"):
        np.testing.assert_array_equal(mask, upsampled(scene.valid.all(axis=0), scene.scale))
    if scene.alpha is not None:
        np.testing.assert_array_equal(values[-1], upsampled(scene.alpha, scene.scale))


def assert_words(product: Any, scene: Scene) -> None:
    header, bands, scale = scene.header, len(scene.header.bands), scene.scale
    assert product.dtypes == (header.dtype,) * product.count
    assert product.shape == tuple(n * s for n, s in zip(header.grid.shape, scale, strict=True))
    if header.gcps:
        points, crs = product.gcps
        assert crs.to_epsg() == 4326
        found = [(p.row, p.col, p.x, p.y, p.z, p.id) for p in points]
        assert found == [(p.row * scale[0], p.col * scale[1], p.x, p.y, p.z, p.id) for p in header.gcps]
    else:
        (height, width), (rows, cols) = product.shape, header.grid.shape
        corners = [product.xy(row - 0.5, col - 0.5) for row, col in ((0, 0), (height, width), (0, width), (height, 0))]
        world = [header.grid.to_world(index) for index in ((0, 0), (rows, cols), (0, cols), (rows, 0))]
        np.testing.assert_allclose(corners, world, rtol=0, atol=1e-9)
    assert [band.name for band in header.bands] == list(product.descriptions[:bands])
    assert (product.units[0], product.scales[0], product.offsets[0]) == ("W/m²", 0.5, -1.25)
    assert product.tags(1)["WAVELENGTH"] == "0.49"
    assert {**product.tags(), **header.tags} == product.tags()
    if header.alpha is not None:
        assert product.colorinterp[-1] == ColorInterp.alpha


@pytest.mark.parametrize("nodata", ["tag", "mask", "alpha"])
def test_the_form_does_not_depend_on_how_the_scene_is_cut(tmp_path: Path, nodata: str) -> None:
    scene = make_scene(shape=(100, 70), nodata=nodata, number=0.0 if nodata == "tag" else None, bands=2)
    cut = {tile: make_work(tmp_path / str(tile), scene, tile) for tile in (1, 40, 1000)}
    assert {tile: work.store.plan.tiles.core for tile, work in cut.items()} == {
        1: (32, 32),
        40: (64, 64),
        1000: (100, 70),
    }
    paths = [work.write(tmp_path / f"{tile}.tif") for tile, work in cut.items()]
    assert len({path.read_bytes() for path in paths}) <= 2  # the mean of a band may differ in its last digit
    assert len({b"".join(tiles_of(path)) for path in paths}) == 1
    [form] = {(info.Compression, info.Profile.Interleave) for info in (cog_info(str(path)) for path in paths)}
    assert form == ("ZSTD", "BAND")


def tiles_of(path: Path) -> list[bytes]:
    """The bytes of all tiles, directory by directory."""
    content = path.read_bytes()
    with tifffile.TiffFile(path) as file:
        places = [(page.dataoffsets, page.databytecounts) for page in file.pages]
    return [content[o : o + n] for offsets, sizes in places for o, n in zip(offsets, sizes, strict=True)]


@pytest.mark.parametrize("nodata", ["mask", "alpha"])
@pytest.mark.parametrize("scale", [(2, 2), (3, 3)])
def test_all_parities_of_both_sides_around_a_block(tmp_path: Path, nodata: str, scale: tuple[int, int]) -> None:
    """An overview of odd sides that has whole blocks once ended a run after all its work."""
    for place, shape in enumerate(combinations((16, 17, 31, 33), (16, 31))):
        scene = make_scene(shape=shape, nodata=nodata, scale=scale)
        work = make_work(tmp_path / str(place), scene, tile=16, block=16)
        path = work.write(tmp_path / "product.tif")
        work.verify(path)
        with rasterio.open(path) as product:
            assert product.read(1).tobytes() == scene.sr.tobytes()


def test_each_band_has_its_own_overviews_where_bands_hide_other_pixels(tmp_path: Path) -> None:
    scene = make_scene(shape=(96, 160), nodata="tag", number=0.0, bands=2, apart=True)
    work = make_work(tmp_path / "work", scene, tile=64)
    assert "quarter" in work.store.images["sr"].arrays  # made tile by tile, and by nobody else
    assert_right(work, work.write(tmp_path / "product.tif"))


def test_many_bands_have_the_same_blocks(tmp_path: Path) -> None:
    work = make_default_work(tmp_path / "work", make_scene(shape=(2, 257), bands=20, dtype="float64"))
    path = work.write(tmp_path / "product.tif")
    work.verify(path)
    with rasterio.open(path) as product:
        assert (product.count, set(product.block_shapes)) == (20, {(BLOCK_HR, BLOCK_HR)})
        np.testing.assert_array_equal(product.read(), work.scene.sr)


def test_a_cut_through_a_block_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PlanError, match="no whole number of blocks"):
        stored(tmp_path, make_scene(), TilePlan((40, 50), (20, 20), (0, 0), (2, 2)))


@pytest.mark.parametrize(
    "case",
    [
        {"nodata": "mask", "bands": 3, "dtype": "uint8", "colours": RGB},
        {"nodata": "alpha", "bands": 3, "dtype": "uint8", "colours": RGB},
        {"nodata": "nan", "dtype": "float64", "bands": 2},
        {"nodata": "tag", "number": 7.0, "gcps": POINTS, "gcps_crs": "EPSG:4326", "crs": None, "affine": PLAIN},
    ],
    ids=["mask", "alpha", "nan", "points"],
)
def test_tags_are_those_that_gdal_gives_a_scene_of_that_size(
    case: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    """The tiny product that they are taken from says nothing else than a large one, and making it warns of nothing."""
    scene = make_scene(shape=(300, 270), **case)
    product = Product(scene.header, scene.scale, BLOCK_HR, scene.valid, scene.alpha)
    statistics = [Statistics.of(values, values == values) for values in scene.sr]
    found = model_tags(product, statistics)
    assert caplog.messages == []
    expected = tags_of(written_by_gdal(product, statistics, (600, 540), BLOCK_HR)[1])
    assert found.keys() == expected.keys() == ({0, 1, 4, 5} if product.is_masked else {0, 1})
    sizes = (WIDTH, HEIGHT, TILE_WIDTH, TILE_HEIGHT, TILE_OFFSETS, TILE_BYTE_COUNTS)
    for kind, tags in found.items():
        assert tags.keys() == expected[kind].keys()
        assert {tag: value for tag, value in tags.items() if tag not in sizes and value != expected[kind][tag]} == {}


def test_statistics_are_those_of_the_usable_pixels(tmp_path: Path) -> None:
    scene = make_scene(dtype="float32", nodata="nan", bands=2, shape=(100, 90))
    found = read_statistics(make_product(tmp_path, scene), 2)
    for band, numbers in zip(scene.sr.astype(np.float64), found, strict=True):
        good = band[np.isfinite(band)]
        expected = [good.min(), good.max(), good.mean(), good.std(), 100 * good.size / band.size]
        np.testing.assert_allclose(list(numbers.values()), expected, rtol=1e-3)
        assert numbers["mean"] == pytest.approx(good.mean(), rel=1e-12)


def test_a_band_without_usable_pixels_has_no_statistics(tmp_path: Path) -> None:
    scene = make_scene(nodata="tag", number=0.0)
    scene.valid[:], scene.sr[:] = False, 0
    assert read_statistics(make_product(tmp_path, scene), 1) == [{}]


def test_overviews_average_the_usable_pixels_exactly(tmp_path: Path) -> None:
    scene = make_scene(dtype="int16", nodata="tag", number=-9999.0, shape=(64, 60), bands=2)
    with rasterio.open(make_product(tmp_path, scene), OVERVIEW_LEVEL=0) as level:
        found = level.read()
    usable = upsampled(scene.valid, scene.scale)
    quads = np.where(usable, scene.sr, 0).astype(float).reshape(2, 64, 2, 60, 2).sum(axis=(2, 4))
    counts = usable.reshape(2, 64, 2, 60, 2).sum(axis=(2, 4))
    expected = np.where(counts > 0, np.floor(quads / np.maximum(counts, 1) + 0.5), -9999)
    np.testing.assert_array_equal(found, expected)


def test_a_nodata_number_beside_alpha_is_in_no_average(tmp_path: Path) -> None:
    scene = make_scene(nodata="tag", number=0.0, with_alpha=True, shape=(64, 40))
    assert scene.alpha is not None
    with rasterio.open(make_product(tmp_path, scene), OVERVIEW_LEVEL=0) as level:
        values, alpha = level.read()
    np.testing.assert_array_equal(alpha, scene.alpha)  # scale 2: each quad is one LR pixel
    counted = scene.valid[0] & (scene.alpha > 0)
    quads = scene.sr[0].astype(float).reshape(64, 2, 40, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(values, np.where(counted, np.floor(quads + 0.5), 0))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 4])
def test_other_readers_see_the_same_pixels(tmp_path: Path, dtype: str, bands: int) -> None:
    scene = make_scene(shape=(130, 97), dtype=dtype, bands=bands)
    path = make_product(tmp_path, scene)
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.pages[0].asarray().reshape(scene.sr.shape), scene.sr)
        page = file.pages[0]
        assert page.planarconfig == (2 if bands > 1 else 1)
        # and by hand, with a zstd that srcore does not use
        raw = np.frombuffer(imagecodecs.zstd_decode(tiles_of(path)[0]), np.uint8)
        if dtype != "float32":
            rows = raw.view(dtype).reshape(64, 64)
            summed = np.cumsum(rows, axis=1, dtype=np.int64).astype(dtype)
            np.testing.assert_array_equal(summed, scene.sr[0, :64, :64])
    info = cog_info(str(path))
    assert (info.COG, info.Compression, info.Profile.Bands) == (True, "ZSTD", bands)
    assert info.Profile.Width == 194


def test_a_mask_is_read_by_others(tmp_path: Path) -> None:
    scene = make_scene(shape=(130, 97), dtype="uint8", bands=3, nodata="mask")
    with tifffile.TiffFile(make_product(tmp_path, scene)) as file:
        masks = [page for page in file.pages if page.subfiletype & 4]
        seen = np.asarray(masks[0].asarray()).astype(bool)
    np.testing.assert_array_equal(seen, upsampled(scene.valid.all(axis=0), scene.scale))


def test_tiles_are_the_chunks_of_the_store(tmp_path: Path) -> None:
    work = make_work(tmp_path / "work", make_scene(shape=(70, 80), bands=2))
    tiles = tiles_of(work.write(tmp_path / "product.tif"))
    keys = [(band, row, col) for band in range(2) for row in range(3) for col in range(3)]
    assert tiles[: len(keys)] == [work.encoded.full.chunk(*key) for key in keys]


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    work = make_work(tmp_path / "work", make_scene(nodata="mask", shape=(100, 20)))
    assert work.write(tmp_path / "a.tif").read_bytes() == work.write(tmp_path / "b.tif").read_bytes()


def test_what_stands_at_the_target_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "product.tif"
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"keep me")
    path.write_text(f"<VRTDataset rasterXSize='1' rasterYSize='1'><x>{secret}</x></VRTDataset>")
    for suffix in (".ovr", ".msk", ".aux.xml"):
        path.with_name(path.name + suffix).write_text("<PAMDataset>not mine</PAMDataset>")
    work = make_work(tmp_path / "work", make_scene(shape=(100, 30)))
    work.write(path)
    work.verify(path)
    assert secret.read_bytes() == b"keep me"
    assert path.with_name("product.tif.aux.xml").read_text() == "<PAMDataset>not mine</PAMDataset>"


def test_no_statistic_is_infinite_where_its_square_is() -> None:
    values = np.array([[1e300, -1e300, 3.0]])
    tags = Statistics.of(values, np.ones_like(values, bool)).tags()
    assert tags["STATISTICS_MAXIMUM"] == "1e+300"
    assert "STATISTICS_STDDEV" not in tags
    assert all(np.isfinite(float(text)) for text in tags.values())
