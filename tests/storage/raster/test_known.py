"""Bands by the name that a provider gave the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import rasterio
from rasterio.enums import ColorInterp

from srcore.storage.raster.header import read_raster_header

NAIP = "m_4709963_se_14_1_20200831.tif"
PLANET = "20230602_101112_45_2475_3B_AnalyticMS_SR_8b_harmonized_clip.tif"
GREY = (ColorInterp.gray, *(ColorInterp.undefined,) * 7)


def write(path: Path, count: int, colours: tuple[ColorInterp, ...] = GREY, names: tuple[str, ...] = ()) -> Path:
    profile = {"driver": "GTiff", "count": count, "height": 20, "width": 30, "dtype": "uint16", "crs": "EPSG:26914"}
    transform = rasterio.Affine(1, 0, 5e5, 0, -1, 5e6)
    with rasterio.open(path, "w", **profile, transform=transform, photometric="MINISBLACK") as target:
        target.colorinterp = colours[:count]
        target.write(np.arange(count * 600, dtype="uint16").reshape(count, 20, 30))
        for index, name in enumerate(names, 1):
            target.set_band_description(index, name)
    return path


@pytest.mark.parametrize(
    ("name", "bands"),
    [
        (NAIP, ["red", "green", "blue", "nir"]),
        ("m_4709963_se_14_h_20200831_20201110.TIF", ["red", "green", "blue", "nir"]),
        ("20230602_101112_45_2475_3B_AnalyticMS.tif", ["blue", "green", "red", "nir"]),
        (PLANET, ["coastal", "blue", "green05", "green", "yellow", "red", "rededge", "nir"]),
    ],
)
def test_bands_of_a_known_product_are_named_and_that_is_said(tmp_path: Path, name: str, bands: list[str]) -> None:
    path = write(tmp_path / name, len(bands))
    header = read_raster_header([path])
    assert [band.name for band in header.bands] == [band.common for band in header.bands] == bands
    [told] = [flag for flag in header.flags if "taken for" in flag]
    assert ", ".join(bands) in told
    assert [band.index for band in read_raster_header([path], bands=["nir", "2", "band 3"]).bands] == [len(bands), 2, 3]
    link = tmp_path / "other.tif"
    link.symlink_to(path)
    assert read_raster_header([link]).bands[0].name == "band 1"  # the name that the user sees decides


@pytest.mark.parametrize("name", ["scene.tif", "m_4709963_se_14_1.tif", f"x{NAIP}", "20230602_3B_Visual.tif"])
def test_any_other_name_says_nothing(tmp_path: Path, name: str) -> None:
    header = read_raster_header([write(tmp_path / name, 4)])
    assert [band.name for band in header.bands] == [f"band {i}" for i in (1, 2, 3, 4)]
    assert [band.common for band in header.bands] == [""] * 4


def test_what_the_file_says_goes_before_its_name(tmp_path: Path) -> None:
    named = write(tmp_path / NAIP, 4, names=("a", "b", "c", "d"))
    assert [band.name for band in read_raster_header([named]).bands] == ["a", "b", "c", "d"]
    infrared = (ColorInterp.red, ColorInterp.blue, ColorInterp.green, ColorInterp.undefined)
    (tmp_path / "other").mkdir()
    coloured = write(tmp_path / "other" / NAIP, 4, infrared)
    assert read_raster_header([coloured]).bands[0].name == "band 1"
    some = read_raster_header([write(tmp_path / "other" / PLANET, 4)])  # four of eight: which ones is not said
    assert some.bands[0].name == "band 1"
