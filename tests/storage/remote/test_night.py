"""Scenes elsewhere in a catalog: published once, fetched once, due again when they change there, and never green by
being gone."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from srcore.catalog import load_catalog
from srcore.catalog.elsewhere import Stac
from srcore.dispatch import Workers
from srcore.errors import CatalogError, SourceError
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.sources import find_scenes
from srcore.storage.remote.card import Card
from srcore.storage.remote.listing import forget_lists, listed
from srcore.storage.remote.search import items_of
from srcore.storage.scene import open_scene, read_header
from srcore.storage.stac.parquet import export_items
from tests.elsewhere import Elsewhere, item
from tests.storage.providers.products import NAME, make_safe, pixels, write

Write = Callable[..., Path]


def picture(seed: int = 0, bands: int = 1, shape: tuple[int, int] = (40, 48)) -> np.ndarray:
    return np.random.default_rng(seed).integers(100, 4000, (bands, *shape)).astype("uint16")


def catalog_of(folder: Path, source: str, more: str = "") -> Path:
    path = folder / "data_catalog.yaml"
    path.write_text(
        "version: 1\nstore: ./store\ndatasets:\n  far:\n    kind: raster\n    model: nearest-x2\n"
        f"    products: [cog, stac]\n    source: {source}\n{more}"
    )
    return path


def night(catalog: Path) -> list[Outcome]:
    forget_lists()
    return run_dataset(catalog, "far", lambda job: run_scene(job, Workers(0)))


def told(outcomes: list[Outcome]) -> list[tuple[str, str, str]]:
    return [(one.scene, one.result, one.code) for one in outcomes]


def states(catalog: Path) -> dict[str, str]:
    forget_lists()
    return {one.scene: one.state for one in scene_states(load_catalog(catalog), "far")}


def receipt_of(folder: Path, scene: str) -> Receipt:
    found = Receipt.load(next((folder / "store/far/products" / scene).glob("*.receipt.json")))
    assert found is not None
    return found


def test_objects_of_a_bucket_are_scenes_that_are_fetched_once(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    for name in ("a", "b"):
        world.put(f"/bucket/in/{name}.tif", write_raster(picture(), f"{name}.tif").read_bytes())
    world.put("/bucket/in/deep/c.tif", b"not meant")
    catalog = catalog_of(tmp_path, "s3://bucket/in/*.tif")
    assert states(catalog) == {"a": "new", "b": "new"}
    assert world.bytes_asked("/bucket/in/a.tif") == 0
    assert told(night(catalog)) == [("a", "published", ""), ("b", "published", "")]
    receipt = receipt_of(tmp_path, "a")
    assert receipt.sources[0].path == "s3://bucket/in/a.tif"
    (origin,) = receipt.parameters["origins"]
    content = world.files["/bucket/in/a.tif"].content
    assert origin["href"] == "s3://bucket/in/a.tif"
    assert origin["size_bytes"] == len(content)
    asked = world.bytes_asked("/bucket/in/a.tif")
    assert told(night(catalog)) == [("a", "up to date", ""), ("b", "up to date", "")]
    assert world.bytes_asked("/bucket/in/a.tif") == asked
    stac = json.loads((tmp_path / "store/far/products/a/a.json").read_text())
    assert "s3://bucket/in/a.tif" in [link["href"] for link in stac["links"] if link["rel"] == "derived_from"]


def test_a_changed_object_is_due_and_an_empty_cache_makes_none_due(
    world: Elsewhere, tmp_path: Path, write_raster: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    world.put("/bucket/a.tif", write_raster(picture(), "a.tif").read_bytes())
    catalog = catalog_of(tmp_path, "s3://bucket/*.tif")
    night(catalog)
    monkeypatch.setenv("SRCORE_CACHE", str(tmp_path / "another"))  # another machine, or a cache that was removed
    assert states(catalog) == {"a": "published"}
    world.put("/bucket/a.tif", write_raster(picture(1), "a.tif").read_bytes())
    assert states(catalog) == {"a": "changed"}
    assert told(night(catalog)) == [("a", "published", "")]
    with rasterio.open(tmp_path / "store/far/products/a/a.tif") as product:
        assert (product.read()[:, ::2, ::2] == picture(1)).all()


def test_a_source_that_is_gone_is_no_green_night(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    world.put("/bucket/in/a.tif", write_raster(picture(), "a.tif").read_bytes())
    world.put("/bucket/else", b"")
    catalog = catalog_of(tmp_path, "s3://bucket/in/*.tif")
    night(catalog)
    gone = world.files.pop("/bucket/in/a.tif")
    assert told(night(catalog)) == [("", "failed", "SOURCE_MISSING")]
    del world.files["/bucket/else"]
    with pytest.raises(SourceError) as bucket:
        night(catalog)
    assert bucket.value.code == "REMOTE_GONE"
    world.files["/bucket/in/a.tif"] = gone
    assert told(night(catalog)) == [("a", "up to date", "")]


def assets(world: Elsewhere, write: Write, **more: Any) -> dict[str, Any]:
    href = world.put("/files/naip.tif", write(picture(bands=2), "naip.tif").read_bytes())
    bands = [{"name": "R", "eo:common_name": "red", "nodata": 0}, {"name": "N", "eo:common_name": "nir", "nodata": 0}]
    return {"image": {"href": href, "type": "image/tiff", "roles": ["data"], "bands": bands, **more}}


def test_items_of_an_api_are_scenes_with_what_the_items_say(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    found = assets(world, write_raster)
    found["thumbnail"] = {"href": "./t.png", "roles": ["thumbnail"], "type": "image/png"}
    world.items = [item(f"scene-{i}", found, world.address, **{"eo:cloud_cover": 10 * i}) for i in range(5)]
    search = f"{{stac: {world.address}/api, collections: [c], query: {{'eo:cloud_cover': {{lt: 30}}}}}}"
    catalog = catalog_of(tmp_path, search, "    bands: [nir, red]\n")
    assert states(catalog) == {f"scene-{i}": "new" for i in range(3)}
    assert world.posts[0]["collections"] == ["c"]
    assert [code for _, _, code in told(night(catalog))] == [""] * 3
    assert world.bytes_asked("/files/naip.tif") == 1  # one file of three items
    product = json.loads((tmp_path / "store/far/products/scene-1/scene-1.json").read_text())
    assert product["properties"]["datetime"] == "2024-06-01T10:30:21Z"
    assert product["properties"]["eo:cloud_cover"] == 10
    bands = product["assets"]["data"]["bands"]
    assert [(band["name"], band["eo:common_name"], band["nodata"]) for band in bands] == [
        ("N", "nir", 0),
        ("R", "red", 0),
    ]
    with rasterio.open(tmp_path / "store/far/products/scene-1/scene-1.tif") as data:
        assert (data.read()[:, ::2, ::2] == picture(bands=2)[::-1]).all()
    world.items[1]["properties"]["updated"] = "2024-07-01T00:00:00Z"
    assert states(catalog) == {"scene-0": "published", "scene-1": "changed", "scene-2": "published"}


def test_one_bad_item_stops_no_other(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    good = assets(world, write_raster)["image"]
    world.put("/files/denied.tif", b"")
    world.faults["/files/denied.tif"] = [403]
    world.faults["/files/tired.tif"] = [503, 500, 503]
    world.items = [
        item("a-none", {}, world.address),
        item("b-denied", {"image": {**good, "href": f"{world.address}/files/denied.tif?sig=SECRET"}}, world.address),
        item("c-gone", {"image": {**good, "href": f"{world.address}/files/gone.tif"}}, world.address),
        item("d-tired", {"image": {**good, "href": f"{world.address}/files/tired.tif"}}, world.address),
        item("e-another", {"image": good}, world.address, **{"proj:code": "EPSG:32633"}),
        item("f-lies", {"image": {**good, "file:checksum": "1220" + "0" * 64}}, world.address),
        item("g-local", {"image": {**good, "href": "file:///etc/hostname"}}, world.address),
        item("h-good", {"image": good}, world.address),
    ]
    outcomes = night(catalog_of(tmp_path, f"{{stac: {world.address}/api}}"))
    assert {one.scene: one.code for one in outcomes} == {
        "a-none": "NO_ASSETS",
        "b-denied": "REMOTE_DENIED",
        "c-gone": "REMOTE_GONE",
        "d-tired": "REMOTE_FAILED",
        "e-another": "BAD_METADATA",
        "f-lies": "REMOTE_DAMAGED",
        "g-local": "OUTSIDE",
        "h-good": "",
    }
    assert all("\n" not in one.message for one in outcomes)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert [path for path in written if b"SECRET" in path.read_bytes()] == []


def test_a_card_is_the_same_whoever_writes_it(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    world.put("/bucket/a.tif", write_raster(picture(), "a.tif").read_bytes())
    catalog = catalog_of(tmp_path, "s3://bucket/*.tif")
    states(catalog)
    (card,) = (tmp_path / "cache/remote/cards").rglob("*.remote")
    before = card.read_bytes(), card.stat().st_mtime_ns
    card.unlink()
    states(catalog)
    assert (card.read_bytes(), card.stat().st_mtime_ns) == before
    assert before[1] // 10**9 == int(world.files["/bucket/a.tif"].when.timestamp())


def test_files_of_one_band_each_are_one_scene(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    for scene in ("x", "y"):
        for i, band in enumerate(("B1", "B12")):
            world.put(f"/bucket/{scene}_{band}.tif", write_raster(picture(i), "one.tif").read_bytes())
    del world.files["/bucket/y_B12.tif"]
    catalog = catalog_of(tmp_path, '"s3://bucket/{scene}_{band}.tif"', "    bands: [B12, B1]\n")
    assert told(night(catalog)) == [("x", "published", ""), ("y", "failed", "REMOTE_GONE")]
    with rasterio.open(tmp_path / "store/far/products/x/x.tif") as product:
        assert product.descriptions == ("B12", "B1")
        assert (product.read()[:, ::2, ::2] == np.concatenate([picture(1), picture(0)])).all()
    assert receipt_of(tmp_path, "x").sources[0].path == "s3://bucket/x_{band}.tif"


def sentinel(world: Elsewhere, write: Write) -> dict[str, Any]:
    """Assets as an archive of Sentinel-2 has them: a file a band, two resolutions, the scene classes beside."""
    coarse = {"transform": rasterio.Affine(20, 0, 600000, 0, -20, 5200000)}
    rasters = {
        "red": (picture(1), {}, {"name": "B04", "eo:common_name": "red"}),
        "swir16": (picture(2, shape=(20, 24)), coarse, {"name": "B11", "eo:common_name": "swir16"}),
        "scl": (np.repeat([[[9] * 6 + [4] * 18]], 20, axis=1).astype("uint8"), coarse, {"name": "SCL"}),
    }
    found = {}
    for key, (values, options, band) in rasters.items():
        href = world.put(f"/s2/{key}.tif", write(values, f"{key}.tif", **options).read_bytes())
        said = {} if key == "scl" else {"nodata": 0, "raster:scale": 0.0001, "raster:offset": -0.1}
        found[key] = {
            "href": href,
            "type": "image/tiff; application=geotiff",
            "roles": ["data"],
            "bands": [band | said],
        }
    return found


def test_bands_of_several_assets_lie_on_one_grid_and_their_clouds_are_hidden(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    world.items = [item("s2", sentinel(world, write_raster), world.address)]
    more = "    bands: [red, B11]\n    quality: {layer: SCL, as: nodata}\n"
    catalog = catalog_of(tmp_path, f"{{stac: {world.address}/api}}", more)
    assert told(night(catalog)) == [("s2", "published", "")]
    with rasterio.open(tmp_path / "store/far/products/s2/s2.tif") as product:
        values = product.read()
        assert product.descriptions == ("B04", "B11")
        assert (product.scales, product.offsets) == ((0.0001,) * 2, (-0.1,) * 2)
    assert (values[:, :, :24] == 0).all()  # 6 of 24 coarse columns are cloud
    assert (values[0, ::2, 24::2] == picture(1)[0, :, 12:]).all()
    assert receipt_of(tmp_path, "s2").flags[0] == "STAC item s2"
    catalog = catalog_of(tmp_path, f"{{stac: {world.address}/api}}")
    assert [code for _, _, code in told(night(catalog))] == ["NO_ASSETS"]


def test_a_static_catalog_on_a_disk_is_a_source_and_its_files_are_watched(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    folder = tmp_path / "static"
    folder.mkdir()
    links = [{"rel": "item", "href": f"./{name}.json"} for name in "ab"]
    (folder / "catalog.json").write_text(json.dumps({"type": "Catalog", "id": "c", "links": links}))
    for seed, name in enumerate("ab"):
        write_raster(picture(seed), f"static/{name}.tif")
        found = item(
            name, {"data": {"href": f"./{name}.tif", "roles": ["data"]}}, datetime=f"2024-06-0{seed + 1}T00:00:00Z"
        )
        (folder / f"{name}.json").write_text(json.dumps(found))
    catalog = catalog_of(tmp_path, "{stac: ./static/catalog.json, datetime: 2024-06-02/..}")
    assert told(night(catalog)) == [("b", "published", "")]
    assert [Path(one.path).name for one in receipt_of(tmp_path, "b").sources] == ["b.tif", "b.json"]
    assert told(night(catalog)) == [("b", "up to date", "")]
    write_raster(picture(7), "static/b.tif")
    assert states(catalog) == {"b": "changed"}
    away = {"data": {"href": str(write_raster(picture(), "out.tif")), "roles": ["data"]}}
    outside = item("c", away, datetime="2024-06-03T00:00:00Z")
    (folder / "b.json").write_text(json.dumps(outside))
    assert [code for _, _, code in told(night(catalog))] == ["OUTSIDE"]


def test_an_api_that_fails_is_no_green_night_and_is_asked_again(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    world.items = [item("one", assets(world, write_raster), world.address)]
    catalog = catalog_of(tmp_path, f"{{stac: {world.address}/api}}")
    world.faults = {"/api": [503], "/api/search": [500, 502]}
    assert states(catalog) == {"one": "new"}
    for status, code in ((500, "REMOTE_FAILED"), (403, "REMOTE_DENIED"), (404, "REMOTE_GONE")):
        world.faults = {"/api": [status] * 3}
        with pytest.raises(SourceError) as caught:
            states(catalog)
        assert caught.value.code == code
    world.faults = {}
    world.items = [{"id": "x"}, "no item"]  # type: ignore[list-item]
    with pytest.raises(SourceError) as caught:
        states(catalog)
    assert caught.value.code == "BAD_ITEM"


def test_excluded_scenes_and_too_many(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    found = assets(world, write_raster)
    world.items = [item(f"scene-{i}", found, world.address) for i in range(3)]
    search = f"{{stac: {world.address}/api}}"
    assert set(states(catalog_of(tmp_path, search, '    exclude: ["*-1"]\n'))) == {"scene-0", "scene-2"}
    with pytest.raises(CatalogError, match="gives too many scenes; found more than 2 items"):
        states(catalog_of(tmp_path, f"{{stac: {world.address}/api, most: 2}}"))


@pytest.fixture
def rustac(tmp_path: Path) -> Iterator[Callable[[list[dict[str, Any]]], str]]:
    """A STAC API of somebody else's, on loopback; the test is skipped, and says why, where it is not installed."""
    program = shutil.which("rustac")
    if program is None:
        pytest.skip("rustac is not on the PATH (pip install rustac)")
    running: list[subprocess.Popen[bytes]] = []

    def start(items: list[dict[str, Any]]) -> str:
        path = tmp_path / "items.json"
        path.write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            at = f"127.0.0.1:{free.getsockname()[1]}"
        running.append(subprocess.Popen([program, "serve", "--create-collections", "--addr", at, str(path)]))
        for _ in range(100):
            with contextlib.suppress(OSError):
                socket.create_connection(("127.0.0.1", int(at.partition(":")[2])), 1).close()
                break
            time.sleep(0.1)
        return f"http://{at}"

    yield start
    for one in running:
        one.kill()
        one.wait()


