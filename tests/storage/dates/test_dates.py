"""Dates: real names and tags are known, what cannot be a date is none, and nothing is guessed."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import PurePath
from typing import Any

import pytest

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.layout import check_date, dates_by
from srcore.storage.dates.moment import EARLIEST, read_words, written
from srcore.storage.dates.names import name_span, pattern_span
from srcore.storage.dates.taken import ASKED, dated
from srcore.storage.header import Header
from tests.storage.cog.product_cases import make_scene

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

NAMES = {
    "S2A_MSIL2A_20221005T115411_N0400_R023_T29UNU_20221005T164454.tif": "2022-10-05T11:54:11Z",
    "T29UNU_20221005T115411_B02_60m.jp2": "2022-10-05T11:54:11Z",
    "L2A_T32TQM_20170415T102021_B02_10m.jp2": "2017-04-15T10:20:21Z",
    "S2B_29UNU_20221005_0_L2A.tif": "2022-10-05",
    "S2A_OPER_PRD_MSIL1C_PDMC_20150818T101432_R022_V20150813T102406_20150813T102406.SAFE/GRANULE/"
    "S2A_OPER_MSI_L1C_TL_EPA__20150818T101237_A000734_T32TQM_N01.03/IMG_DATA/"
    "S2A_OPER_MSI_L1C_TL_EPA__20150818T101237_A000734_T32TQM_B02.jp2": "2015-08-13T10:24:06Z",
    "LC08_L2SP_193029_20230602_20230607_02_T1_SR_B4.TIF": "2023-06-02",
    "LE07_L1TP_193029_20010602_20170105_01_T1_B4.TIF": "2001-06-02",
    "LC08_CU_029006_20181214_20190503_C01_V01_SRB4.tif": "2018-12-14",
    "LC08_193029_20230602.tif": "2023-06-02",
    "LC080110082013041101T1-SC20180101120000_sr_band4.tif": "2013-04-11",
    "LC81070352015122LGN00_B2.tif": "2015-05-02",
    "LT51930292010153MOR00_B4.TIF": "2010-06-02",
    "HLS.S30.T14RNQ.2023010T171701.v2.0.B02.tif": "2023-01-10T17:17:01Z",
    "HLS.L30.T32TQM.2019123.v1.4.tif": "2019-05-03",
    "20190703_105933_1040_3B_AnalyticMS.tif": "2019-07-03T10:59:33Z",
    "20230831_172754_08_2431_3B_AnalyticMS_SR_8b_clip.tif": "2023-08-31T17:27:54Z",
    "20200814_162132_ssc4d3_0021_analytic.tif": "2020-08-14T16:21:32Z",
    "3159120_2017-06-08_RE3_3A_Analytic.tif": "2017-06-08",
    "MOD09GA.A2019123.h18v04.061.2020292043424.tif": "2019-05-03",
    "MOD02HKM.A2019123.1035.061.2019123192134.tif": "2019-05-03T10:35:00Z",
    "VNP46A1.A2019123.h18v04.001.tif": "2019-05-03",
    "MOD13Q1.006__250m_16_days_NDVI_doy2019113_aid0001.tif": "2019-04-23",
    "m_4709963_se_14_1_20090818.tif": "2009-08-18",
    "m_3807708_ne_18_060_20181025_20190211.tif": "2018-10-25",
    "S1A_IW_GRDH_1SDV_20230602T053012_20230602T053037_048802_05DE6A_4B2C.tif": "2023-06-02T05:30:12Z",
    "s1a-iw-grd-vv-20230602t053012-20230602t053037-048802-05de6a-001.tiff": "2023-06-02T05:30:12Z",
    "AST_L1T_00305032000040446_20150409135350_78838.tif": "2000-05-03T04:04:46Z",
    # what is no date of sensing, or no date at all
    "S2A_OPER_MSI_L1C_TL_EPA__20160605T113933_A000734_T31TGM_B02.jp2": None,
    "LC08_L2SP_193029_20231302_20230607_02_T1_SR_B4.TIF": None,
    "LC08_L2SP_193029_18500602_20230607_02_T1_SR_B4.TIF": None,
    "LC08_L2SP_193029_20270602_20270607_02_T1_SR_B4.TIF": None,
    "LC81070352015400LGN00_B2.tif": None,
    "HLS.S30.T14RNQ.2023366T171701.v2.0.B02.tif": None,
    "mosaic_20190703.tif": None,
    "20190703.tif": None,
    "tile_12345678_20200101_x.tif": None,
}


@pytest.mark.parametrize(("name", "expected"), NAMES.items())
def test_names_of_products(name: str, expected: str | None) -> None:
    found = name_span(PurePath("/data/in") / name, NOW)
    assert (None if found is None else str(found[0])) == expected


WORDS = {
    "2023-01-10T17:17:01.024000Z": "2023-01-10T17:17:01.024000Z",
    "2019-05-03T10:15:26.4561234Z": "2019-05-03T10:15:26.456123Z",
    "2019-05-03T10:15:26Z; 2019-05-03T10:15:50Z": "2019-05-03T10:15:26Z",
    "2024:06:01 10:20:30": "2024-06-01T10:20:30Z",
    "2024-06-01T12:20:30+02:00": "2024-06-01T10:20:30Z",
    "20110204143200": "2011-02-04T14:32:00Z",
    "20230602": "2023-06-02",
    "2023153": "2023-06-02",
    "2023-153T10:00:00": "2023-06-02T10:00:00Z",
    " '2023-06-02' ": "2023-06-02",
    "last summer": None,
    "2023-13-01": None,
    "2023-02-29": None,
    "2023-06-02T25:00:00Z": None,
    "1850-06-02": None,
    "2030-01-01": None,
    "02/06/2023": None,
    "2023": None,
    "": None,
    "2023-06-02; soon": None,
    "0000-00-00": None,
    "9999-12-31T23:59:59-12:00": None,
}


@pytest.mark.parametrize(("text", "expected"), WORDS.items())
def test_words_of_tags(text: str, expected: str | None) -> None:
    found = read_words(text, "", NOW)
    assert (None if found is None else str(found)) == expected


PATTERNS = {
    ("scene_YYYYMMDD_*.tif", "scene_20230602_a.tif"): "2023-06-02",
    ("*_YYYY-MM-DD*", "a_b_2023-06-02T1.tif"): "2023-06-02",
    ("*DD.MM.YYYY.tif", "x02.06.2023.tif"): "2023-06-02",
    ("??_YYYYDDD*", "ab_2023153x.tif"): "2023-06-02",
    ("YYYY-MM-DD/*", "2023-06-02/scene.tif"): "2023-06-02",
    ("*_YYYYMMDDThhmmss_*", "comm_20230602T101112_x"): "2023-06-02T10:11:12Z",
    ("mm_YYYYMMDD.tif", "mm_20230602.tif"): "2023-06-02",
    ("*_YYYYMMDD_*", "a_20230602_20230607_b.tif"): "fits twice",
    ("*_YYYYMMDD_*", "a_20230602_20230602_b.tif"): "2023-06-02",
    ("*YYYYMMDD*", "a_1202306021.tif"): "does not fit",
    ("scene_YYYYMMDD.tif", "scene_20230602.tiff"): "does not fit",
    ("scene_YYYYMMDD.tif", "scenex20230602.tif"): "does not fit",
    ("s.YYYYMMDD", "sx20230602"): "does not fit",
    ("*_YYYYMMDD.tif", "a_20231302.tif"): "finds no possible date",
}


@pytest.mark.parametrize(("case", "expected"), PATTERNS.items())
def test_patterns_of_the_user(case: tuple[str, str], expected: str) -> None:
    pattern, name = case
    check_date(pattern)
    assert str(pattern_span(pattern, PurePath("/in") / name, NOW)) == expected


@pytest.mark.parametrize(
    "text", ["", "*.tif", "YYYYMM.tif", "YYYYMMDD_YYYYMMDD", "*a*b*c*YYYYMMDD", "2023-13-40", "YY-MM-DD"]
)
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="date"):
        check_date(text)


def test_a_long_name_is_no_trap() -> None:
    began = datetime.now(UTC)
    assert dates_by("*1*1*YYYYMMDD", "1" * 250) == []
    assert datetime.now(UTC) - began < timedelta(seconds=5)


def header_of(name: str = "scene.tif", **facts: Any) -> Header:
    header = make_scene(**facts).header
    return replace(header, bands=tuple(replace(band, path=f"/in/{name}") for band in header.bands))


LANDSAT = "LC08_L2SP_193029_20230602_20230607_02_T1_SR_B4.TIF"


@pytest.mark.parametrize(
    ("name", "tags", "wish", "first", "source", "flag"),
    [
        (LANDSAT, {}, None, "2023-06-02T00:00:00Z", "the name of a Landsat product", None),
        ("a.tif", {"SENSING_TIME": "2023-01-10T17:17:01Z"}, None, "2023-01-10T17:17:01Z", "SENSING_TIME", None),
        (LANDSAT, {"DATE_ACQUIRED": "2023-06-02", "SCENE_CENTER_TIME": "10:01:02.5Z"}, None,
         "2023-06-02T10:01:02.500000Z", "DATE_ACQUIRED", None),
        (LANDSAT, {"DATE_ACQUIRED": "2022-06-02"}, None, "2022-06-02T00:00:00Z", "DATE_ACQUIRED",
         "date 2022-06-02 by the tag DATE_ACQUIRED; the name says 2023-06-02"),
        (LANDSAT, {"TIFFTAG_DATETIME": "2024:01:01 00:00:00"}, None, "2023-06-02T00:00:00Z",
         "the name of a Landsat product", None),
        ("a.tif", {"TIFFTAG_DATETIME": "2024:01:01 00:00:00"}, None, "2024-01-01T00:00:00Z", "TIFFTAG_DATETIME",
         "date "
         "2024-01-01T00:00:00Z by TIFFTAG_DATETIME: when the file was written, maybe not when the scene was taken"),
        ("a.tif", {"SENSING_TIME": "2023-13-10"}, None, "1858-01-01T00:00:00Z", "",
         "tag SENSING_TIME holds no date that can be: '2023-13-10'"),
        ("a.tif", {"GENERATION_TIME": "2023-01-10T17:17:01Z", "DATE_PRODUCT_GENERATED": "2023-01-10"}, None,
         "1858-01-01T00:00:00Z", "", "date unknown: no tag or name says it; see `date`"),
        ("a_20230602.tif", {"SENSING_TIME": "2020-01-10"}, "*_YYYYMMDD.tif", "2023-06-02T00:00:00Z", ASKED, None),
        ("a.tif", {}, "2023-06-02T10:00:00Z", "2023-06-02T10:00:00Z", ASKED, None),
        ("a.tif", {}, "*_YYYYMMDD.tif", "1858-01-01T00:00:00Z", "", "date '*_YYYYMMDD.tif' does not fit: a.tif"),
        ("a.tif", {}, "2055-01-01", "1858-01-01T00:00:00Z", "", "date '2055-01-01' is no possible date: a.tif"),
    ],
)  # fmt: skip
def test_what_says_it_best_says_it(
    name: str, tags: dict[str, str], wish: str | None, first: str, source: str, flag: str | None
) -> None:
    header = dated(header_of(name, tags=tags), wish, NOW)
    assert header.taken is not None
    assert (header.taken.first, header.taken.source) == (first, source)
    assert flag is None or flag in header.flags
    assert flag is not None or not any("date" in one for one in header.flags)


def test_an_unknown_date_lies_between_the_first_photograph_and_the_day_of_reading() -> None:
    taken = dated(header_of(), None, NOW).taken
    assert taken is not None
    assert (taken.first, taken.last, taken.source) == (written(EARLIEST), "2026-03-04T23:59:59Z", "")


def test_a_pass_has_a_beginning_and_an_end() -> None:
    tags = {"PRODUCT_START_TIME": "2023-06-02T10:00:00Z", "PRODUCT_STOP_TIME": "2023-06-02T10:05:00Z"}
    taken = dated(header_of(tags=tags), None, NOW).taken
    assert taken is not None
    assert (taken.first, taken.last) == ("2023-06-02T10:00:00Z", "2023-06-02T10:05:00Z")


def test_a_volume_has_no_date() -> None:
    header = make_scene(tags={"SENSING_TIME": "2023-01-10"}).header
    volume = replace(
        header, grid=Grid((2, 3, 4), ((0.0, 0.0, 1.0, 0.0), (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0)), None)
    )
    found = dated(volume, None, NOW)
    assert found.taken is not None
    assert found.taken.source == ""
    assert found.flags[-1] == "date unknown: none is kept of a volume"
    with pytest.raises(SourceError, match="a volume has no date"):
        dated(volume, "2023-06-02", NOW)


def test_names_that_do_not_agree_say_nothing() -> None:
    header = header_of(bands=2)
    one, two = header.bands
    other = replace(two, path=f"/in/{LANDSAT.replace('20230602', '20230603')}")
    found = dated(replace(header, bands=(replace(one, path=f"/in/{LANDSAT}"), other)), None, NOW)
    assert found.taken is not None
    assert found.taken.source == ""
    assert "the names of the files say different dates: none is used" in found.flags
