"""Items and catalogs as strangers write them: a card, or one line that says why there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from srcore.catalog.elsewhere import Stac, source_text
from srcore.errors import SourceError, SRError
from srcore.storage.remote import search
from srcore.storage.remote.card import Card
from srcore.storage.remote.items import card_of
from srcore.storage.remote.listing import forget_lists, listed
from srcore.storage.remote.search import items_of
from tests.elsewhere import Elsewhere, item

BASE = "https://host/items/one.json"
PLACES = ("id", "properties", "assets", "links", "a", "href", "bands", "nodata", "datetime", "proj:code")
ODD: Any = st.recursive(
    st.none()
    | st.booleans()
    | st.floats(allow_nan=True)
    | st.integers()
    | st.sampled_from(["", "x", "../../etc", "http://[", "file:///etc/passwd", "\ud800", "9999-12-31T23:59:59+14:00"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["href", "name", "roles"]), inner),
    max_leaves=6,
)


@settings(max_examples=60)
@given(
    st.sampled_from(["id", "properties", "assets", "links", "a", "href", "bands", "nodata", "datetime", "proj:code"]),
    ODD,
)
def test_whatever_an_item_says_is_a_card_that_can_be_kept(
    tmp_path_factory: pytest.TempPathFactory, place: str, odd: Any
) -> None:
    asset: dict[str, Any] = {"href": "./a.tif", "roles": ["data"], "bands": [{"name": "B1", "nodata": 0}]}
    found = item("one", {"a": asset})
    where = {"a": found["assets"], "href": asset, "bands": asset, "nodata": asset["bands"][0]}
    where |= {name: found["properties"] for name in ("datetime", "proj:code")}
    where.get(place, found)[place] = odd
    card = card_of(found, BASE)
    path = card.save("odd")
    assert json.dumps(Card.load(path).__dict__, default=vars) == json.dumps(card.__dict__, default=vars)
    assert 0 <= path.stat().st_mtime_ns < 2**63


@pytest.mark.parametrize(
    ("name", "value"),
    [("eo:cloud_cover", 300), ("eo:cloud_cover", -1), ("view:sun_elevation", 400), ("view:sun_azimuth", -1)],
)
def test_what_cannot_be_is_not_repeated(name: str, value: float) -> None:
    asset = {"a": {"href": "./a.tif", "roles": ["data"]}}
    assert name not in card_of(item("one", asset, **{name: value}), BASE).properties
    assert name in card_of(item("one", asset, **{name: 45}), BASE).properties


@pytest.mark.parametrize("when", ["0001-01-01T00:00:00Z", "2424-06-01T00:00:00Z"])
def test_a_time_that_no_scene_can_have_is_none(when: str) -> None:
    card = card_of(item("one", {"a": {"href": "./a.tif", "roles": ["data"]}}, datetime=when), BASE)
    assert (card.first, card.last) == ("", "")


def test_two_cards_that_differ_in_one_letter_differ_in_time() -> None:
    first, second = (
        card_of(item("one", {"a": {"href": "./a.tif", "roles": ["data"], "file:checksum": f"1220{i:064}"}}), BASE)
        for i in (1, 2)
    )
    before = first.save("same").stat()
    after = second.save("same").stat()
    assert (before.st_size, before.st_mtime_ns // 10**9) == (after.st_size, after.st_mtime_ns // 10**9)
    assert before.st_mtime_ns != after.st_mtime_ns


def found_in(folder: Path, **keys: Any) -> list[str]:
    return [str(one["id"]) for one, _ in items_of(Stac(stac=str(folder), **keys))]


def test_files_of_stac_are_searched_as_an_api_would(tmp_path: Path) -> None:
    west = item("west", {}, datetime="2024-06-30T23:30:00Z", **{"eo:cloud_cover": 5, "platform": "s2a"})
    east = {
        **item("east", {}, datetime=None, start_datetime="2024-07-01T00:00:00Z", end_datetime="2024-07-02T00:00:00Z")
    }
    west["bbox"], east["bbox"] = [-179.9, 0, 1, -179.5, 1, 2], [179.5, 0, 179.9, 1]
    east["collection"] = "d"
    path = tmp_path / "items.json"
    path.write_text(json.dumps({"type": "FeatureCollection", "features": [west, east]}))
    assert found_in(path) == ["west", "east"]
    assert found_in(path, collections=("d",)) == ["east"]
    assert found_in(path, bbox=(179.0, 0.0, -179.0, 1.0)) == ["west", "east"]
    assert found_in(path, bbox=(179.0, 0.0, 180.0, 1.0)) == ["east"]
    assert found_in(path, bbox=(0.0, 0.0, 1.0, 1.0)) == []
    for when, names in (
        ("2024-06", ["west"]),
        ("2024-06-30", ["west"]),
        ("2024-07-01/..", ["east"]),
        ("../2024-06-30T23:29:59Z", []),
        ("2024", ["west", "east"]),
        ("2024-07-02T00:00:00Z/2024-08-01", ["east"]),
    ):
        assert found_in(path, datetime=when) == names, when
    assert found_in(path, query={"eo:cloud_cover": {"lt": 10, "gte": 5}, "platform": {"in": ["s2a", "s2b"]}}) == [
        "west"
    ]
    assert found_in(path, query={"eo:cloud_cover": {"gt": "words"}}) == []


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("[]", "no JSON object"),
        ("[" * 100_000, "no JSON object"),
        ('{"type": "Feature"', "no JSON object"),
        ('{"type": "Thing"}', "type 'Thing'"),
        ('{"type": "FeatureCollection"}', "without features"),
        ('{"type": "FeatureCollection", "features": [1]}', "without features"),
        ('{"type": "Catalog", "links": [{"rel": "item", "href": "http://["}]}', "no address"),
        ('{"type": "Catalog", "links": [{"rel": "child", "href": "./gone.json"}]}', "gone.json"),
    ],
)
def test_what_is_no_catalog_is_told_in_one_line(tmp_path: Path, document: str, told: str) -> None:
    path = tmp_path / "catalog.json"
    path.write_text(document)
    with pytest.raises(SRError) as caught:
        found_in(path)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_catalog_that_leads_in_a_circle_ends(tmp_path: Path) -> None:
    links = [{"rel": "child", "href": "./catalog.json"}, {"rel": "child", "href": "./sub/catalog.json"}]
    (tmp_path / "sub").mkdir()
    (tmp_path / "catalog.json").write_text(json.dumps({"type": "Catalog", "links": links}))
    (tmp_path / "sub/catalog.json").write_text(
        json.dumps({"type": "Collection", "links": [{"rel": "child", "href": "../catalog.json"}]})
    )
    assert found_in(tmp_path / "catalog.json") == []


def test_a_catalog_of_the_web_gets_at_no_file_of_this_machine(world: Elsewhere) -> None:
    catalog = {"type": "Catalog", "links": [{"rel": "item", "href": "file:///etc/hostname"}]}
    address = world.put("/catalog.json", json.dumps(catalog).encode())
    with pytest.raises(SourceError, match="a link to a file of this machine"):
        list(items_of(Stac(stac=address)))


def test_a_catalog_in_a_bucket_is_one_too(world: Elsewhere) -> None:
    links = [{"rel": "item", "href": "./items/one.json"}]
    world.put("/bucket/stac/catalog.json", json.dumps({"type": "Catalog", "links": links}).encode())
    one = item("one", {"a": {"href": "../one.tif", "roles": ["data"]}})
    world.put("/bucket/stac/items/one.json", json.dumps(one).encode())
    (found,) = listed(Stac(stac="s3://bucket/stac/catalog.json"), None)
    assert Card.load(found.card).files[0].href == "s3://bucket/stac/one.tif"
    assert found.address == "s3://bucket/stac/items/one.json"


def test_a_bucket_is_listed_no_deeper_than_the_pattern_goes(world: Elsewhere) -> None:
    for key in (
        "in/a.tif",
        "in/b/c.tif",
        "in/b/d/e.tif",
        "other/x.tif",
        "in/.hidden.tif",
        "in/f.tif.part",
        "in/# ?.tif",
    ):
        world.put(f"/bucket/{key}", key.encode())

    def ids(source: str) -> list[str]:
        forget_lists()
        return sorted(one.address.removeprefix("s3://bucket/") for one in listed(source, None))

    assert ids("s3://bucket/in/*.tif") == ["in/# ?.tif", "in/a.tif"]
    assert [one for one in world.asked if one.startswith("LIST")] == ["LIST bucket in/"]
    assert ids("s3://bucket/in/*/*.tif") == ["in/b/c.tif"]
    assert ids("s3://bucket/in/**/*.TIF") == ["in/# ?.tif", "in/a.tif", "in/b/c.tif", "in/b/d/e.tif"]
    assert ids("s3://bucket/in/a.tif") == ["in/a.tif"]
    assert ids("s3://bucket/*/[ab].tif") == ["in/a.tif"]


def test_a_list_that_does_not_end_is_refused_and_one_that_grows_gives_each_item_once(
    world: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ids(most: int = 100) -> list[str]:
        forget_lists()
        return [one.id for one in listed(Stac(stac=f"{world.address}/api", most=most), None)]

    world.items = [item(name, {}, world.address) for name in ("a", "b", "b", "c")]
    assert ids() == ["a", "b", "c"]
    monkeypatch.setattr(search, "MOST_PAGES", 1)
    with pytest.raises(SourceError, match="a list that does not end"):
        ids()
    monkeypatch.setattr(search, "MOST_PAGES", 10)
    monkeypatch.setattr(search, "MOST_EMPTY", 2)
    monkeypatch.setattr(search, "_features", lambda page, address: [])
    world.items *= 5
    with pytest.raises(SourceError, match="a list that does not end"):
        ids()


def test_numbers_and_lists_that_are_none_stop_no_catalog(tmp_path: Path, world: Elsewhere) -> None:
    asset = {"href": "./a.tif", "roles": ["data"], "gsd": 10**400, "bands": [{"name": "B", "nodata": 10**400}]}
    odd = {**item("odd", {"a": asset}), "bbox": [10**400, 0, 1, 1]}
    (tmp_path / "odd.json").write_text(json.dumps(odd))
    assert found_in(tmp_path / "odd.json", bbox=(0.0, 0.0, 1.0, 1.0)) == []
    assert card_of(odd, BASE).files[0].gsd_m is None
    page = json.dumps({"type": "FeatureCollection", "features": []}).encode()
    start = {"conformsTo": 5, "links": [{"rel": "search", "href": "./page", "method": "GET"}]}
    address = world.put("/stac", json.dumps(start).encode())
    world.put("/stac/page", page)
    assert list(items_of(Stac(stac=address))) == []


def test_an_item_without_an_address_is_called_by_its_id(tmp_path: Path) -> None:
    asset = {"a": {"href": "./a/b.tif", "roles": ["data"]}}
    first, second = (card_of(item(name, asset), "https://host/items.json") for name in ("one", "a/b"))
    assert (first.address, second.address) == ("https://host/items.json#one", "https://host/items.json#a/b")
    assert {card.files[0].href for card in (first, second)} == {"https://host/a/b.tif"}
    assert card_of(item("one", asset), BASE).address == BASE
    local = {**item("one", asset), "links": [{"rel": "self", "href": "file:///data/a%20b/one.json"}]}
    assert card_of(local, "/data/a b/one.json").files[0].href == "/data/a b/a/b.tif"


@pytest.mark.parametrize("when", ["2024-13", "2024-02-30", "2024-06-01T25:00:00Z", "2024-06-02/2024-06-01"])
def test_a_time_that_cannot_be_is_refused_by_the_catalog(when: str) -> None:
    with pytest.raises(ValueError, match="a time or FROM/TO is needed"):
        Stac(stac="https://host/v1", datetime=when)


def test_a_bucket_has_folders_with_blanks_and_a_scheme_in_capitals(world: Elsewhere) -> None:
    world.put("/bucket/my folder/a.tif", b"")
    source = source_text("S3://bucket/my folder/*.tif")
    assert [one.address for one in listed(source, None)] == ["s3://bucket/my folder/a.tif"]
    with pytest.raises(ValueError, match="on the web a blank is %20"):
        source_text("https://host/a b.tif")