@pytest.mark.nightly
def test_an_api_of_somebody_else_is_searched_page_by_page(
    world: Elsewhere, tmp_path: Path, write_raster: Write, rustac: Callable[[list[dict[str, Any]]], str]
) -> None:
    place = {"type": "Polygon", "coordinates": [[[10.3, 46.9], [10.4, 46.9], [10.4, 47.0], [10.3, 47.0], [10.3, 46.9]]]}
    asset = {"a": {"href": write_raster(picture(), "in/a.tif").as_uri(), "roles": ["data"]}}
    items = [
        {**item(f"s{i:03}", asset, datetime=f"2024-06-{i % 28 + 1:02}T10:00:00Z", cloud=i % 100), "geometry": place}
        for i in range(250)
    ]
    address = rustac(items)

    def ids(**keys: Any) -> list[str]:
        return sorted(str(one["id"]) for one, _ in items_of(Stac(stac=address, **keys)))

    assert ids() == ids(collections=("c",)) == ids(bbox=(10.0, 46.0, 11.0, 48.0)) == [one["id"] for one in items]
    assert ids(collections=("x",)) == ids(bbox=(0.0, 0.0, 1.0, 1.0)) == []
    assert ids(datetime="2024-06-03") == [f"s{i:03}" for i in range(2, 250, 28)]
    assert ids(query={"cloud": {"lt": 1}}) == ["s000", "s100", "s200"]
    search = f"{{stac: '{address}', collections: [c], query: {{cloud: {{lt: 1}}}}}}"
    assert {code for _, _, code in told(night(catalog_of(tmp_path, search)))} == {"OUTSIDE"}
    catalog = catalog_of(tmp_path, search, "    roots: [./in]\n")
    assert told(night(catalog)) == [(f"s{i}00", "published", "") for i in range(3)]


