"""Products of providers as scenes: bands by name, numbers, date, place and what is missing, all from the metadata."""

from __future__ import annotations

import re
import shutil
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from srcore.errors import GridError, SourceError
from srcore.injection import BYTES_PX, REACH_PX
from srcore.storage.header import Header
from srcore.storage.scene import open_scene, read_header, scene_files
from tests.storage.providers.products import GRANULE, LANDSAT, NAME, make_landsat, make_safe, pixels, write

OFFSET = '<BOA_ADD_OFFSET band_id="1">-500</BOA_ADD_OFFSET>'


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


@pytest.mark.parametrize("baseline", ["99.99", "of my own"])
def test_an_offset_that_no_baseline_tells_of_is_said_to_be_none(tmp_path: Path, baseline: str) -> None:
    header = read_header([make_safe(tmp_path, {"B02": 10}, offset=None, baseline=baseline)])
    assert [flag for flag in header.flags if "taken for those of before 04.00" in flag]
    other = read_header([make_safe(tmp_path / "other", {"B02": 10}, baseline=baseline)])
    assert not [flag for flag in other.flags if "04.00" in flag]


def test_words_of_the_metadata_are_one_line_and_a_size_that_differs_is_said(tmp_path: Path) -> None:
    safe = make_safe(tmp_path, {"B02": 10, "B05": 20})
    document, tile = safe / "MTD_MSIL2A.xml", next(safe.rglob("MTD_TL.xml"))
    document.write_text(document.read_text().replace(f"{NAME}.SAFE", "my\n\u202escene"))
    size = '<Size resolution="{}"><NROWS>60</NROWS><NCOLS>60</NCOLS></Size>'
    tile.write_text(tile.read_text().replace("<Geoposition", f"{size.format(10)}{size.format(20)}<Geoposition"))
    flags = read_header([safe]).flags
    assert "Sentinel-2 L2A my scene" in flags
    assert "B05: 30 x 30 pixels, the metadata say 60 x 60" in flags


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
        ("other pixels", "BAD_METADATA"),
        ("no offset", "BAD_METADATA"),
        ("an offset of one band", "BAD_METADATA"),
        ("two offsets of a band", "BAD_METADATA"),
        ("another product", "BAD_METADATA"),
        ("another level", "BAD_METADATA"),
        ("clouds of 250 %", "BAD_METADATA"),
        ("a day to come", "BAD_METADATA"),
        ("an end before its start", "BAD_METADATA"),
        ("before all time", "BAD_METADATA"),
        ("sun below the earth", "BAD_METADATA"),
        ("entity in UTF-16", "BAD_METADATA"),
        ("deep", "BAD_METADATA"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_code(tmp_path: Path, spoil: str, code: str) -> None:
    wishes: dict[str, dict[str, Any]] = {
        "other corner": {"corner": (0.0, 5000040.0)},
        "other crs": {"epsg": 32633},
        "no offset": {"offset": None},
    }
    facts = wishes.get(spoil, {})
    safe = make_safe(tmp_path, {"B02": 10, "B05": 20}, **facts)
    document, band = safe / "MTD_MSIL2A.xml", next(safe.rglob("*_B05_20m.jp2"))
    text = document.read_text()
    changes = {
        "truncated xml": text[: len(text) // 2],
        "bomb": text.replace("<n1:Level-2A_User_Product", '<!DOCTYPE x [<!ENTITY a "b">]><n1:Level-2A_User_Product', 1),
        "no quantification": text.replace("10000", "many"),
        "two granules": text.replace("<Granule ", "<Granule/><Granule ", 1),
        "outside": text.replace("IMG_DATA/R10m", "../../../IMG_DATA/R10m"),
        "an offset of one band": re.sub('(<BOA_ADD_OFFSET band_id="(?!1")[^/]*/BOA_ADD_OFFSET>)', "", text),
        "two offsets of a band": text.replace('<BOA_ADD_OFFSET band_id="1">', f"{OFFSET}<BOA_ADD_OFFSET band_id='1'>"),
        "another product": text.replace(NAME, NAME.replace("T32TQM_2024", "T32TQM_2023")),
        "another level": text.replace("Level-2A</", "Level-1C</"),
        "clouds of 250 %": text.replace(">21.5<", ">250<"),
        "a day to come": text.replace("2024-06-01T", "2424-06-01T"),
        "an end before its start": text.replace("TIME>2024-06-01", "TIME>2024-06-02", 1),
        "before all time": text.replace("2024-06-01T10:30:21.024Z", "0001-01-01T00:00:00+14:00"),
        "deep": text.replace("<Datatake>", f"{'<a>' * 40}{'</a>' * 40}<Datatake>"),
    }
    document.write_text(changes.get(spoil, text))
    if spoil == "entity in UTF-16":
        bomb = text.replace("UTF-8", "UTF-16").replace("?>", '?><!DOCTYPE x SYSTEM "file:///etc/passwd">', 1)
        document.write_bytes(bomb.encode("utf-16"))
    if spoil == "sun below the earth":
        tile = next(safe.rglob("MTD_TL.xml"))
        tile.write_text(tile.read_text().replace(">30.25<", ">400<"))
    if spoil == "other pixels":
        write(band, pixels(10, 4), 10)
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


@pytest.mark.parametrize(
    "changed",
    [
        {"REFLECTANCE_MULT_BAND_3": "1,5"},
        {"REFLECTANCE_MULT_BAND_3": "0"},
        {"REFLECTANCE_MULT_BAND_3": "NaN"},
        {"REFLECTANCE_MULT_BAND_3": None},
        {"FILE_NAME_BAND_2": "../secret.tif"},
        {"FILE_NAME_BAND_2": f"{LANDSAT}_SR_B3.TIF"},
        {"LANDSAT_PRODUCT_ID": LANDSAT.replace("190028", "190029")},
        {"PROCESSING_LEVEL": "L1TP"},
        {"PROCESSING_LEVEL": None},
        {"MAP_PROJECTION": "UTM", "UTM_ZONE": "33"},
        {"DATE_ACQUIRED": "2424-06-01"},
        {"CLOUD_COVER": "300"},
    ],
)
def test_landsat_metadata_that_make_no_sense_are_refused(tmp_path: Path, changed: dict[str, str | None]) -> None:
    with pytest.raises(SourceError) as told:
        read_header([make_landsat(tmp_path, **changed)])
    assert told.value.code == "BAD_METADATA"
    assert "\n" not in str(told.value)


def test_landsat_metadata_as_others_write_them(tmp_path: Path) -> None:
    make_landsat(tmp_path, SUN_AZIMUTH="-90", MAP_PROJECTION="UTM", UTM_ZONE="32")
    document = tmp_path / f"{LANDSAT}_MTL.json"
    document.write_bytes(b"\xef\xbb\xbf" + document.read_bytes())
    header = read_header([tmp_path])
    assert header.properties["view:sun_azimuth"] == 270
    write(tmp_path / f"{LANDSAT}_SR_B3.TIF", pixels(10, 3, 30), 60, nodata=0)
    assert "B3: pixels of 60 m, the provider's have 30 m" in read_header([tmp_path]).flags


def test_landsat_metadata_that_were_cut_are_refused(tmp_path: Path) -> None:
    """Else radiances could stand where reflectances are: the numbers of both are named one after the other."""
    document = make_landsat(tmp_path, form="txt") / f"{LANDSAT}_MTL.txt"
    document.write_text(document.read_text().removesuffix("END"))
    with pytest.raises(SourceError, match="no END"):
        read_header([tmp_path])


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
