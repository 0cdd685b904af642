"""The quicklook shows any scene, finds the detail, and shows LR and SR in the same light."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray
from PIL import Image

from srcore.radiometry import quantise
from srcore.report.panels import GAP, LINE, MAX_BYTES, NOTHING, Stretch, display_bands, enlarge, fit
from srcore.report.quicklook import BLOCK, ENLARGED, PANEL, ZOOM, Views, quicklook, readme_picture, survey
from srcore.storage.scene import open_scene, read_header


def picture(png: bytes) -> NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def show(lr: NDArray[Any], valid: NDArray[np.bool_], sr: Any, names: Sequence[str] = ()) -> NDArray[np.uint8]:
    labels = names or [f"band {i + 1}" for i in range(len(lr))]
    png = quicklook(lambda window: lr[(slice(None), *window)], valid, sr, labels, ["undefined"] * len(lr))
    assert len(png) <= MAX_BYTES
    return picture(png)


def scene(bands: int, rows: int, cols: int, seed: int = 0) -> NDArray[np.uint16]:
    rng = np.random.default_rng(seed)
    return rng.integers(300, 4000, (bands, rows, cols)).astype(np.uint16)


def twice(lr: NDArray[Any]) -> NDArray[Any]:
    return lr.repeat(2, axis=-2).repeat(2, axis=-1)


@pytest.mark.parametrize(
    ("names", "colours", "shown"),
    [
        (["B02", "B03", "B04", "B08"], ["undefined"] * 4, (2, 1, 0)),
        (["B2", "B3", "B4"], ["gray", "undefined", "undefined"], (2, 1, 0)),
        (["x", "y", "z", "w"], ["red", "green", "blue", "alpha"], (0, 1, 2)),
        (["Band 4 (Red)", "band_3", "Band 02"], ["undefined"] * 3, (0, 1, 2)),
        (["nir", "Blue", "green", "RED"], ["undefined"] * 4, (3, 2, 1)),
        (["B02", "B03", "B08", "B11"], ["blue", "green", "undefined", "undefined"], (0, 1, 2)),
        (["B20", "B30", "B40", "B1"], ["undefined"] * 4, (0, 1, 2)),
        (["VV", "VH"], ["gray", "undefined"], (0,)),
        (["band 1"], ["gray"], (0,)),
    ],
)
def test_which_bands_are_shown(names: list[str], colours: list[str], shown: tuple[int, ...]) -> None:
    assert display_bands(names, colours) == shown


@pytest.mark.parametrize("bands", [1, 2, 3, 12])
@pytest.mark.parametrize("shape", [(97, 61), (1, 300), (300, 1), (1, 1), (700, 300)])
def test_any_shape_and_band_count(bands: int, shape: tuple[int, int]) -> None:
    lr = scene(bands, *shape)
    seen = show(lr, np.ones(lr.shape, bool), twice(lr))
    assert seen.shape[0] <= PANEL + LINE + 3 * GAP
    assert seen.shape[1] <= 3 * (PANEL + 2 * GAP) + GAP


@pytest.mark.parametrize("dtype", ["uint8", "int16", "int32", "float32", "float64"])
def test_any_dtype(dtype: str) -> None:
    lr = (scene(3, 40, 50) // 16).astype(dtype)
    assert show(lr, np.ones(lr.shape, bool), twice(lr)).std() > 20


@pytest.mark.parametrize("value", [0.0, np.nan])
def test_scene_without_a_valid_pixel(value: float) -> None:
    lr = np.full((3, 60, 70), value, np.float32)
    seen = show(lr, np.zeros(lr.shape, bool), twice(lr))
    assert (seen[LINE + GAP : LINE + 40, GAP + 4 : GAP + 40] == NOTHING).all()


def test_nodata_neither_shows_nor_sets_the_light() -> None:
    lr = scene(1, 200, 200).astype(np.float32)
    valid = np.ones(lr.shape, bool)
    valid[:, :90] = False
    plain = show(np.where(valid, lr, 1000), valid, twice(np.where(valid, lr, 1000)))
    for nodata in (np.nan, -9999.0, 1e30):
        holed = np.where(valid, lr, np.float32(nodata))
        assert (show(holed, valid, twice(holed)) == plain).all()


def test_values_that_are_no_numbers_do_not_break_it() -> None:
    lr = scene(3, 50, 50).astype(np.float32)
    lr[:, 20:24, 20:24], lr[0, 5, 5] = np.nan, np.inf
    show(lr, np.ones(lr.shape, bool), twice(lr))


def test_constant_scene() -> None:
    lr = np.full((1, 30, 30), 7, np.uint8)
    show(lr, np.ones(lr.shape, bool), twice(lr))


def panels(seen: NDArray[np.uint8], count: int, width: int) -> list[NDArray[np.uint8]]:
    """The last `count` pictures of `width` columns in a row."""
    right = seen.shape[1] - GAP
    found = []
    for _ in range(count):
        found.insert(0, seen[LINE + GAP // 2 : LINE + GAP // 2 + PANEL, right - width : right])
        right -= width + GAP
    return found


def test_lr_and_sr_are_shown_at_the_same_ground_in_the_same_light() -> None:
    """When SR is the bicubic, the two details are the same pixels; the window lies where the detail is."""
    lr = np.full((1, 500, 600), 1000.0, np.float32) + np.arange(600)
    lr[:, 300:360, 100:180] += scene(1, 60, 80)
    valid = np.ones(lr.shape, bool)
    sr = enlarge(lr, valid, (2, 2))
    bicubic, shown = panels(show(lr, valid, sr), 2, PANEL)
    # An edge mirrored at the margin of the window, not of the scene, can move a light by one.
    assert np.abs(bicubic.astype(int) - shown).max() <= 1
    views = Views(lambda window: lr[(slice(None), *window)], valid, sr, (0,))
    rows, cols = survey(views, Stretch.of(lr, valid)).place(1)[0]
    assert rows.stop - rows.start == cols.stop - cols.start == PANEL // ZOOM // 2
    assert rows.start < 305
    assert rows.stop > 355
    assert cols.start < 105
    assert cols.stop > 175


def test_detail_is_sought_among_valid_pixels() -> None:
    lr = np.full((1, 600, 600), 1000, np.uint16)
    lr[:, 50:200, 50:200] += scene(1, 150, 150)
    lr[:, 400:500, 400:500] += scene(1, 100, 100) // 8
    valid = np.ones(lr.shape, bool)
    valid[:, 60:260:2, 60:260:2] = False
    views = Views(lambda window: lr[(slice(None), *window)], valid, twice(lr), (0,))
    rows, cols = survey(views, Stretch.of(lr, valid)).place(1)[0]
    assert valid[:, rows, cols].all()
    assert rows.stop > 400
    assert cols.stop > 400


def test_overview_is_the_mean_of_valid_pixels() -> None:
    lr = scene(1, 2 * PANEL + 130, 2 * PANEL)
    valid = np.random.default_rng(1).random(lr.shape) < 0.7
    stretch = Stretch(np.array([0.0]), np.array([4000.0]))
    sr = twice(lr)
    found = survey(Views(lambda window: lr[(slice(None), *window)], valid, sr, (0,)), stretch)
    assert found.step == 2
    cell = np.s_[:, 600:602, 40:42]
    assert found.valid[300, 20] == pytest.approx(valid[cell].mean())
    assert lr.shape[1] * 2 > BLOCK  # more than one block
    whole = [np.where(valid, lr / 4000, 0)[0, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    share = sum(valid[0, i::2, j::2] for i in (0, 1) for j in (0, 1))
    mean = np.divide(sum(whole), share, out=np.zeros(share.shape), where=share > 0)
    grey = np.where(share > 0, np.rint(255 * mean), NOTHING[0]).astype(np.uint8)
    expected = fit(np.repeat(grey[..., None], 3, axis=2), PANEL, ENLARGED)
    assert np.abs(found.picture.astype(int) - expected).max() <= 1


def test_volume_shows_its_middle_slice() -> None:
    lr = np.zeros((1, 7, 60, 50), np.int16)
    lr[0, 3] = scene(1, 60, 50)[0]
    valid = np.ones(lr.shape, bool)
    flat = show(lr[:, 3], valid[:, 3], twice(lr[:, 3]))
    whole = (slice(LINE + GAP, None), slice(GAP, GAP + 250))  # words of another length move what stands beside it
    assert (show(lr, valid, twice(lr))[whole] == flat[whole]).mean() > 0.99
    deep = np.repeat(twice(lr), 3, axis=1)
    assert (show(lr, valid, deep)[whole] == flat[whole]).mean() > 0.99


def test_zarr_is_read_by_blocks_and_lr_in_a_few_places(tmp_path: Path) -> None:
    lr = scene(3, 1700, 1500)
    read: list[int] = []

    def reader(window: tuple[slice, ...]) -> NDArray[Any]:
        part = lr[(slice(None), *window)]
        read.append(part[0].size)
        return part

    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    valid = group.create_array("valid", data=np.ones(lr.shape, bool), chunks=(3, 512, 512))
    sr = group.create_array("sr", data=twice(lr), chunks=(1, 512, 512))
    png = quicklook(reader, valid, sr, ["red", "green", "blue"], ["undefined"] * 3)
    assert sum(read) < 0.1 * lr[0].size
    assert picture(png).shape[1] > 2 * PANEL
    assert len(png) <= MAX_BYTES


def test_picture_for_the_readme() -> None:
    lr = scene(4, 300, 320)
    hr = scene(4, 600, 640, seed=2)
    names, valid = ["B02", "B03", "B04", "B08"], np.ones(lr.shape, bool)
    png = readme_picture(lambda window: lr[(slice(None), *window)], valid, twice(lr), hr, names, ["undefined"] * 4)
    seen = picture(png)
    assert seen.shape[1] == 4 * (PANEL + GAP) + GAP
    assert seen.shape[0] > 2 * PANEL
    assert len(png) <= MAX_BYTES


@pytest.mark.parametrize(
    "name", ["RGB.byte.tif", "hls_10band_float32.tif", "worldview_atlanta_pan_uint16.tif", "rgb16_grenada.tif"]
)
def test_real_scenes(shared_data: Path, name: str) -> None:
    header = read_header([shared_data / "data" / "satellite" / name], "raster")
    with open_scene(header) as reader:
        lr, valid = reader.read(tuple(slice(0, n) for n in header.grid.shape))
        sr = quantise(enlarge(lr, valid, (2, 2)), lr.dtype)
        names, colours = [band.name for band in header.bands], [band.colour for band in header.bands]
        seen = picture(quicklook(lambda window: reader.read(window)[0], valid, sr, names, colours))
    bicubic, shown = panels(seen, 2, PANEL)
    assert shown.std() > 25
    assert np.abs(bicubic.astype(int) - shown).mean() < 2
