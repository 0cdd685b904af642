"""Laws of the raster product: what was upscaled is what a fresh open gives, and nothing else passes as it."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import zarr
from rasterio.enums import ColorInterp
from rio_cogeo import cog_validate

from srcore.errors import StoreError
from srcore.storage.cog.explain import explain
from srcore.storage.cog.product import read_statistics
from tests.storage.cog.product_cases import NORTH_UP, POINTS, make_scene, upsampled

CASES: dict[str, dict[str, Any]] = {
    "uint8": {"dtype": "uint8"},
    "int8 tag": {"dtype": "int8", "nodata": "tag", "number": -128.0, "shape": (300, 20)},
    "uint16 two bands": {"bands": 2, "shape": (521, 307)},
    "uint16 twelve bands": {"bands": 12},
    "uint16 tag in the data's range": {"nodata": "tag", "number": 500.0, "shape": (270, 300)},
    "int16 tag": {"dtype": "int16", "nodata": "tag", "number": -9999.0, "shape": (600, 33)},
    "int32 mask": {"dtype": "int32", "nodata": "mask", "bands": 3, "shape": (530, 301)},
    "uint32 tag 0": {"dtype": "uint32", "nodata": "tag", "number": 0.0},
    "float32 tag": {"dtype": "float32", "nodata": "tag", "number": -3.4028234663852886e38, "shape": (270, 40)},
    "float32 nan": {"dtype": "float32", "nodata": "nan", "bands": 2, "shape": (261, 300)},
    "float64 one band": {"dtype": "float64", "shape": (40, 600)},
    "mask, odd": {"nodata": "mask", "dtype": "uint8", "bands": 3, "shape": (271, 263), "scale": (3, 3)},
    "RGBA": {"dtype": "uint8", "bands": 3, "nodata": "alpha", "colours": ("red", "green", "blue"), "shape": (300, 40)},
    "gray and alpha": {"nodata": "alpha", "colours": ("gray",)},
    "alpha and tag": {"nodata": "tag", "number": 0.0, "with_alpha": True, "bands": 2, "shape": (300, 40)},
    "blue first": {"dtype": "uint8", "bands": 3, "colours": ("blue", "green", "red")},
    "one pixel": {"shape": (1, 1)},
    "one row": {"shape": (1, 1100), "nodata": "tag", "number": 0.0},
    "one column": {"shape": (701, 1), "nodata": "mask"},
    "scale 1, 3": {"scale": (1, 3), "shape": (600, 50)},
    "rotated": {"affine": ((3.0, 10.0, 5e5), (-10.0, 2.5, 5e6))},
    "south up": {"affine": ((0.0, 10.0, 5e5), (10.0, 0.0, 4e6))},
    "not square": {"affine": ((0.0, 10 / 3, 5e5), (-7.1, 0.0, 5e6))},
    "point": {"area_or_point": "Point"},
    "degrees": {"crs": "EPSG:4326", "affine": ((0.0, 1 / 3600, 11.0), (-1 / 3600, 0.0, 47.0))},
    "no CRS": {"crs": None},
    "no place": {"crs": None, "affine": ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))},
    "tags": {"tags": {"TIFFTAG_DATETIME": "2024:06:01 10:20:30", "NOTE": '50 % <&> "ü"', "EMPTY": "x"}},
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_round_trip(tmp_path: Path, case: dict[str, Any]) -> None:
    scene = make_scene(**case)
    path = scene.write(tmp_path / "product.tif")
    scene.verify(path)
    assert os.listdir(tmp_path) == ["product.tif"]
    assert cog_validate(str(path), strict=True) == (True, [], [])
    header, bands = scene.header, len(scene.header.bands)
    with rasterio.open(path) as product:
        np.testing.assert_array_equal(product.read()[:bands], scene.sr)
        assert product.dtypes == (header.dtype,) * product.count
        assert product.shape == tuple(n * s for n, s in zip(header.grid.shape, scene.scale, strict=True))
        (height, width), (rows, cols) = product.shape, header.grid.shape
        corners = [product.xy(row - 0.5, col - 0.5) for row, col in ((0, 0), (height, width), (0, width), (height, 0))]
        world = [header.grid.to_world(index) for index in ((0, 0), (rows, cols), (0, cols), (rows, 0))]
        np.testing.assert_allclose(corners, world, rtol=0, atol=1e-9)
        assert [band.name for band in header.bands] == list(product.descriptions[:bands])
        assert product.units[0] == "W/m²"
        assert (product.scales[0], product.offsets[0]) == (0.5, -1.25)
        assert product.tags(1)["WAVELENGTH"] == "0.49"
        assert {**product.tags(), **header.tags} == product.tags()
        if header.nodata in ("mask", "alpha"):
            expected = upsampled(scene.valid.all(axis=0), scene.scale)
            np.testing.assert_array_equal(product.dataset_mask() > 0, expected)
        if header.alpha is not None:
            assert product.colorinterp[-1] == ColorInterp.alpha
            np.testing.assert_array_equal(product.read(product.count), upsampled(scene.alpha, scene.scale))


def test_control_points_move_with_the_pixels(tmp_path: Path) -> None:
    plain = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    scene = make_scene(crs=None, affine=plain, gcps=POINTS, gcps_crs="EPSG:4326", scale=(2, 3))
    path = scene.write(tmp_path / "product.tif")
    scene.verify(path)
    with rasterio.open(path) as product:
        points, crs = product.gcps
    assert crs.to_epsg() == 4326
    assert [(p.row, p.col, p.x, p.y, p.z, p.id) for p in points] == [
        (p.row * 2, p.col * 3, p.x, p.y, p.z, p.id) for p in POINTS
    ]


def test_statistics_are_those_of_the_usable_pixels(tmp_path: Path) -> None:
    scene = make_scene(dtype="float32", nodata="nan", bands=2, shape=(300, 290))
    found = read_statistics(scene.write(tmp_path / "product.tif"), 2)
    for band, numbers in zip(scene.sr.astype(np.float64), found, strict=True):
        good = band[np.isfinite(band)]
        expected = [good.min(), good.max(), good.mean(), good.std(), 100 * good.size / band.size]
        np.testing.assert_allclose(list(numbers.values()), expected, rtol=1e-3)
        assert numbers["mean"] == pytest.approx(good.mean(), rel=1e-12)


def test_a_band_without_usable_pixels_has_no_statistics(tmp_path: Path) -> None:
    scene = make_scene(nodata="tag", number=0.0)
    scene.valid[:], scene.sr[:] = False, 0
    path = scene.write(tmp_path / "product.tif")
    scene.verify(path)
    assert read_statistics(path, 1) == [{}]


def test_overviews_average_the_usable_pixels_exactly(tmp_path: Path) -> None:
    scene = make_scene(dtype="int16", nodata="tag", number=-9999.0, shape=(512, 300), bands=2)
    path = scene.write(tmp_path / "product.tif")
    with rasterio.open(path, OVERVIEW_LEVEL=0) as level:
        found = level.read()
    usable = upsampled(scene.valid, scene.scale)
    quads = np.where(usable, scene.sr, 0).astype(float).reshape(2, 512, 2, 300, 2).sum(axis=(2, 4))
    counts = usable.reshape(2, 512, 2, 300, 2).sum(axis=(2, 4))
    expected = np.where(counts > 0, np.floor(quads / np.maximum(counts, 1) + 0.5), -9999)
    np.testing.assert_array_equal(found, expected)


def test_a_nodata_number_beside_alpha_is_in_no_average(tmp_path: Path) -> None:
    scene = make_scene(nodata="tag", number=0.0, with_alpha=True, shape=(512, 40))
    assert scene.alpha is not None
    with rasterio.open(scene.write(tmp_path / "product.tif"), OVERVIEW_LEVEL=0) as level:
        values, alpha = level.read()
    np.testing.assert_array_equal(alpha, scene.alpha)  # scale 2: each quad is one LR pixel
    counted = scene.valid[0] & (scene.alpha > 0)
    quads = scene.sr[0].astype(float).reshape(512, 2, 40, 2).mean(axis=(1, 3))
    np.testing.assert_array_equal(values, np.where(counted, np.floor(quads + 0.5), 0))


def test_the_same_arguments_give_the_same_bytes(tmp_path: Path) -> None:
    scene = make_scene(nodata="mask", shape=(300, 20))
    assert scene.write(tmp_path / "a.tif").read_bytes() == scene.write(tmp_path / "b.tif").read_bytes()


def test_zarr_arrays_are_written_as_numpy_arrays_are(tmp_path: Path) -> None:
    scene = make_scene(shape=(300, 310), bands=2, nodata="mask")
    stored = zarr.create_array(tmp_path / "sr.zarr", shape=scene.sr.shape, chunks=(2, 100, 100), dtype="uint16")
    stored[:] = scene.sr
    type(scene)(scene.header, scene.scale, stored, scene.valid, None).write(tmp_path / "product.tif")
    scene.verify(tmp_path / "product.tif")


def test_what_stands_at_the_target_is_not_looked_at(tmp_path: Path) -> None:
    path = tmp_path / "product.tif"
    secret = tmp_path / "secret.tif"
    secret.write_bytes(b"keep me")
    path.write_text(f"<VRTDataset rasterXSize='1' rasterYSize='1'><x>{secret}</x></VRTDataset>")
    for suffix in (".ovr", ".msk", ".aux.xml"):
        path.with_name(path.name + suffix).write_text("<PAMDataset>not mine</PAMDataset>")
    scene = make_scene(shape=(300, 30))
    scene.write(path)
    scene.verify(path)
    assert secret.read_bytes() == b"keep me"
    assert path.with_name("product.tif.aux.xml").read_text() == "<PAMDataset>not mine</PAMDataset>"


def flips(path: Path, positions: list[int]) -> list[int]:
    """Positions of flipped bits of `path` that change a byte which zlib gives, or lie outside of the tiles."""
    good = path.read_bytes()
    tiles = [tile for directory in explain(path) for tile in directory.tiles()]

    def matters(position: int) -> bool:
        for start, stop in tiles:
            if start <= position < stop:
                damaged = bytearray(good[start:stop])
                damaged[position - start] ^= 1 << (position % 8)
                try:
                    return zlib.decompress(bytes(damaged)) != zlib.decompress(good[start:stop])
                except zlib.error:
                    return True
        return True

    return [position for position in positions if matters(position)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("nodata", ["none", "mask"])
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, nodata: str) -> None:
    scene = make_scene(shape=(258, 10), nodata=nodata, smooth=True, tags={"TIFFTAG_SOFTWARE": "other"})
    path = scene.write(tmp_path / "product.tif")
    good = path.read_bytes()
    step = len(good) // 150
    positions = flips(path, [*range(0, len(good), step), *range(len(good) - 12, len(good))])
    assert len(positions) > 100
    missed = []
    for position in positions:
        damaged = bytearray(good)
        damaged[position] ^= 1 << (position % 8)
        path.write_bytes(damaged)
        try:
            scene.verify(path)
            missed.append((position, ""))
        except StoreError as error:
            missed += [(position, error.code)] if error.code != "VERIFY_FAILED" else []
    assert missed == []


@pytest.mark.filterwarnings("ignore")
def test_a_cut_or_lengthened_file_is_found(tmp_path: Path) -> None:
    scene = make_scene(shape=(300, 20), nodata="mask", smooth=True)
    path = scene.write(tmp_path / "product.tif")
    good = path.read_bytes()
    sizes = {0, 1, 8, 100, *(len(good) * k // 20 for k in range(20)), len(good) - 4, len(good) - 1}
    for content in [*(good[:size] for size in sorted(sizes)), good + b"\0", good + good]:
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            scene.verify(path)
        assert caught.value.code == "VERIFY_FAILED"


def test_a_zeroed_block_is_found(tmp_path: Path) -> None:
    scene = make_scene(shape=(300, 300), bands=2)
    path = scene.write(tmp_path / "product.tif")
    good = path.read_bytes()
    for start in range(0, len(good), len(good) // 12):
        path.write_bytes(good[:start] + bytes(min(4096, len(good) - start)) + good[start + 4096 :])
        with pytest.raises(StoreError):
            scene.verify(path)


@pytest.mark.parametrize("what", ["pixel", "valid", "name", "unit", "scale", "tag", "nodata", "affine", "crs", "dtype"])
def test_a_product_of_something_else_is_found(tmp_path: Path, what: str) -> None:
    scene = make_scene(nodata="mask" if what == "valid" else "tag", number=7.0, shape=(20, 30))
    path = scene.write(tmp_path / "product.tif")
    other: dict[str, Any] = {
        "nodata": {"number": 8.0},
        "affine": {"affine": ((0.0, 10.0, 5e5 + 1e-3), NORTH_UP[1])},
        "crs": {"crs": "EPSG:32633"},
        "dtype": {"dtype": "int32"},
    }
    changed = make_scene(**{"nodata": scene.header.nodata, "number": 7.0, "shape": (20, 30), **other.get(what, {})})
    if what == "pixel":
        changed.sr[0, 39, 59] += 1
    elif what == "valid":
        changed.valid[0, 19, 29] ^= True
    elif what in ("name", "unit", "scale", "tag"):
        band = changed.header.bands[0]
        new = {"name": "B99", "unit": "K", "scale": 0.25, "tags": {"WAVELENGTH": "0.5"}}
        key = "tags" if what == "tag" else what
        object.__setattr__(changed.header, "bands", (type(band)(**{**band.__dict__, key: new[key]}),))
    with pytest.raises(StoreError, match="not what was written"):
        changed.verify(path)


def test_a_missing_product_is_found(tmp_path: Path) -> None:
    with pytest.raises(StoreError):
        make_scene().verify(tmp_path / "product.tif")


def test_arrays_that_do_not_fit_the_header_are_refused(tmp_path: Path) -> None:
    scene = make_scene()
    with pytest.raises(StoreError, match="do not fit"):
        type(scene)(scene.header, (3, 3), scene.sr, scene.valid, None).write(tmp_path / "product.tif")
    with pytest.raises(StoreError, match="a COG cannot hold"):
        make_scene(dtype="int64").write(tmp_path / "product.tif")
    assert os.listdir(tmp_path) == []


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.storage.cog.product_cases import make_scene
from srcore.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
scene = make_scene(shape=(400, 400), bands=3)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    scene.write(Path(sys.argv[1]))
    scene.verify(Path(sys.argv[1]))
except StoreError as error:
    print(error.code)
else:
    print("PASSED")
"""


@pytest.mark.parametrize("share", [0.05, 0.4, 0.7, 0.99])
def test_a_file_that_cannot_grow_is_no_product(tmp_path: Path, share: float) -> None:
    whole = make_scene(shape=(400, 400), bands=3).write(tmp_path / "whole.tif").stat().st_size
    target = tmp_path / "product.tif"
    root = Path(__file__).parents[2]
    command = [sys.executable, "-c", FULL, str(target), str(int(whole * share))]
    result = subprocess.run(
        command,
        cwd=root,
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert result.stdout.split()[-1] in ("DISK_FULL", "BAD_STORE", "VERIFY_FAILED")
    assert [name for name in os.listdir(tmp_path) if name.endswith(".part")] == []
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY
