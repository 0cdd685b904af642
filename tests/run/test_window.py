"""A window of a scene: its pixels are those of the same place of the whole product."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
from rasterio.warp import transform_bounds

from srcore.dispatch import Workers
from srcore.errors import GridError, PlanError
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene
from srcore.stages.plan import plan_scene
from srcore.storage.archive.publish import Receipt
from srcore.storage.header import GroundControlPoint, Header
from srcore.storage.scene import read_header
from srcore.storage.window import WindowWish

HERE = Workers(0)


def upscale(source: Path, name: str, **options: Any) -> tuple[Path, Receipt]:
    output = source.parent / f"{name}.tif"
    options = {"model": "bicubic-x2", "tile": 64, "block": 32, "validate": False, "outputs": ("cog",), **options}
    receipt = run_scene(direct_job(str(source), output, **options), HERE)
    assert receipt is not None
    return output, receipt


def difference(whole: Path, part: Path, window: tuple[int, int, int, int], scale: int = 2) -> float:
    """Largest difference of a window's product to the same place of the whole one; NaN equals NaN."""
    x, y, width, height = (scale * number for number in window)
    with rasterio.open(whole) as first, rasterio.open(part) as second:
        expected, found = first.read()[:, y : y + height, x : x + width], second.read()
        masks = first.read_masks()[:, y : y + height, x : x + width], second.read_masks()
        np.testing.assert_allclose((second.transform.c, second.transform.f), first.xy(y, x, offset="ul"), atol=1e-6)
        assert (second.transform.a, second.transform.e) == (first.transform.a, first.transform.e)
    np.testing.assert_array_equal(*masks)
    assert expected.shape == found.shape
    both = np.isnan(expected) & np.isnan(found) if expected.dtype.kind == "f" else np.zeros(expected.shape, bool)
    return float(np.abs(np.where(both, 0, expected.astype(np.float64) - found)).max())


WINDOWS = [(0, 0, 20, 17), (80, 66, 31, 17), (41, 29, 33, 35)]
"""At a corner, at the other, and across the hole at odd offsets."""


@pytest.fixture
def scene(landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]) -> Callable[..., Path]:
    """111 x 83 px with a hole and a line of nodata."""

    def make(dtype: str = "uint16", bands: int = 2, *, hole: bool = True, **options: Any) -> Path:
        values = landscape(bands, (83, 111), dtype)
        if hole:
            values[:, 30:50, 25:60] = values[:, :, 90] = np.nan if dtype == "float32" else 0
            options["nodata"] = np.nan if dtype == "float32" else 0
        return write_raster(values, **options)

    return make


@pytest.mark.parametrize(
    ("dtype", "bands", "hole", "options"),
    [
        ("uint16", 2, True, {"model": "srcore-x2"}),
        ("float32", 1, True, {"model": "srcore-x2-fast", "back_projection": 2}),
        ("uint8", 3, False, {"model": "bicubic-x2", "denoise": 1.0, "sharpen": 0.2}),
        ("int16", 1, True, {"model": "bicubic-x2", "back_projection": 0}),
    ],
)
def test_a_window_has_the_pixels_of_the_whole(
    dtype: str, bands: int, hole: bool, options: dict[str, Any], scene: Callable[..., Path]
) -> None:
    source = scene(dtype, bands, hole=hole)
    whole, _ = upscale(source, "whole", **options)
    for number, window in enumerate(WINDOWS):
        part, receipt = upscale(source, f"part{number}", **options, tile=32, window=WindowWish(window))
        assert difference(whole, part, window) == 0.0, window
        assert receipt.parameters["window"] == list(window)


def test_a_window_of_four_times_keeps_the_numbers_of_the_scene(scene: Callable[..., Path]) -> None:
    source = scene("uint16", 1)
    whole, _ = upscale(source, "whole", model="srcore-x4")
    part, _ = upscale(source, "part", model="srcore-x4", window=WindowWish((21, 33, 35, 27)))
    assert difference(whole, part, (21, 33, 35, 27), 4) == 0.0


def test_what_alpha_hides_is_hidden_in_a_window_too(
    landscape: Callable[..., np.ndarray], write_raster: Callable[..., Path]
) -> None:
    values = landscape(4, (70, 90), "uint8")
    values[3] = 255
    values[3, 20:40, 30:52] = 0
    source = write_raster(values, photometric="RGB", alpha="YES")
    whole, _ = upscale(source, "whole")
    part, _ = upscale(source, "part", window=WindowWish((33, 15, 41, 37)))
    assert difference(whole, part, (33, 15, 41, 37)) == 0.0


def test_a_header_of_a_window_goes_back_to_its_scene_and_through_json(scene: Callable[..., Path]) -> None:
    whole = replace(read_header([scene()]), gcps=(GroundControlPoint(3.5, 8.0, 6e5, 5e6, 0.0),))
    part = whole.window((3, 5), (10, 20))
    assert part.grid.to_world((0, 0)) == whole.grid.to_world((3, 5))
    assert (part.gcps[0].row, part.gcps[0].col) == (0.5, 3.0)
    assert part.whole == whole
    assert Header.from_json(json.loads(json.dumps(part.to_json()))) == part


def planned(source: Path, wish: WindowWish, **options: Any) -> Any:
    options = {"model": "bicubic-x2", **options}
    return plan_scene(direct_job(str(source), source.parent / "out.tif", window=wish, **options), 0)


def test_a_box_is_the_pixels_that_it_touches(scene: Callable[..., Path]) -> None:
    source = scene()
    with rasterio.open(source) as lr:
        (west, north), (east, south) = lr.xy(10, 20, offset="ul"), lr.xy(40, 50, offset="ul")
        degrees = transform_bounds(lr.crs, "EPSG:4326", west, south, east, north)
    own = planned(source, WindowWish(box=(west, south, east, north)))
    assert (own.tiles.start, own.tiles.shape) == ((10, 20), (30, 30))
    globe = planned(source, WindowWish(box=degrees, crs="EPSG:4326"))
    rows, cols = globe.tiles.start
    assert rows <= 10
    assert cols <= 20
    assert rows + globe.tiles.shape[0] >= 40
    assert cols + globe.tiles.shape[1] >= 50
    assert max(globe.tiles.shape) <= 33  # turned by the meridian's convergence, and no more


def test_a_window_partly_outside_is_clipped_and_says_so(scene: Callable[..., Path]) -> None:
    plan = planned(scene(), WindowWish((-5, 72, 30, 40)))
    assert (plan.tiles.start, plan.tiles.shape) == ((72, 0), (11, 25))
    assert any("clipped" in flag for flag in plan.header.flags)


def test_a_window_outside_is_refused_in_a_line(scene: Callable[..., Path]) -> None:
    with pytest.raises(GridError, match="outside the scene") as found:
        planned(scene(), WindowWish((111, 0, 10, 10)))
    assert found.value.code == "BAD_WINDOW"
    assert "\n" not in str(found.value)


@pytest.mark.parametrize(
    ("crs", "box"), [("EPSG:0", (0, 0, 1, 1)), ("EPSG:3857", (1e9, 1e9, 1.1e9, 1.1e9)), ("EPSG:4326", (80, 70, 81, 71))]
)
def test_a_box_that_means_nothing_here_is_refused(
    crs: str, box: tuple[float, float, float, float], scene: Callable[..., Path]
) -> None:
    with pytest.raises(GridError) as found:
        planned(scene(), WindowWish(box=box, crs=crs))
    assert found.value.code == "BAD_WINDOW"


def test_a_volume_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "ct.nii"
    nibabel.save(nibabel.Nifti1Image(np.arange(4 * 20 * 20, dtype=np.int16).reshape(20, 20, 4), np.eye(4)), path)
    job = direct_job(str(path), tmp_path / "out.nii", model="srcore-x2", window=WindowWish((0, 0, 9, 9)))
    with pytest.raises(PlanError, match="volume"):
        plan_scene(job, 0)


def test_what_would_differ_from_the_whole_is_refused(scene: Callable[..., Path]) -> None:
    with pytest.raises(PlanError, match="int8"):
        planned(scene(), WindowWish((0, 0, 9, 9)), precision="int8")


def test_a_broken_run_of_a_window_goes_on(scene: Callable[..., Path]) -> None:
    source = scene()
    whole, _ = upscale(source, "whole")
    wish = WindowWish((13, 9, 31, 23))
    options = {"model": "bicubic-x2", "tile": 64, "block": 32, "validate": False, "outputs": ("cog",), "window": wish}
    assert run_scene(direct_job(str(source), source.parent / "part.tif", **options), HERE, until="upscale") is None
    part, _ = upscale(source, "part", window=wish)
    assert difference(whole, part, (13, 9, 31, 23)) == 0.0