@pytest.mark.slow
def test_a_safe_folder_of_a_bucket_is_published_once_and_again_when_it_changes(
    world: Elsewhere, tmp_path: Path
) -> None:
    safe = make_safe(tmp_path)
    for path in filter(Path.is_file, safe.rglob("*")):
        world.put(f"/bucket/in/{safe.name}/{path.relative_to(safe)}", path.read_bytes())
    red = next(path for path in world.files if "B04" in path)
    more = "    bands: [red, nir]\n    quality: {layer: SCL, as: nodata}\n"
    catalog = catalog_of(tmp_path, "s3://bucket/in/*.SAFE", more)
    assert told(night(catalog)) == [(NAME, "published", "")]
    assert (world.bytes_asked(red), world.bytes_asked(red.replace("B04", "B02"))) == (1, 0)
    document = json.loads((tmp_path / f"store/far/products/{NAME}/{NAME}.json").read_text())
    assert document["properties"]["datetime"] == "2024-06-01T10:30:21.024000Z"
    receipt = receipt_of(tmp_path, NAME)
    assert receipt.sources[0].path == f"s3://bucket/in/{safe.name}"
    origins = [one["href"].rpartition("_")[2] for one in receipt.parameters["origins"]]
    assert origins == ["TL.xml", "MSIL2A.xml", "10m.jp2", "10m.jp2", "20m.jp2"]
    layer = next(path for path in world.files if "SCL_20m" in path)
    digest = hashlib.sha256(world.files[layer].content).hexdigest()
    assert receipt.parameters["origins"][-1]["sha256"] == digest
    assert f"s3:/{layer}" in [one["href"] for one in document["links"] if one["rel"] == "derived_from"]
    assert told(night(catalog)) == [(NAME, "up to date", "")]
    export_items(load_catalog(catalog), "far", tmp_path / "all.parquet")
    ((row, _),) = items_of(Stac(stac=str(tmp_path / "all.parquet")))
    hrefs = [(one["assets"][key].pop("href"), key) for one in (document, row) for key in ("data",)]
    assert hrefs == [(f"./{NAME}.tif", "data"), (f"store/far/products/{NAME}/{NAME}.tif", "data")]
    for one in (document, row):
        del one["links"]
        when = datetime.fromisoformat(one["properties"].pop("datetime"))
        assert when == datetime(2024, 6, 1, 10, 30, 21, 24000, tzinfo=UTC)
    assert row == document  # all else of a real item
    world.put(red, world.files[red].content, datetime(2024, 6, 9, tzinfo=UTC))
    blue = red.replace("B04", "B02")
    world.put(blue, world.files[blue].content + b" ")
    asked = world.bytes_asked(red)
    assert told(night(catalog)) == [(NAME, "up to date", "")]  # of no byte that the product is made of
    assert (world.bytes_asked(red), world.bytes_asked(blue)) == (asked, 0)
    written = {layer: (np.full((30, 30), 4, np.uint8), 20), red: (pixels(10, 7), 10)}
    for changed, due in ((layer, True), (red, True), (red.replace("B04_10m", "B04_60m"), False)):
        path = tmp_path / "new.jp2"
        world.put(changed, write(path, *written[changed]).read_bytes() if changed in written else b"new")
        assert told(night(catalog)) == [(NAME, "published" if due else "up to date", "")]
    catalog = catalog_of(tmp_path, "s3://bucket/in/*.SAFE", "    bands: [red, nir]\n")
    assert told(night(catalog)) == [(NAME, "published", "")]
    world.put(layer, world.files[layer].content + b" ")
    assert told(night(catalog)) == [(NAME, "up to date", "")]  # its product hides nothing


