"""Laws of the assembled product: it is the one that GDAL encodes of the same scene, and nothing else passes as it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import rasterio
import tifffile
from rio_cogeo import cog_info, cog_validate

from srcore.errors import StoreError
from srcore.storage.cog.explain import ZSTD, explain
from tests.storage.cog.encoded_cases import Work, make_work
from tests.storage.cog.product_cases import Scene, make_scene
from tests.storage.cog.test_product import CASES

LARGER: dict[str, dict[str, Any]] = {
    "three levels, each tile its overview": {"shape": (1100, 530), "nodata": "tag", "number": 0.0},
    "empty blocks": {"shape": (1030, 1040), "nodata": "tag", "number": 0.0, "scale": (2, 2)},
    "x3, prime": {"shape": (571, 563), "scale": (3, 3), "nodata": "tag", "number": 0.0},
    "x3, float, prime": {"shape": (347, 353), "scale": (3, 3), "nodata": "nan", "dtype": "float32"},
    "mask, several tiles": {"shape": (600, 520), "nodata": "mask", "bands": 3, "dtype": "uint8"},
    "mask, one band": {"shape": (600, 520), "nodata": "mask", "dtype": "int16"},
    "mask of floats": {"shape": (600, 520), "nodata": "mask", "bands": 2, "dtype": "float32"},
    "alpha, several tiles": {
        "shape": (600, 520),
        "nodata": "alpha",
        "bands": 3,
        "dtype": "uint8",
        "colours": ("red", "green", "blue"),
    },
    "nan, several tiles": {"shape": (600, 520), "nodata": "nan", "bands": 4, "dtype": "float32"},
}
CORE = 512


def made(folder: Path, case: dict[str, Any]) -> tuple[Work, Path]:
    work = make_work(folder / "work", make_scene(**case), CORE)
    return work, work.assemble(folder / "product.tif")


@pytest.mark.parametrize("case", [*CASES.values(), *LARGER.values()], ids=[*CASES, *LARGER])
def test_it_is_the_product_that_gdal_encodes(tmp_path: Path, case: dict[str, Any]) -> None:
    work, path = made(tmp_path, case)
    work.verify(path)
    other = work.scene.write(tmp_path / "gdal.tif")
    assert sorted(os.listdir(tmp_path)) == ["gdal.tif", "product.tif", "work"]
    assert cog_validate(str(path), strict=True) == (True, [], [])
    explain(path)
    with rasterio.open(path) as a, rasterio.open(other) as b:
        levels = [{}, *({"OVERVIEW_LEVEL": level} for level in range(len(b.overviews(1))))]
        assert a.overviews(1) == b.overviews(1)
        assert facts(a) == facts(b)
        for band in range(a.count + 1):
            same_tags(a.tags(band), b.tags(band))
    for options in levels:
        with rasterio.open(path, **options) as a, rasterio.open(other, **options) as b:
            assert a.read().tobytes() == b.read().tobytes()
            np.testing.assert_array_equal(a.read_masks(), b.read_masks())
            np.testing.assert_array_equal(a.dataset_mask(), b.dataset_mask())


def facts(product: Any) -> list[Any]:
    nodata = "nan" if product.nodata is not None and np.isnan(product.nodata) else product.nodata
    points, crs = product.gcps
    return [
        product.shape,
        product.dtypes,
        nodata,
        product.crs,
        product.transform,
        [p.asdict() for p in points],
        crs,
        product.descriptions,
        product.units,
        product.scales,
        product.offsets,
        product.colorinterp,
        product.mask_flag_enums,
        product.photometric,
        product.tags(ns="RPC"),
    ]


def same_tags(found: dict[str, str], expected: dict[str, str]) -> None:
    """Statistics are added up in another order: equal to 1e-12, all else exactly."""
    assert found.keys() == expected.keys()
    for key in found:
        if key.startswith("STATISTICS_"):
            assert float(found[key]) == pytest.approx(float(expected[key]), rel=1e-12)
        else:
            assert found[key] == expected[key]


@pytest.mark.parametrize("core", [300, 531, 700])
@pytest.mark.parametrize("nodata", ["tag", "mask", "alpha"])
def test_a_core_that_is_a_whole_axis_is_filled_up_to_blocks(tmp_path: Path, core: int, nodata: str) -> None:
    scene = make_scene(shape=(290, 300 if core == 300 else 530), nodata=nodata, number=0.0 if nodata == "tag" else None)
    work = make_work(tmp_path / "work", scene, core)
    path = work.assemble(tmp_path / "product.tif")
    work.verify(path)
    assert work.encoded.reduced is not None
    assert work.store.pending() == []
    with rasterio.open(path) as a, rasterio.open(scene.write(tmp_path / "gdal.tif")) as b:
        assert facts(a) == facts(b)
        np.testing.assert_array_equal(a.read(), b.read())
    with rasterio.open(path, OVERVIEW_LEVEL=0) as a, rasterio.open(tmp_path / "gdal.tif", OVERVIEW_LEVEL=0) as b:
        np.testing.assert_array_equal(a.read(), b.read())
        np.testing.assert_array_equal(a.read_masks(), b.read_masks())


def test_control_points_are_those_of_the_other_path(tmp_path: Path) -> None:
    from tests.storage.cog.product_cases import POINTS

    plain = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
    case = {"crs": None, "affine": plain, "gcps": POINTS, "gcps_crs": "EPSG:4326", "scale": (2, 2)}
    work, path = made(tmp_path, case)
    work.verify(path)
    with rasterio.open(path) as a, rasterio.open(work.scene.write(tmp_path / "gdal.tif")) as b:
        assert facts(a) == facts(b)
        assert a.gcps[1].to_epsg() == 4326


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "float32"])
@pytest.mark.parametrize("bands", [1, 4])
def test_other_readers_see_the_same_pixels(tmp_path: Path, dtype: str, bands: int) -> None:
    work, path = made(tmp_path, {"shape": (430, 397), "dtype": dtype, "bands": bands})
    with tifffile.TiffFile(path) as file:
        assert file.is_bigtiff
        np.testing.assert_array_equal(file.pages[0].asarray().reshape(work.scene.sr.shape), work.scene.sr)
        page = file.pages[0]
        assert page.planarconfig == (2 if bands > 1 else 1)
        # and by hand, with a zstd that srcore does not use
        offset, size = page.dataoffsets[0], page.databytecounts[0]
        raw = np.frombuffer(imagecodecs.zstd_decode(path.read_bytes()[offset : offset + size]), np.uint8)
        if dtype != "float32":
            rows = raw.view(dtype).reshape(512, 512)
            summed = np.cumsum(rows, axis=1, dtype=np.int64).astype(dtype)
            np.testing.assert_array_equal(summed, work.scene.sr[0, :512, :512])
    info = cog_info(str(path))
    assert (info.COG, info.Compression, info.Profile.Bands) == (True, "ZSTD", bands)
    assert info.Profile.Width == 794


def test_a_mask_is_read_by_others(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"shape": (430, 397), "dtype": "uint8", "bands": 3, "nodata": "mask"})
    with tifffile.TiffFile(path) as file:
        masks = [page for page in file.pages if page.subfiletype & 4]
        seen = np.asarray(masks[0].asarray()).astype(bool)
    np.testing.assert_array_equal(seen, work.scene.valid.all(axis=0).repeat(2, axis=0).repeat(2, axis=1))


def test_tiles_are_the_chunks_of_the_store(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"shape": (530, 540), "bands": 2})
    directory = explain(path)[0]
    assert (directory.compression, directory.planar) == (ZSTD, True)
    content = path.read_bytes()
    tiles = [content[start:stop] for start, stop in directory.tiles()]
    keys = [(band, row, col) for band in range(2) for row in range(3) for col in range(3)]
    assert tiles == [work.encoded.chunks.chunk(*key) for key in keys]


def test_the_same_store_gives_the_same_bytes(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"nodata": "mask", "shape": (300, 20)})
    assert path.read_bytes() == work.assemble(tmp_path / "b.tif").read_bytes()


def flipped(good: bytes, position: int) -> bytes:
    return good[:position] + bytes([good[position] ^ 1 << position % 8]) + good[position + 1 :]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "case",
    [{"nodata": "none"}, {"nodata": "mask"}, {"nodata": "mask", "bands": 2}, {"nodata": "alpha", "dtype": "float32"}],
    ids=["none", "mask", "mask, planar", "alpha, float"],
)
def test_a_flipped_bit_anywhere_is_found(tmp_path: Path, case: dict[str, Any]) -> None:
    """Anywhere: also where a decoder would read the same pixels from it."""
    work, path = made(tmp_path, {"shape": (258, 10), "smooth": True, "tags": {"TIFFTAG_SOFTWARE": "other"}, **case})
    good, missed = path.read_bytes(), []
    positions = [*range(0, len(good), max(1, len(good) // 120)), *range(len(good) - 12, len(good))]
    for position in positions:
        path.write_bytes(flipped(good, position))
        try:
            work.verify(path)
            missed.append((position, ""))
        except StoreError as error:
            missed += [(position, error.code)] if error.code != "VERIFY_FAILED" else []
    assert missed == []


@pytest.mark.filterwarnings("ignore")
def test_a_cut_or_lengthened_file_is_found(tmp_path: Path) -> None:
    work, path = made(tmp_path, {"shape": (300, 20), "nodata": "mask", "smooth": True})
    good = path.read_bytes()
    sizes = {0, 1, 8, 100, *(len(good) * k // 12 for k in range(12)), len(good) - 4, len(good) - 1}
    for content in [*(good[:size] for size in sorted(sizes)), good + b"\0", good + good]:
        path.write_bytes(content)
        with pytest.raises(StoreError) as caught:
            work.verify(path)
        assert caught.value.code == "VERIFY_FAILED"


def test_tiles_in_each_others_places_are_found(tmp_path: Path) -> None:
    """A product that is whole, but of something else."""
    work, path = made(tmp_path, {"shape": (530, 540)})
    other = make_work(tmp_path / "other", with_changed_pixel(work.scene), CORE)
    with pytest.raises(StoreError, match="differ"):
        other.verify(path)


def with_changed_pixel(scene: Scene) -> Scene:
    sr = scene.sr.copy()
    sr[0, -1, -1] += 1
    return Scene(scene.header, scene.scale, sr, scene.valid, scene.alpha)


@pytest.mark.parametrize("what", ["name", "unit", "scale", "tag", "nodata", "affine", "crs"])
def test_a_product_of_another_header_is_found(tmp_path: Path, what: str) -> None:
    work, path = made(tmp_path, {"nodata": "tag", "number": 7.0, "shape": (20, 30)})
    from dataclasses import replace

    header = work.scene.header
    band, grid = header.bands[0], header.grid
    changes: dict[str, Callable[[], Any]] = {
        "name": lambda: replace(header, bands=(replace(band, name="other"),)),
        "unit": lambda: replace(header, bands=(replace(band, unit="K"),)),
        "scale": lambda: replace(header, bands=(replace(band, scale=0.25),)),
        "nodata": lambda: replace(header, bands=(replace(band, nodata=8.0),)),
        "tag": lambda: replace(header, tags={"NOTE": "other"}),
        "affine": lambda: replace(header, grid=replace(grid, affine=((0.0, 10.0, 5e5 + 1e-3), grid.affine[1]))),
        "crs": lambda: replace(header, grid=replace(grid, crs="EPSG:32633")),
    }
    scene = Scene(changes[what](), work.scene.scale, work.scene.sr, work.scene.valid, None)
    with pytest.raises(StoreError) as caught:
        make_work(tmp_path / "other", scene, CORE).verify(path)
    assert caught.value.code == "VERIFY_FAILED"


SHARDS = ("sr/c/0/0/0", "overview/c/0/1/0", "again/c/0/1/0")


@pytest.mark.parametrize("name", SHARDS)
@pytest.mark.parametrize("damage", ["a bit", "its end", "cut", "missing"])
def test_a_damaged_shard_never_becomes_a_product(tmp_path: Path, name: str, damage: str) -> None:
    work = make_work(tmp_path / "work", make_scene(shape=(520, 300), nodata="tag", number=0.0), CORE)
    shard = tmp_path / "work" / "sr.zarr" / name
    good = shard.read_bytes()
    if damage == "missing":
        shard.unlink()
    else:
        shard.write_bytes(
            {
                "a bit": flipped(good, len(good) // 3),
                "its end": flipped(good, len(good) - 9),
                "cut": good[: len(good) // 2],
            }[damage]
        )
    with pytest.raises(StoreError) as caught:
        work.verify(work.assemble(tmp_path / "product.tif"))
    assert caught.value.code in ("TILE_DAMAGED", "VERIFY_FAILED")
    assert len(work.store.pending()) == 1


def test_a_core_that_is_no_whole_number_of_blocks_is_left_to_gdal(tmp_path: Path) -> None:
    scene = make_scene(shape=(230, 210), nodata="tag", number=0.0)
    store = make_work(tmp_path / "work", scene, core=100).store
    assert store.encoded() is None
    np.testing.assert_array_equal(store.sr[:], scene.sr)


FULL = """
import resource, signal, sys
from pathlib import Path
from tests.storage.cog.encoded_cases import make_work
from tests.storage.cog.product_cases import make_scene
from srcore.errors import StoreError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = Path(sys.argv[1])
work = make_work(folder / "work", make_scene(shape=(400, 400), bands=3), 512)
if sys.argv[2] == "0":
    print(work.assemble(folder / "product.tif").stat().st_size)
    sys.exit()
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    work.verify(work.assemble(folder / "product.tif"))
except StoreError as error:
    print(error.code)
else:
    print("PASSED")
"""


@pytest.mark.parametrize("share", [0.01, 0.2, 0.7, 0.99])
def test_a_file_that_cannot_grow_is_no_product(tmp_path: Path, share: float) -> None:
    def run(limit: int, folder: Path) -> str:
        folder.mkdir()
        root = Path(__file__).parents[2]
        command = [sys.executable, "-c", FULL, str(folder), str(limit)]
        environment = {**os.environ, "PYTHONPATH": str(root)}
        return subprocess.run(
            command, cwd=root, env=environment, capture_output=True, text=True, check=True, timeout=60
        ).stdout.split()[-1]

    whole = int(run(0, tmp_path / "whole"))
    assert run(int(whole * share), tmp_path / "cut") in ("DISK_FULL", "BAD_STORE")
    assert sorted(os.listdir(tmp_path / "cut")) == ["work"]
