"""Products of providers as scenes: bands by name, numbers, date, place and what is missing, all from the metadata."""

from __future__ import annotations

import shutil
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from srcore.errors import GridError, SourceError
from srcore.injection import BYTES_PX, REACH_PX
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header, scene_files
from tests.storage.providers.products import GRANULE, LANDSAT, make_landsat, make_safe, pixels, write


def whole(header: Header) -> tuple[np.ndarray, np.ndarray]:
    with open_scene(header) as reader:
        return reader.read(tuple(slice(0, n) for n in header.grid.shape))


def test_a_safe_folder_is_one_scene_of_all_bands_on_the_finest_grid(tmp_path: Path) -> None:
    header = read_header([make_safe(tmp_path)], "raster")
    assert [band.name for band in header.bands] == ["B01", "B02", "B03", "B04", "B05", "B08", "B11"]
    assert [band.zoom for band in header.bands] == [6, 1, 1, 1, 2, 1, 2]
    assert [band.common for band in header.bands][:3] == ["coastal", "blue", "green"]
    assert {(band.scale, band.offset, band.nodata) for band in header.bands} == {(1e-4, -0.1, 0.0)}
    assert header.grid.shape == (60, 60)
    assert header.grid.to_world((0, 0)) == (699960.0, 5000040.0)
    assert header.taken is not None
    assert (header.taken.first, header.taken.source) == ("2024-06-01T10:30:21.024Z", "MTD_MSIL2A.xml")
    assert header.properties["eo:cloud_cover"] == 21.5
    assert header.properties["view:sun_elevation"] == 59.75
    assert header.properties["grid:code"] == "MGRS-32TQM"
    assert "B05, B11: 20 m brought to 10 m by bicubic interpolation" in header.flags
    values, valid = whole(header)
    assert valid.all()
    for index, band in ((1, 1), (2, 2), (5, 7)):
        np.testing.assert_array_equal(values[index], pixels(10, band))
    inside = (slice(12, -12),) * 2
    assert (
        np.abs(values[4][inside].astype(float) - pixels_at(20, 4)[inside]).max() < 3
    )  # of 900: what bicubic gets wrong
    assert np.abs(values[0][inside].astype(float) - pixels_at(60, 0)[inside]).max() < 60


def pixels_at(gsd: int, seed: int) -> np.ndarray:
    """What `pixels` of a resolution shows at the centres of pixels of 10 m."""
    n = 60
    y, x = ((np.mgrid[:n, :n] + 0.5) * 10 / gsd - 0.5) * gsd / 10
    return 2500 + 300 * seed + 900 * np.sin(x / 9 + seed) * np.cos(y / 7)


def test_any_window_of_a_coarser_band_is_that_of_the_whole(tmp_path: Path) -> None:
    safe = make_safe(tmp_path)
    coarse = next(safe.rglob("*_B05_20m.jp2"))
    hidden = pixels(20, 4)
    hidden[8:13, 3:9], hidden[20, 20] = 0, 0
    write(coarse, hidden, 20)
    header = read_header([safe])
    values, valid = whole(header)
    assert not valid[4, 16:26, 6:18].any()
    assert valid[4].sum() == 3600 - 4 * 31
    rng = np.random.default_rng(1)
    with open_scene(header) as reader:
        for _ in range(40):
            start = rng.integers(0, 55, 2)
            window = tuple(slice(int(s), int(s) + int(rng.integers(1, 60 - s + 1))) for s in start)
            found, shown = reader.read(window)
            where = valid[:, *window]
            np.testing.assert_array_equal(shown, where)
            np.testing.assert_array_equal(found[where], values[:, *window][where])


@pytest.mark.parametrize(("offset", "expected"), [(-1000, -0.1), (None, 0.0)])
def test_the_offset_is_that_of_the_baseline(tmp_path: Path, offset: int | None, expected: float) -> None:
    header = read_header([make_safe(tmp_path, {"B02": 10}, offset=offset, baseline="02.14")])
    assert header.bands[0].offset == expected
    assert header.properties["s2:processing_baseline"] == "02.14"


def test_bands_are_asked_for_by_their_own_or_their_common_names(tmp_path: Path) -> None:
    header = read_header([make_safe(tmp_path)], bands=["red", "GREEN", "b02"])
    assert [band.name for band in header.bands] == ["B04", "B03", "B02"]
    assert [band.colour for band in header.bands] == ["red", "green", "blue"]
    with pytest.raises(SourceError, match="has no band 'B99'") as told:
        read_header([tmp_path / next(tmp_path.glob("*.SAFE")).name], bands=["B99"])
    assert told.value.code == "BAD_SETTING"


