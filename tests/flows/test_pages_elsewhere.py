"""The pages and the map of a store in a bucket: what a receipt names, as of one on a disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flows.service.pages import with_pages
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.report.map import scenes
from srcore.run.dataset import run_dataset
from srcore.run.scene import plain, scene_runner
from srcore.storage.objects.store import ObjectStore
from tests.flows.conftest import make_archive
from tests.flows.test_map import middle, pixels
from tests.flows.test_pages import Client
from tests.s3 import Proxy, environment, new_bucket, proxied, reopened, s3_server


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str, Proxy]]:
    """A catalog whose store is a bucket with one product, the address of the store, and what lies before it."""
    folder = tmp_path_factory.mktemp("bucket")
    with s3_server() as endpoint, pytest.MonkeyPatch.context() as patch:
        proxy = Proxy(endpoint)
        with proxied(proxy) as front:
            settings = environment(front) | {"SRCORE_REMOTE_TRIES": "1"}
            for name, value in {
                **settings,
                "SRCORE_SCRATCH": str(folder / "s"),
                "SRCORE_CACHE": str(folder / "c"),
            }.items():
                patch.setenv(name, value)
            reopened()
            address = f"{new_bucket(endpoint)}/archive"
            catalog = make_archive(folder)
            catalog.write_text(catalog.read_text().replace("./archive", address))
            with scene_runner(Workers(0, None), plain) as run:
                [outcome] = run_dataset(catalog, "hills", run, scene="east")
            assert outcome.result == "published"
            yield catalog, address, proxy
            reopened()


@pytest.fixture
def client(served: tuple[Path, str, Proxy]) -> Client:
    scenes._listed.cache_clear()
    return Client(with_pages(None, served[0]))  # type: ignore[arg-type]


def test_the_pages_lead_to_all_that_the_receipt_names(client: Client, served: tuple[Path, str, Proxy]) -> None:
    store = ObjectStore(served[1])
    receipt = client.get("/store/hills/products/east/east.receipt.json").json()
    names = [one["name"] for one in receipt["outputs"]]
    assert {name.partition("/")[2] for name in names} >= {"east.tif", "east.png", "east.report.html", "east.json"}
    for name in names:
        assert client.get(f"/store/hills/products/east/{name}").content == store.get(f"hills/products/east/{name}")
    page = client.get("/store/hills/index.html").text
    for address in set(re.findall(r'(?:src|href)="(products/[^"]+)"', page)):
        assert client.get(f"/store/hills/{address}").status_code == 200, address
    for address in ("catalog.json", "index.html", "hills/collection.json", "hills/products/east/east.json"):
        assert client.get(f"/store/{address}").status_code == 200, address
    [data] = [name for name in names if name.endswith(".tif")]
    part = client.get(f"/store/hills/products/east/{data}", headers={"Range": "bytes=4-99"})
    assert (part.status_code, part.content) == (206, (store.get(f"hills/products/east/{data}") or b"")[4:100])
    tag = part.headers["etag"]
    assert client.get(f"/store/hills/products/east/{data}", headers={"If-None-Match": tag}).status_code == 304


@pytest.mark.parametrize(
    "address",
    [
        "hills/products/east/east.tif",
        "hills/products/east/x/east.tif",
        "hills/.scratch/east/lease.json",
        "hills/totals.json",
    ],
)
def test_nothing_else_is(client: Client, address: str) -> None:
    assert client.get(f"/store/{address}").status_code == 404


def test_its_map_has_outlines_and_tiles(client: Client, served: tuple[Path, str, Proxy]) -> None:
    text = client.get("/store/hills/map.html?scene=east").text
    found = json.loads(re.search(r'(?s)id="facts">(.*?)</script>', text)[1])  # type: ignore[index]
    assert [(name, len(rings)) for name, rings, _ in found["scenes"]] == [("east", 1)]
    chosen = found["chosen"]
    where = middle(chosen, chosen["level"])
    sr, lr = (client.get(f"/store/hills/tiles/east/{kind}/{where}") for kind in ("sr", "lr"))
    assert (sr.status_code, lr.status_code) == (200, 200), (sr.text, lr.text)
    difference = pixels(sr.content)[..., :3].astype(int) - pixels(lr.content)[..., :3]
    assert np.sqrt((difference**2).mean()) < 10
    served[2].seen.clear()
    assert client.get(f"/store/hills/tiles/east/sr/{where}").status_code == 200
    assert not [one for one in served[2].seen if ".tif" in one]  # it is in the cache


def test_one_that_is_away_is_said_to_be(client: Client, served: tuple[Path, str, Proxy]) -> None:
    proxy = served[2]
    try:
        proxy.fault = lambda method, path: "403"
        for address in ("hills/index.html", "hills/map.html", "hills/products/east/east.receipt.json"):
            found = client.get(f"/store/{address}")
            assert (found.status_code, found.text.count("\n")) == (503, 1)
            assert "STORE_REFUSED" in found.text
            assert "very-secret" not in found.text
    finally:
        proxy.fault = lambda method, path: ""
    assert load_catalog(served[0]).shown_store in served[1]
