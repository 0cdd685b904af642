"""Scenes elsewhere in a catalog: published once, fetched once, due again when they change there, and never green by
being gone."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio

from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.errors import SourceError
from srcore.run.dataset import run_dataset
from srcore.run.outcome import Outcome
from srcore.run.scene import run_scene
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt
from srcore.storage.remote.listing import forget_lists
from tests.elsewhere import Elsewhere, item

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
