"""Files that arrive while a service watches: what starts a scene, and when; the key `watch`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from flows.service.arrivals import Arrivals, complete_scenes
from srcore.catalog import load_catalog
from srcore.errors import CatalogError
from tests.flows.conftest import edit


def arrivals(folder: Path, day: str = "2026-01-01", keep_days: int = 90) -> Arrivals:
    return Arrivals(folder / "seen.json", keep_days, lambda: date.fromisoformat(day))


def test_what_is_there_at_the_first_look_is_a_nights_work_and_what_comes_later_arrives_once(tmp_path: Path) -> None:
    seen = arrivals(tmp_path)
    assert seen.look({"old": "1"}, 0, 5) == []
    assert seen.look({"old": "1", "new": "1"}, 10, 5) == []
    assert seen.look({"old": "1", "new": "2"}, 14, 5) == []  # still growing
    assert seen.look({"old": "1", "new": "2"}, 18.9, 5) == []
    [one] = seen.look({"old": "1", "new": "2"}, 19, 5)
    assert (one.scene, one.looks) == ("new", "2")
    assert seen.look({"old": "1", "new": "2"}, 20, 5) == [one]  # nobody has said that it was started
    seen.started([one])
    assert seen.look({"old": "1", "new": "2"}, 99, 5) == []
    assert arrivals(tmp_path).look({"old": "1", "new": "2"}, 0, 0) == []  # nor by the next service
    assert [one.scene for one in arrivals(tmp_path).look({"old": "1", "new": "3"}, 0, 0)] == ["new"]


def test_what_came_while_nobody_looked_arrives_and_a_share_that_was_away_does_not(tmp_path: Path) -> None:
    arrivals(tmp_path).look({"old": "1"}, 0, 5)
    later = arrivals(tmp_path, "2026-02-01")
    assert later.look({}, 0, 0) == []
    assert [one.scene for one in later.look({"old": "1", "new": "1"}, 1, 0)] == ["new"]


def test_what_is_remembered_goes_by_age_and_never_while_its_files_are_there(tmp_path: Path) -> None:
    arrivals(tmp_path, "2026-01-01").look({"old": "1", "gone": "1"}, 0, 0)
    later = arrivals(tmp_path, "2026-12-01")
    later.started(later.look({"old": "1", "new": "1"}, 0, 0))
    assert set(json.loads((tmp_path / "seen.json").read_text())["scenes"]) == {"old", "new"}
    (tmp_path / "seen.json").write_text("{")  # a damaged memory starts nothing
    assert arrivals(tmp_path).look({"old": "1", "new": "1"}, 0, 0) == []


def test_a_scene_of_several_files_arrives_with_the_last_of_them(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    path = tmp_path / "catalog.yaml"
    path.write_text(
        "version: 1\nstore: ./archive\ndatasets:\n  s2:\n    kind: raster\n    source: ./in/{scene}_{band}.tif\n"
        "    bands: [B02, B03]\n    model: bicubic-x2\n    watch: true\n"
    )
    catalog = load_catalog(path)
    entry = catalog.datasets["s2"]
    assert entry.settle_s == 60
    (tmp_path / "in" / "T32_B02.tif").write_bytes(b"1")
    assert complete_scenes(entry, catalog.base) == {}
    (tmp_path / "in" / "T32_B03.tif").write_bytes(b"1")
    whole = complete_scenes(entry, catalog.base)
    assert list(whole) == ["T32"]
    (tmp_path / "in" / "T32_B03.tif").write_bytes(b"12")
    assert complete_scenes(entry, catalog.base)["T32"] != whole["T32"]


def test_a_scene_that_is_a_folder_arrives_when_nothing_in_it_grows_any_more(tmp_path: Path) -> None:
    product = tmp_path / "in" / "LC08_L2SP_193027_20240101_20240110_02_T1"
    product.mkdir(parents=True)
    (product / f"{product.name}_MTL.txt").write_text("GROUP = LANDSAT_METADATA_FILE\n")
    path = tmp_path / "catalog.yaml"
    path.write_text(
        "version: 1\nstore: ./archive\ndatasets:\n  landsat:\n    kind: raster\n    source: ./in/LC0*\n"
        "    model: bicubic-x2\n    watch: true\n"
    )
    catalog = load_catalog(path)
    before = complete_scenes(catalog.datasets["landsat"], catalog.base)
    assert list(before) == [product.name]
    (product / "measurements").mkdir()
    (product / "measurements" / "B4.TIF").write_bytes(b"1")
    half = complete_scenes(catalog.datasets["landsat"], catalog.base)
    (product / "measurements" / "B4.TIF").write_bytes(b"12")
    assert before != half != complete_scenes(catalog.datasets["landsat"], catalog.base)


@pytest.mark.parametrize(("written", "settle_s"), [("true", 60), ("false", None), ("{settle_s: 5}", 5), ("{}", 60)])
def test_the_key_watch(catalog_path: Path, written: str, settle_s: float | None) -> None:
    edit(catalog_path, "    tile: 64\n", f"    tile: 64\n    watch: {written}\n")
    assert load_catalog(catalog_path).datasets["hills"].settle_s == settle_s


@pytest.mark.parametrize("written", ["yes", "1", "{settle_s: 0}", "{wait: 3}"])
def test_a_wrong_watch_is_refused_in_one_line(catalog_path: Path, written: str) -> None:
    edit(catalog_path, "    tile: 64\n", f"    tile: 64\n    watch: {written}\n")
    with pytest.raises(CatalogError) as caught:
        load_catalog(catalog_path)
    assert "watch" in str(caught.value)
    assert "\n" not in str(caught.value)