def test_parts_in_a_bucket_are_one_scene(world: Elsewhere, tmp_path: Path, write_raster: Write) -> None:
    values = picture(bands=2)

    def put(key: str, part: np.ndarray, column: int) -> None:
        place = rasterio.Affine(10, 0, 600000 + 10 * column, 0, -10, 5200000)
        world.put(f"/bucket/in/{key}", write_raster(part, "part.tif", transform=place).read_bytes())

    put("north 1.tif", values[:, :, :30], 0)
    put("north ü2.tif", values[:, :, 20:] + np.uint16(1), 20)
    put("north_old.tif", values[:, :, :30], 99)
    put("south 1.tif", values, 0)
    more = '    mosaic: {group: "{scene} *.tif", order: first}\n    values: continuous\n    exclude: [south*]\n'
    catalog = catalog_of(tmp_path, "s3://bucket/in/*.tif", more)
    assert told(night(catalog)) == [("north", "published", "")]
    expected = values.copy()
    expected[:, :, 30:] += 1
    with rasterio.open(tmp_path / "store/far/products/north/north.tif") as product:
        assert (product.read()[:, ::2, ::2] == expected).all()
    receipt = receipt_of(tmp_path, "north")
    assert [one.path for one in receipt.sources] == ["s3://bucket/in/north *.tif"]
    assert [one["href"] for one in receipt.parameters["origins"]] == [
        f"s3://bucket/in/north {name}.tif" for name in ("1", "ü2")
    ]
    assert receipt.flags[0].startswith("mosaic of 2 files, by name: north_1.tif, north_2.tif")
    assert told(night(catalog)) == [("north", "up to date", "")]
    put("north 3.tif", values[:, :, 40:], 48)
    assert states(catalog) == {"north": "changed"}
    put("north 3.tif", values[:, :, 40:].astype("float32"), 48)
    assert told(night(catalog)) == [("north", "failed", "BAD_MOSAIC")]
    del world.files["/bucket/in/north 3.tif"]
    assert states(catalog) == {"north": "published"}


