"""The sample archive: what it holds, that it is the same every time, and that the catalog finds it."""

from __future__ import annotations

import hashlib
import math
import resource
import shutil
from pathlib import Path

import numpy as np
import pytest
import rasterio
from scipy import ndimage

from srcore.catalog import load_catalog
from srcore.samples import SAMPLES, make_archive, make_large, write_catalog
from srcore.samples.archive import all_below, footprint, halve
from srcore.samples.landscape import render
from srcore.storage.archive.sources import find_hr, find_scenes

CATALOG = Path(__file__).parents[2] / "data_catalog.yaml"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("archive") / "incoming" / "sample"
    seen: list[tuple[int, int]] = []
    paths = make_archive(folder, lambda done, total: seen.append((done, total)))
    assert [path.stem for path in paths] == [sample.name for sample in SAMPLES]
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]
    return folder


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_scene_and_its_true_hr_cover_the_same_ground(archive: Path, sample: object) -> None:
    name = f"{sample.name}.tif"  # type: ignore[attr-defined]
    with rasterio.open(archive / "lr" / name) as lr, rasterio.open(archive / "hr" / name) as hr:
        assert (lr.bounds, lr.crs, lr.descriptions) == (hr.bounds, hr.crs, ("B02", "B03", "B04", "B08"))
        assert (2 * lr.height, 2 * lr.width) == hr.shape
        assert (lr.res, hr.res) == ((10.0, 10.0), (5.0, 5.0))
        assert (lr.nodata, hr.nodata, set(lr.dtypes), lr.crs.to_epsg()) == (0, 0, {"uint16"}, 32632)
        coarse, truth = lr.read(), hr.read()
    assert coarse.shape[1] % 2 == coarse.shape[2] % 2 == 1
    valid, inside = (coarse > 0).all(axis=0), (truth > 0).all(axis=0)
    assert (valid == (coarse > 0).any(axis=0)).all()
    assert (valid == all_below(inside)).all()
    assert 0.8 < valid.mean() < 0.97
    assert not valid[[0, 0, -1, -1], [0, -1, 0, -1]].any()
    # Away from the collar, LR is the antialiased bicubic of HR and nothing else.
    deep = ndimage.binary_erosion(valid, iterations=6)
    assert (np.abs(halve(truth).astype(int) - coarse)[:, deep] == 0).all()


def test_files_are_small(archive: Path) -> None:
    assert all(path.stat().st_size < 20e6 for path in archive.rglob("*.tif"))
    assert not list(archive.rglob("*.part"))


def test_spectra_are_plausible() -> None:
    """Vegetation is brighter in the near infrared than in red, water is not; blue is the darkest of the visible."""
    blue, green, red, nir = render((256, 256), 3).astype(float)
    ndvi = (nir - red) / (nir + red)
    assert np.median(ndvi) > 0.4
    assert np.median(blue) < np.median(green)
    assert np.corrcoef(blue.ravel(), red.ravel())[0, 1] > 0.7


def test_same_seed_same_pixels_and_another_seed_another_landscape() -> None:
    one, again, other = render((96, 130), 3), render((96, 130), 3), render((96, 130), 4)
    assert one.shape == (4, 96, 130)
    assert (one == again).all()
    assert (one != other).mean() > 0.5
    assert one.min() >= 100


def test_same_bytes_every_time(tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        make_large(tmp_path / name / "x.tif", 300, 2, seed=5)
        digests.add(hashlib.sha256((tmp_path / name / "x.tif").read_bytes()).hexdigest())
    assert len(digests) == 1


def test_halving_keeps_flat_ground_and_the_place_of_things() -> None:
    flat = np.full((2, 20, 14), 777, np.uint16)
    assert (halve(flat) == 777).all()
    ramp = np.broadcast_to(np.arange(100, 180, dtype=np.uint16), (1, 10, 80))
    middle = halve(ramp)[0, 2, 3:-3].astype(float)
    assert np.abs(middle - (100.5 + 2 * np.arange(3, 37))).max() <= 0.5


def test_footprint_of_rows_is_the_rows_of_the_footprint() -> None:
    whole = footprint((50, 70), 9.0)
    assert (footprint((50, 70), 9.0, np.arange(20, 33)) == whole[20:33]).all()
    assert whole[25, 35]
    assert not whole[0, 0]


def test_large_scene_is_made_in_flat_memory(tmp_path: Path) -> None:
    make_large(tmp_path / "small.tif", 700, 3)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    make_large(tmp_path / "large.tif", 4096, 3)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
    assert grown < 4096 * 4096 * 3 * 2 * 0.8
    with rasterio.open(tmp_path / "large.tif") as file:
        assert (file.shape, file.count, file.nodata, file.dtypes[0]) == ((4096, 4096), 3, 0, "uint16")
        part = file.read(window=((2000, 2200), (2000, 2200)))
        assert not file.read(1, window=((0, 9), (0, 9))).any()
    assert (part > 0).all()
    assert all(band.std() > 50 for band in part)


def test_the_catalog_is_written_where_there_is_none(tmp_path: Path) -> None:
    path = write_catalog(tmp_path / "new")
    assert path.read_bytes() == CATALOG.read_bytes()
    assert load_catalog(path).dataset("sample-landscape").model == "srcore-x2"
    path.write_text("mine")
    assert write_catalog(tmp_path / "new").read_text() == "mine"


def test_shipped_catalog_works_as_it_stands(archive: Path) -> None:
    shutil.copy(CATALOG, archive.parents[1] / "data_catalog.yaml")
    catalog = load_catalog(archive.parents[1] / "data_catalog.yaml")
    dataset = catalog.dataset("sample-landscape")
    scenes, truth = find_scenes(dataset, catalog.base), find_hr(dataset, catalog.base)
    assert [scene.id for scene in scenes] == sorted(sample.name for sample in SAMPLES)
    assert all(scene.paths[0].is_file() and truth[scene.id].paths[0].is_file() for scene in scenes)
    assert dataset.schedule == "0 2 * * *"
    with rasterio.open(scenes[0].paths[0]) as file:
        assert dataset.bands == file.descriptions
        assert math.isclose(file.scales[0], 1e-4)
