"""STAC items: valid offline, true to the product, the same every time."""

from __future__ import annotations

import hashlib
import json
import socket
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pystac
import pytest
from rasterio.crs import CRS

from srcore.errors import StoreError
from srcore.grid import Grid
from srcore.storage.band import Band
from srcore.storage.header import Header, Taken
from srcore.storage.stac.any_product import stac_error
from srcore.storage.stac.document import TAGS, _first_error, _validators, tag_item, validate_item, write_item
from srcore.storage.stac.footprint import footprint
from srcore.storage.stac.item import ProductFacts, build_item
from tests.storage.cog.product_cases import POINTS, Scene, make_scene
from tests.storage.cog.work_cases import make_product

WHEN = Taken("2024-06-01T10:20:30Z", "2024-06-01T10:20:30Z", "SENSING_TIME")
DAY = Taken("2024-06-01T00:00:00Z", "2024-06-01T23:59:59Z", "the name of a Landsat product")
PLAIN = ((0.0, 1.0, 0.0), (1.0, 0.0, 0.0))
NORTH_POLE = CRS.from_epsg(3413).to_wkt()


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(socket.socket, "connect", refuse)


def item_of(scene: Scene, folder: Path, **facts: Any) -> dict[str, Any]:
    product = make_product(folder, scene)
    header = replace(scene.header, taken=scene.header.taken or WHEN)
    item = build_item(product, header, scene.scale, ProductFacts("scene-1", **facts))
    write_item(folder / "product.json", item)
    document: dict[str, Any] = json.loads((folder / "product.json").read_text(encoding="utf-8"))
    return document