def test_a_level_1c_product_is_read_by_its_own_keys(tmp_path: Path) -> None:
    header = read_header([make_safe(tmp_path, {"B02": 10, "B05": 20}, level="L1C")])
    assert [(band.name, band.zoom, band.offset) for band in header.bands] == [("B02", 1, -0.1), ("B05", 2, -0.1)]
    assert any("no cloud mask" in flag for flag in header.flags)


def test_a_band_that_is_not_there_is_named_and_what_is_there_as_well(tmp_path: Path) -> None:
    safe = make_safe(tmp_path, named=["B03"], bands={"B02": 10, "B05": 20})
    with pytest.raises(SourceError, match=r"found B03 \(10 m\); fetch it again, or name bands .*: B02,B05") as told:
        read_header([safe])
    assert told.value.code == "MISSING_BAND"
    with pytest.raises(SourceError) as told:
        read_header([safe], bands=["green"])
    assert told.value.code in ("MISSING_BAND", "BAD_SETTING")
    assert [band.name for band in read_header([safe], bands=["B02", "B05"]).bands] == ["B02", "B05"]


def test_a_coarser_copy_is_taken_where_it_is_asked_for_and_said(tmp_path: Path) -> None:
    header = read_header([make_safe(tmp_path, {"B02": 60, "B01": 60})], bands=["B02"])
    assert header.grid.shape == (10, 10)
    assert any("a coarser copy" in flag for flag in header.flags)


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        ("truncated xml", "BAD_METADATA"),
        ("bomb", "BAD_METADATA"),
        ("no quantification", "BAD_METADATA"),
        ("two granules", "BAD_METADATA"),
        ("other corner", "BAD_METADATA"),
        ("other crs", "BAD_METADATA"),
        ("outside", "BAD_METADATA"),
        ("truncated band", "TRUNCATED"),
        ("other size", "BAD_GRID"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(tmp_path: Path, spoil: str, code: str) -> None:
    facts = {"other corner": {"corner": (0.0, 5000040.0)}, "other crs": {"epsg": 32633}}.get(spoil, {})
    safe = make_safe(tmp_path, {"B02": 10, "B05": 20}, **facts)
    document, band = safe / "MTD_MSIL2A.xml", next(safe.rglob("*_B05_20m.jp2"))
    text = document.read_text()
    changes = {
        "truncated xml": text[: len(text) // 2],
        "bomb": text.replace("<n1:Level-2A_User_Product", '<!DOCTYPE x [<!ENTITY a "b">]><n1:Level-2A_User_Product', 1),
        "no quantification": text.replace("10000", "many"),
        "two granules": text.replace("<Granule ", "<Granule/><Granule ", 1),
        "outside": text.replace("IMG_DATA/R10m", "../../../IMG_DATA/R10m"),
    }
    document.write_text(changes.get(spoil, text))
    if spoil == "truncated band":
        band.write_bytes(band.read_bytes()[:300])
    if spoil == "other size":
        write(band, pixels(20, 4, side=29), 20)
    with pytest.raises((SourceError, GridError)) as told:
        whole(read_header([safe]))
    assert told.value.code in (code, "DAMAGED" if code == "TRUNCATED" else code)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("form", ["json", "txt"])
def test_landsat_by_its_metadata(tmp_path: Path, form: str) -> None:
    header = read_header([make_landsat(tmp_path, form=form)])
    assert [(band.name, band.common) for band in header.bands] == [("B2", "blue"), ("B3", "green"), ("B4", "red")]
    assert {(band.scale, band.offset, band.nodata) for band in header.bands} == {(2.75e-5, -0.2, 0.0)}  # of level 2
    assert header.taken is not None
    assert header.taken.first == "2024-06-01T10:05:07.123Z"
    assert header.properties["eo:cloud_cover"] == 17.25
    assert "named by the metadata and not there: B5" in header.flags
    np.testing.assert_array_equal(whole(header)[0][0], pixels(10, 2))
    with pytest.raises(SourceError) as told:
        read_header([tmp_path], bands=["nir08"])
    assert told.value.code == "MISSING_BAND"
    assert read_header([tmp_path / f"{LANDSAT}_MTL.{form}"]).bands == header.bands


@pytest.mark.parametrize("changed", [{"REFLECTANCE_MULT_BAND_3": "1,5"}, {"FILE_NAME_BAND_2": "../secret.tif"}])
def test_landsat_metadata_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, str]) -> None:
    with pytest.raises(SourceError) as told:
        read_header([make_landsat(tmp_path, **changed)])
    assert told.value.code == "BAD_METADATA"