def test_parts_of_one_name_have_the_order_of_their_folders_in_a_bucket_as_on_a_disk(
    world: Elsewhere, tmp_path: Path
) -> None:
    parts = ("a/x_1.tif", "a b/x_1.tif", "a-1/x_1.tif", "a/x_2.tif")
    for part in parts:
        world.put(f"/bucket/{part}", b"")
        path = tmp_path / "in" / part
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    more = '    mosaic: {group: "{scene}_?.tif", order: first}\n    values: continuous\n'
    forget_lists()
    [here], [there] = (
        find_scenes(load_catalog(catalog_of(tmp_path, source, more)).dataset("far"), tmp_path)
        for source in ("./in/*/*.tif", "s3://bucket/*/*.tif")
    )
    in_order = [path.relative_to(tmp_path / "in").as_posix() for path in here.paths]
    assert in_order == sorted(parts, key=lambda part: part.split("/"))
    assert [file.href.removeprefix("s3://bucket/") for file in Card.load(there.paths[0]).files] == in_order


def test_a_mask_of_the_users_is_watched_beside_what_was_fetched(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    world.put("/bucket/a.tif", write_raster(picture(), "a.tif").read_bytes())
    mask = np.zeros((1, 40, 48), "uint8")
    mask[:, :4] = 1
    write_raster(mask, "masks/a.tif")
    more = "    values: continuous\n    quality: {layer: './masks/{scene}.tif', as: nodata}\n"
    catalog = catalog_of(tmp_path, "s3://bucket/*.tif", more)
    assert told(night(catalog)) == [("a", "published", "")]
    receipt = receipt_of(tmp_path, "a")
    assert [Path(one.path).name for one in receipt.sources] == ["a.tif", "a.tif"]
    assert receipt.sources[1].sha256 == hashlib.sha256((tmp_path / "masks/a.tif").read_bytes()).hexdigest()
    assert told(night(catalog)) == [("a", "up to date", "")]
    mask[:, :5] = 1
    write_raster(mask, "masks/a.tif")
    assert states(catalog) == {"a": "changed"}
    (tmp_path / "masks/a.tif").unlink()
    assert told(night(catalog)) == [("a", "failed", "NO_QUALITY")]


@pytest.mark.parametrize("asset", ["safe_manifest", "product_metadata", "PRODUCT"])
def test_an_item_that_links_to_a_whole_safe_folder_is_its_product(world: Elsewhere, tmp_path: Path, asset: str) -> None:
    safe = make_safe(tmp_path)
    (safe / "manifest.safe").write_bytes(b"<a/>")
    for path in filter(Path.is_file, safe.rglob("*")):
        world.put(f"/bucket/eodata/{safe.name}/{path.relative_to(safe)}", path.read_bytes())
    end = {"safe_manifest": "/manifest.safe", "product_metadata": "/MTD_MSIL2A.xml", "PRODUCT": ""}[asset]
    wishes: dict[str, Any] = {"bands": ["red", "B11"], "quality": {"layer": "SCL", "as_": "nodata"}}
    here = read_header([safe], **wishes)
    found = {
        "thumbnail": {"href": "./preview.jpg", "roles": ["thumbnail"], "type": "image/jpeg"},
        asset: {"href": f"s3://bucket/eodata/{safe.name}{end}", "roles": ["metadata"]},
    }
    for address in ("", str(safe), f"{world.address}/bucket/eodata/{safe.name}"):
        if address:
            found[asset]["href"] = f"{address}{end}"
        (tmp_path / "item.json").write_text(json.dumps(item("..", found, **{"eo:cloud_cover": 3})))
        forget_lists()
        (scene,) = listed(Stac(stac=str(tmp_path / "item.json")), None)
        wishes["roots"] = (tmp_path,)
        if address.startswith("http"):
            with pytest.raises(SourceError, match="the web has no lists") as caught:
                read_header([scene.card], **wishes)
            assert caught.value.code == "NO_ASSETS"
            continue
        there = read_header([scene.card], **wishes)
        assert [band.name for band in there.bands] == ["B04", "B11"]
        assert (there.grid, there.taken) == (here.grid, here.taken)
        assert there.quality is not None
        assert there.quality.share == here.quality.share  # type: ignore[union-attr]
        with open_scene(there) as one, open_scene(here) as other:
            window = tuple(slice(0, n) for n in here.grid.shape)
            assert (one.read(window)[0] == other.read(window)[0]).all()


@pytest.mark.slow
def test_items_of_a_parquet_file_are_scenes_here_and_on_the_web(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    rustac = pytest.importorskip("rustac")
    place = {"type": "Polygon", "coordinates": [[[10.3, 46.9], [10.4, 46.9], [10.4, 47.0], [10.3, 47.0], [10.3, 46.9]]]}
    write_raster(picture(), "in/a.tif")
    here = {"a": {"href": "./a.tif", "roles": ["data"]}}
    there = {"a": {"href": (tmp_path / "in/a.tif").as_uri(), "roles": ["data"]}}
    for assets_of, name in ((here, "in/items.parquet"), (there, "there.parquet")):
        table = [{**item(f"s{i}", assets_of, cloud=i), "geometry": place} for i in range(3)]
        rustac.write_sync(str(tmp_path / name), table)
    search = "{stac: ./in/items.parquet, query: {cloud: {lt: 2}}}"
    assert told(night(catalog_of(tmp_path, search))) == [("s0", "published", ""), ("s1", "published", "")]
    assert states(catalog_of(tmp_path, search)) == {"s0": "published", "s1": "published"}
    # of the web: relative links lead there, and none to a file of this machine
    world.put("/files/items.parquet", (tmp_path / "in/items.parquet").read_bytes())
    world.put("/files/a.tif", (tmp_path / "in/a.tif").read_bytes())
    assert told(
        night(catalog_of(tmp_path, f"{{stac: {world.address}/files/items.parquet, query: {{cloud: {{eq: 2}}}}}}"))
    ) == [("s2", "published", "")]
    assert world.bytes_asked("/files/a.tif") == 1
    world.put("/files/items.parquet", (tmp_path / "there.parquet").read_bytes())
    outcome = night(catalog_of(tmp_path, f"{{stac: {world.address}/files/items.parquet}}"))
    assert {code for _, _, code in told(outcome)} == {"OUTSIDE"}
    with pytest.raises(CatalogError, match="more than 2 items"):
        states(catalog_of(tmp_path, "{stac: ./in/items.parquet, most: 2}"))


def test_volumes_elsewhere_are_public_or_are_none(world: Elsewhere, tmp_path: Path) -> None:
    import nibabel

    values = np.random.default_rng(0).integers(0, 900, (12, 14, 10)).astype("int16")
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "head.nii.gz")
    world.put("/bucket/head.nii.gz", (tmp_path / "head.nii.gz").read_bytes())
    path = catalog_of(tmp_path, "s3://bucket/*.nii.gz")
    text = path.read_text().replace("raster", "volume").replace("    products: [cog, stac]\n", "")
    path.write_text(text)
    with pytest.raises(CatalogError, match="an address may tell of a patient"):
        night(path)
    path.write_text(text + "    privacy: public\n")
    assert told(night(path)) == [("head", "published", "")]


def test_dicom_elsewhere_is_not_read(world: Elsewhere, tmp_path: Path) -> None:
    import zipfile

    from tests.storage.dicom.series import write_series

    write_series(tmp_path / "ct")
    with zipfile.ZipFile(tmp_path / "ct.zip", "w") as archive:
        for one in sorted((tmp_path / "ct").iterdir()):
            archive.write(one, one.name)
    world.put("/bucket/ct.zip", (tmp_path / "ct.zip").read_bytes())
    path = catalog_of(tmp_path, "s3://bucket/*.zip")
    assert [code for _, _, code in told(night(path))] == ["NOT_SUPPORTED"]


def test_an_item_of_the_web_gets_at_no_file_of_this_machine(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    own = {key: write_raster(picture(seed), f"own/{key}.tif").as_uri() for seed, key in enumerate(("a", "b", "SCL"))}
    there = {
        key: world.put(f"/{key}.tif", write_raster(picture(seed), f"{key}.tif").read_bytes())
        for seed, key in enumerate(("a", "b", "SCL"))
    }

    def of(**hrefs: str) -> dict[str, Any]:
        return {key: {"href": href, "roles": ["data"], "type": "image/tiff"} for key, href in hrefs.items()}

    world.items = [
        item("bands", of(**{**there, "b": own["b"].replace("file:", "FILE:")}), world.address),
        item("layer", of(**{**there, "SCL": own["SCL"]}), world.address),
        item("none", of(**{**there, "b": "ftp://host/b.tif"}), world.address),
    ]
    more = "    bands: [a, b]\n    quality: {layer: SCL, as: flag}\n"
    catalog = catalog_of(tmp_path, f"{{stac: {world.address}/api}}", more)
    assert told(night(catalog)) == [(name, "failed", "OUTSIDE") for name in ("bands", "layer", "none")]


def test_two_files_whose_addresses_differ_behind_the_question_mark_are_two(
    world: Elsewhere, tmp_path: Path, write_raster: Write
) -> None:
    href = world.put("/get", write_raster(picture(), "one.tif").read_bytes())
    asset = {"roles": ["data"], "type": "image/tiff"}
    world.items = [item("one", {key: {**asset, "href": f"{href}?id={key}&sig=SECRET"} for key in "ab"}, world.address)]
    catalog = catalog_of(tmp_path, f"{{stac: {world.address}/api}}", "    bands: [a, b]\n")
    assert told(night(catalog)) == [("one", "published", "")]
    assert world.bytes_asked("/get") == 2
    assert not any(b"SECRET" in path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())


def test_two_items_with_one_id_say_how_to_go_on(world: Elsewhere, tmp_path: Path) -> None:
    world.items = [item("one", {}, world.address), item("one", {}, f"{world.address}/other")]
    with pytest.raises(CatalogError, match=r"gives two scenes the id 'one'.*narrow the search"):
        states(catalog_of(tmp_path, f"{{stac: {world.address}/api}}"))