CASES: dict[str, dict[str, Any]] = {
    "uint16": {"bands": 2},
    "nan": {"dtype": "float32", "nodata": "nan"},
    "infinite nodata": {"dtype": "float32", "nodata": "tag", "number": float("-inf")},
    "tag": {"nodata": "tag", "number": 0.0},
    "alpha": {"nodata": "alpha"},
    "mask": {"nodata": "mask"},
    "no CRS": {"crs": None},
    "local CRS": {"crs": 'LOCAL_CS["site",UNIT["metre",1]]'},
    "degrees": {"crs": "EPSG:4326", "affine": ((0.0, 0.001, 11.0), (-0.001, 0.0, 47.0))},
    "unknown code": {"crs": CRS.from_proj4("+proj=laea +lat_0=10 +lon_0=20 +ellps=WGS84").to_wkt()},
    "control points": {"crs": None, "affine": PLAIN, "gcps": POINTS, "gcps_crs": "EPSG:4326"},
    "rotated": {"affine": ((3.0, 10.0, 5e5), (-10.0, 2.5, 5e6))},
    "flags": {"flags": ("no nodata",)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_items_are_valid(tmp_path: Path, case: dict[str, Any]) -> None:
    document = item_of(make_scene(**case), tmp_path)
    validate_item(document)
    assert pystac.Item.from_dict(document).id == "scene-1"
    placed = (case.get("crs", "") is not None and "LOCAL" not in case.get("crs", "")) or "gcps" in case
    assert (document["geometry"] is not None, "bbox" in document) == (placed, placed)


def test_an_item_says_what_the_product_is(tmp_path: Path) -> None:
    scene = make_scene(nodata="tag", number=0.0, bands=2)
    look = tmp_path / "product.png"
    look.write_bytes(b"png")
    document = item_of(
        scene, tmp_path, sources=("/archive/in/lr.tif",), quicklook=look, properties={"srcore:model": "srcore-x2"}
    )
    properties, data = document["properties"], document["assets"]["data"]
    content = (tmp_path / "product.tif").read_bytes()
    assert data["file:checksum"] == "1220" + hashlib.sha256(content).hexdigest()
    assert data["file:size"] == len(content)
    assert (data["href"], data["type"]) == ("./product.tif", "image/tiff; application=geotiff; profile=cloud-optimized")
    assert document["assets"]["quicklook"]["roles"] == ["thumbnail", "overview"]
    assert properties["datetime"] == "2024-06-01T10:20:30Z"
    assert properties["proj:code"] == "EPSG:32632"
    assert properties["proj:shape"] == [80, 100]
    assert properties["proj:transform"] == [5.0, 0.0, 5e5, 0.0, -5.0, 5e6]
    assert properties["proj:bbox"] == [5e5, 5e6 - 400, 500500.0, 5e6]
    assert (properties["gsd"], properties["srcore:model"], properties["srcore:scale"]) == (5.0, "srcore-x2", [2, 2])
    band = data["bands"][1]
    good = scene.sr[1][scene.sr[1] != 0]
    assert (band["name"], band["data_type"], band["nodata"], band["unit"]) == ("B02", "uint16", 0, "W/m²")
    assert band["statistics"]["mean"] == pytest.approx(good.mean())
    assert (band["statistics"]["minimum"], band["statistics"]["maximum"]) == (good.min(), good.max())
    assert [link["href"] for link in document["links"]] == ["./lr.tif"]
    west, south, east, north = document["bbox"]
    assert 9.0 <= west < properties["proj:centroid"]["lon"] < east < 9.01
    assert 45.1 < south < properties["proj:centroid"]["lat"] < north < 45.2
    assert str(tmp_path) not in json.dumps(document)


def test_bands_have_names_for_readers_of_today_and_of_yesterday(tmp_path: Path) -> None:
    """odc-stac looks for the bands of an asset in eo:bands alone, which STAC 1.1 replaced."""
    scene = make_scene(bands=3)
    names = (("B04", "red"), ("B05", "rededge071"), ("soil", ""))
    bands = tuple(
        replace(band, name=name, common=common) for band, (name, common) in zip(scene.header.bands, names, strict=True)
    )
    (tmp_path / "named").mkdir()
    document = item_of(replace(scene, header=replace(scene.header, bands=bands)), tmp_path / "named")
    data = document["assets"]["data"]
    assert data["eo:bands"] == [{"name": "B04", "common_name": "red"}, {"name": "B05"}, {"name": "soil"}]
    assert [band.get("eo:common_name") for band in data["bands"]] == ["red", "rededge071", None]
    assert any("/eo/v1" in uri for uri in document["stac_extensions"])
    nameless = tuple(replace(band, name=f"band {band.index}", common="") for band in bands)
    document = item_of(replace(scene, header=replace(scene.header, bands=nameless)), tmp_path)
    assert "eo:bands" not in document["assets"]["data"]
    assert not any("/eo/" in uri for uri in document["stac_extensions"])


def test_the_same_product_has_the_same_item(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        item_of(make_scene(), tmp_path / name)
    assert (tmp_path / "a/product.json").read_bytes() == (tmp_path / "b/product.json").read_bytes()


def test_a_volume_has_no_geometry(tmp_path: Path) -> None:
    product = tmp_path / "ct.nii.gz"
    product.write_bytes(b"nifti")
    grid = Grid((4, 5, 6), ((0, 0, 1.0, 0), (0, 1.0, 0, 0), (3.0, 0, 0, 0)))
    header = Header("volume", grid, "int16", (Band("ct.nii.gz", 1, "band 1"),), "none")
    item = build_item(product, replace(header, taken=WHEN), (1, 2, 2), ProductFacts("ct"))
    write_item(tmp_path / "ct.json", item)
    document = json.loads((tmp_path / "ct.json").read_text())
    assert document["geometry"] is None
    assert "bbox" not in document
    assert document["assets"]["data"]["type"] == "application/gzip"
    assert document["properties"]["srcore:lr_shape"] == [4, 5, 6]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("id",), ""),
        (("geometry",), {"type": "Nonsense"}),
        (("properties", "datetime"), None),
        (("properties", "gsd"), -1),
        (("properties", "proj:shape"), [1]),
        (("properties", "proj:epsg"), 4326),
        (("properties", "srcore:scale"), 2),
        (("assets", "data", "file:checksum"), "abc"),
        (("assets", "data", "href"), "/absolute/product.tif"),
        (("assets", "data", "bands", 0, "data_type"), "uint17"),
        (("assets", "data", "bands", 0, "statistics"), {}),
        (("stac_version",), "0.9.0"),
    ],
)
def test_an_item_that_is_not_valid_is_refused(tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    document = item_of(make_scene(), tmp_path)
    place: Any = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(StoreError, match="not valid") as caught:
        validate_item(document)
    assert caught.value.code == "BAD_STAC"


def test_a_known_time_has_no_stretch_and_a_day_has_one(tmp_path: Path) -> None:
    properties = item_of(make_scene(), tmp_path)["properties"]
    assert (properties["datetime"], properties["srcore:datetime_by"]) == ("2024-06-01T10:20:30Z", "SENSING_TIME")
    assert not {"start_datetime", "end_datetime"} & set(properties)
    day = replace(make_scene(), header=replace(make_scene().header, taken=DAY))
    properties = item_of(day, tmp_path)["properties"]
    assert properties["datetime"] == properties["start_datetime"] == "2024-06-01T00:00:00Z"
    assert properties["end_datetime"] == "2024-06-01T23:59:59Z"


def test_an_unknown_time_is_null_and_its_stretch_holds_it(tmp_path: Path) -> None:
    unknown = Taken("1858-01-01T00:00:00Z", "2024-06-03T23:59:59Z")
    scene = replace(make_scene(), header=replace(make_scene().header, taken=unknown))
    document = item_of(scene, tmp_path)
    validate_item(document)
    properties = document["properties"]
    assert properties["datetime"] is None
    assert "srcore:datetime_by" not in properties
    assert (properties["start_datetime"], properties["end_datetime"]) == (unknown.first, unknown.last)


def rings(geometry: dict[str, Any]) -> list[np.ndarray]:
    polygons = [geometry["coordinates"]] if geometry["type"] == "Polygon" else geometry["coordinates"]
    return [np.array(polygon[0]) for polygon in polygons]


def area(ring: np.ndarray) -> float:
    x, y = ring.T
    return float(np.sum(x[:-1] * y[1:] - x[1:] * y[:-1]) / 2)


def lonlat(west: float, south: float, width: float, height: float) -> Grid:
    return Grid((10, 10), ((0.0, width / 10, west), (-height / 10, 0.0, south + height)), "EPSG:4326")


def test_a_footprint_is_a_closed_counter_clockwise_ring_around_its_grid() -> None:
    for affine in (((0.0, 1e4, 5e5), (-1e4, 0.0, 5e6)), ((0.0, 1e4, 5e5), (1e4, 0.0, 4.9e6))):
        found = footprint(Grid((10, 10), affine, "EPSG:32632"))
        assert found is not None
        (ring,) = rings(found.geometry)
        assert (ring[0] == ring[-1]).all()
        assert area(ring) > 0
        assert len(ring) == 81


@pytest.mark.parametrize("west", [175.0, -185.0])
def test_a_grid_across_the_antimeridian_is_cut_there(west: float) -> None:
    found = footprint(lonlat(west, 10, 10, 4))
    assert found is not None
    assert found.bbox == [175, 10, -175, 14]
    assert [area(ring) for ring in rings(found.geometry)] == pytest.approx([20, 20])
    assert all(np.abs(ring[:, 0]).max() <= 180 for ring in rings(found.geometry))
    assert abs(found.centroid[0]) == 180


def test_a_grid_that_ends_at_the_antimeridian_is_not_cut() -> None:
    for west in (170.0, -180.0):
        found = footprint(lonlat(west, 10, 10, 4))
        assert found is not None
        assert found.geometry["type"] == "Polygon"
        assert found.bbox == [west, 10, west + 10, 14]


def test_the_whole_globe_has_a_footprint() -> None:
    found = footprint(lonlat(-180, -90, 360, 180))
    assert found is not None
    assert found.bbox == [-180, -90, 180, 90]


def test_a_grid_around_a_pole_reaches_it() -> None:
    found = footprint(Grid((10, 10), ((0.0, 2e5, -1e6), (-2e5, 0.0, 1e6)), NORTH_POLE))
    assert found is not None
    assert found.bbox[0::2] == [-180, 180]
    assert found.bbox[3] == 90
    assert 75 < found.bbox[1] < 85
    (ring,) = rings(found.geometry)
    assert area(ring) > 0
    assert np.all(np.abs(np.diff(ring[:, 0])) <= 360)


@pytest.mark.parametrize("crs", [None, "not a CRS", 'LOCAL_CS["site",UNIT["metre",1]]'])
def test_a_grid_that_is_nowhere_has_no_footprint(crs: str | None) -> None:
    assert footprint(Grid((4, 4), PLAIN, crs)) is None


def test_an_item_is_judged_once_while_it_says_the_same(tmp_path: Path) -> None:
    item_of(make_scene(), tmp_path)
    path = tmp_path / "product.json"
    before = _first_error.cache_info()
    assert stac_error(path) == ""
    tag_item(path, {"srcore:verdict": "degraded", "srcore:failed_checks": ["seams.step"]})
    assert stac_error(path) == ""
    after = _first_error.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (0, 3)
    with pytest.raises(StoreError, match="srcore:scale"):
        tag_item(path, {"srcore:scale": [0, 0]})
    document = json.loads(path.read_text())
    assert document["properties"]["srcore:scale"] == [2, 2]
    del document["assets"]["data"]["file:checksum"]
    path.write_text(json.dumps(document))
    assert "file:checksum" in stac_error(path)


@pytest.mark.parametrize("value", [None, 5, {}, [], "degraded"])
def test_no_schema_says_anything_of_the_tags(tmp_path: Path, value: Any) -> None:
    document = item_of(make_scene(), tmp_path)
    document["properties"].update(dict.fromkeys(TAGS, value))
    assert [error for validator in _validators() for error in validator.iter_errors(document)] == []