def test_hls_by_its_folder(tmp_path: Path) -> None:
    for band in ("B02", "B8A"):
        write(
            tmp_path / f"HLS.S30.T32TQM.2024153T103021.v2.0.{band}.tif", pixels(10).astype(np.int16), 30, nodata=-9999
        )
    header = read_header([tmp_path])
    assert [(band.name, band.common, band.scale) for band in header.bands] == [
        ("B02", "blue", 0.0001),
        ("B8A", "nir08", 0.0001),
    ]
    assert header.bands[0].nodata == -9999
    shutil.copy(
        tmp_path / "HLS.S30.T32TQM.2024153T103021.v2.0.B02.tif", tmp_path / "HLS.S30.T32TQM.2024154T103021.v2.0.B02.tif"
    )
    with pytest.raises(SourceError, match="several HLS products"):
        read_header([tmp_path])


def test_the_files_of_a_product_are_known_without_opening_a_raster(tmp_path: Path) -> None:
    safe, landsat = make_safe(tmp_path / "s2"), make_landsat(tmp_path / "l9")
    for path in (safe, landsat):
        for wish in (None, {"layer": "auto", "as_": "nodata"}, {"layer": "auto", "as_": "band"}):
            header = read_header([path], quality=wish)
            for band in header.rasters:
                assert band.is_relative_to(path)
            assert scene_files([path], quality=wish) == header.paths
    data = next((safe / "GRANULE" / GRANULE / "IMG_DATA/R10m").iterdir())
    data.rename(data.with_name("elsewhere"))
    assert len(scene_files([safe], bands=["B05"])) == 3  # the band and two documents


def test_what_the_detail_of_guides_takes_of_memory_is_what_is_projected(tmp_path: Path) -> None:
    sides = {"B02": 360, "B03": 360, "B04": 360, "B08": 360, "B05": 180, "B01": 60, "B09": 60}
    values = {name: pixels(3600 // side, 1, side) for name, side in sides.items()}
    safe = make_safe(tmp_path, {name: 3600 // side for name, side in sides.items()}, values=values, scl=False)
    header = read_header([safe], guided=2)
    with open_scene(header) as reader:
        reader.read((slice(0, 60), slice(0, 60)))
        tracemalloc.start()
        reader.read((slice(0, 360), slice(0, 360)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert 0.7 < peak / (BYTES_PX * (360 + 2 * 6 * REACH_PX) ** 2) <= 1


def test_a_60_m_band_has_the_detail_of_guides_whatever_the_window(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    sides = {"B02": 180, "B03": 180, "B05": 90, "B01": 30}
    values = {name: rng.integers(1000, 4000, (side, side)).astype(np.uint16) for name, side in sides.items()}
    values["B02"][100:104, 20:30] = values["B02"][0, 179] = values["B01"][3, 28] = 0
    bands = {"B02": 10, "B03": 10, "B05": 20, "B01": 60}
    safe = make_safe(tmp_path, bands, values=values, scl=False)
    header, plain = read_header([safe], guided=2), whole(read_header([safe]))[0]
    assert header.names_of(header.injected) == ["B01"]
    found, valid = whole(header)
    assert (found[0] != plain[0]).mean() > 0.7
    assert np.array_equal(found[0, 70:134, :60], plain[0, 70:134, :60])  # where a guide is hidden within its reach
    assert not valid[0, 18:24, 168:174].any()
    with open_scene(header) as reader:
        for top, left, height, width in [(0, 0, 1, 1), (179, 179, 1, 1), (7, 61, 50, 19), (100, 0, 80, 180)]:
            part, seen = reader.read((slice(top, top + height), slice(left, left + width)))
            assert np.array_equal(part, found[:, top : top + height, left : left + width])
            assert np.array_equal(seen, valid[:, top : top + height, left : left + width])
    alone = read_header([safe], bands=["B02", "B01"], guided=2)  # nothing that a generator brings up: no guides
    assert alone.injected == ()
    assert any("B01: 60 m brought to 10 m by bicubic" in flag for flag in alone.flags)
