"""The store by HTTP: what a receipt names and index pages, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
from pathlib import Path
from urllib.parse import unquote

import httpx
import pytest

from flows.service.pages import find_page, with_pages
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.layout import DatasetPaths
from srcore.run.dataset import run_dataset
from srcore.run.scene import plain, scene_runner
from tests.conftest import ROOT
from tests.flows.conftest import make_archive


class Client:
    """Requests to an ASGI app."""

    def __init__(self, app: object) -> None:
        self.app = app

    def __call__(self, method: str, address: str, **more: object) -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(app=self.app)  # type: ignore[arg-type]
            async with httpx.AsyncClient(transport=transport, base_url="http://here") as client:
                return await client.request(method, address, **more)  # type: ignore[arg-type]

        return asyncio.run(ask())

    def get(self, address: str, **more: object) -> httpx.Response:
        return self("GET", address, **more)


SECRET = b"nobody's business"


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with one product, of a public and of a restricted dataset; gives its path."""
    catalog = make_archive(tmp_path_factory.mktemp("pages"))
    text = catalog.read_text()
    head, hills, _ = re.split(r"(?m)^(?=  hills:|  on-demand:)", text)
    catalog.write_text(head + hills + hills.replace("hills:", "ward:") + "    privacy: restricted\n")
    for dataset in ("hills", "ward"):
        with scene_runner(Workers(0, None), plain) as run:
            [outcome] = run_dataset(catalog, dataset, run, scene="east")
        assert outcome.result == "published"
    return catalog


@pytest.fixture
def client(archive: Path) -> Client:
    async def elsewhere(scope: object, receive: object, send: object) -> None:
        await send({"type": "http.response.start", "status": 418, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body", "body": b""})  # type: ignore[operator]

    return Client(with_pages(elsewhere, archive))  # type: ignore[arg-type]


def test_pages_pictures_and_files_of_a_receipt_are_shown(client: Client, archive: Path) -> None:
    product = DatasetPaths(archive.parent / "archive" / "hills").product("east", ".tif")
    for name, kind in (("east.report.html", "text/html; charset=utf-8"), ("east.png", "image/png")):
        found = client.get(f"/store/hills/products/east/{name}")
        assert found.status_code == 200
        assert found.headers["content-type"] == kind
        assert found.content == (product.folder / name).read_bytes()
        assert int(client("HEAD", f"/store/hills/products/east/{name}").headers["content-length"]) == len(found.content)
    assert client.get("/store/hills/index.html").content == (product.folder.parent.parent / "index.html").read_bytes()
    assert client.get("/store/hills/products/east/east.receipt.json").json()["scene"] == "east"
    assert client.get("/api/health").status_code == 418


def test_pages_are_compressed_for_the_way_and_products_are_not(client: Client, archive: Path) -> None:
    page = client.get("/store/hills/index.html")
    raw = len((archive.parent / "archive/hills/index.html").read_bytes())
    assert page.headers["content-encoding"] == "gzip"
    assert page.num_bytes_downloaded < 0.4 * raw
    assert page.content == (archive.parent / "archive/hills/index.html").read_bytes()
    plain = client.get("/store/hills/index.html", headers={"Accept-Encoding": "identity"})
    assert (plain.content, plain.headers.get("content-encoding")) == (page.content, None)
    product = client.get("/store/hills/products/east/east.tif")
    assert (product.status_code, product.headers.get("content-encoding")) == (200, None)


def test_a_page_reaches_nothing_and_runs_only_our_scripts(client: Client, archive: Path) -> None:
    found = client.get("/store/hills/products/east/east.report.html")
    policy = found.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "sandbox allow-scripts allow-popups" in policy
    assert "allow-same-origin" not in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert found.headers["x-content-type-options"] == "nosniff"
    assert client.get("/store/nothing").headers["content-security-policy"] == policy


def test_every_script_of_a_template_is_a_file_so_that_its_digest_is_known() -> None:
    templates = ROOT / "srcore/report/templates"
    pages = [page.read_text() for page in templates.glob("*.html")]
    scripts = [found for page in pages for found in re.findall(r"(?s)<script.*?</script>", page)]
    scripts = [found for found in scripts if "application/json" not in found]  # data, which nothing runs
    assert scripts
    named = [re.fullmatch(r"<script>\{\{ file\(\"(\w+\.js)\"\) \}\}</script>", found) for found in scripts]
    assert all(found is not None and (templates / found[1]).is_file() for found in named)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "index-2.html",
        "catalog.json",  # it may name what is restricted
        "hills",
        "hills/",
        "hills/products/",
        "hills/products/east/",
        "hills/products/east/east.tif.aux.xml",
        "hills/products/east/planted.html",
        "hills/products/east/../../../secret.html",
        "hills/products/east/%2e%2e/%2e%2e/index.html",
        "hills/products/east/..%2f..%2findex.html",
        "hills//index.html",
        "hills/products/east/east.png%00.html",
        "hills/quarantine/planted.html",
        "hills/champions.json",
        "hills/.scratch/east/lease.json",
        "ward/index.html",
        "ward/products/east/east.report.html",
        "ward/products/east/east.receipt.json",
        "unknown/index.html",
        ".prefect/prefect.db",
        "../data_catalog.yaml",
        "/etc/passwd",
    ],
)
def test_nothing_else_is(client: Client, archive: Path, address: str) -> None:
    store = archive.parent / "archive"
    (store / "secret.html").write_bytes(SECRET)
    for planted in (store / "hills/products/east/planted.html", store / "hills/quarantine/planted.html"):
        planted.parent.mkdir(exist_ok=True)
        planted.write_bytes(SECRET)
    found = client.get(f"/store/{address}")
    assert found.status_code in (404, 418)  # 418: what a client makes of "..", which leads out of here
    assert SECRET not in found.content
    assert find_page(load_catalog(archive), unquote(address)) is None
    assert client("POST", "/store/hills/index.html").status_code == 405


def test_the_page_of_the_store_names_what_is_public_alone(client: Client, archive: Path) -> None:
    """Each page of a dataset leads there."""
    page = client.get("/store/index.html")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "hills" in page.text
    assert "ward" not in page.text
    assert "ward" in (archive.parent / "archive/index.html").read_text()
    length = int(client("HEAD", "/store/index.html", headers={"Accept-Encoding": "identity"}).headers["content-length"])
    assert length == len(page.content)


def test_links_are_not_followed(client: Client, archive: Path) -> None:
    folder = archive.parent / "archive/hills/products/east"
    secret = archive.parent / "secret.png"
    secret.write_bytes(SECRET)
    (folder / "east.png").rename(folder / "kept.png")
    try:
        (folder / "east.png").symlink_to(secret)
        assert client.get("/store/hills/products/east/east.png").status_code == 404
    finally:
        (folder / "east.png").unlink()
        (folder / "kept.png").rename(folder / "east.png")
    shutil.copytree(folder, archive.parent / "moved")
    folder.rename(folder.with_name("aside"))
    try:
        folder.symlink_to(archive.parent / "moved")
        assert client.get("/store/hills/products/east/east.png").status_code == 404
    finally:
        folder.unlink()
        folder.with_name("aside").rename(folder)
    assert client.get("/store/hills/products/east/east.png").status_code == 200


def test_a_page_of_what_a_gate_stopped_is_shown_beside_its_record(archive: Path) -> None:
    catalog = load_catalog(archive)
    places = DatasetPaths(Path(catalog.store) / "hills")
    assert find_page(catalog, "hills/quarantine/west.html") is None
    places.quarantined.mkdir(exist_ok=True)
    places.quarantine("west").write_text("{}")
    assert find_page(catalog, "hills/quarantine/west.html") == places.quarantined / "west.html"
    assert find_page(catalog, "hills/index-2.html") == places.root / "index-2.html"
    assert find_page(catalog, "hills/index-02.html") is None


def test_a_password_guards_the_pages_too(archive: Path) -> None:
    client = Client(with_pages(None, archive, "user:secret"))  # type: ignore[arg-type]
    assert client.get("/store/hills/index.html").status_code == 401
    assert client.get("/store/hills/index.html", auth=("user", "wrong")).status_code == 401
    assert client.get("/store/hills/index.html", auth=("user", "secret")).status_code == 200


PRODUCT = "/store/hills/products/east/east.tif"


@pytest.mark.parametrize(
    ("asked", "status", "part"),
    [
        ("bytes=0-9", 206, slice(0, 10)),
        ("bytes=5-", 206, slice(5, None)),
        ("bytes=-7", 206, slice(-7, None)),
        ("bytes=10-99999999999", 206, slice(10, None)),
        ("bytes=-99999999999", 206, slice(None)),
        ("bytes=99999999999-", 416, slice(0, 0)),
        ("bytes=-0", 416, slice(0, 0)),
        ("bytes=9-2", 200, slice(None)),
        ("bytes=-", 200, slice(None)),
        ("bytes=0-1,4-5", 200, slice(None)),
        ("lines=0-9", 200, slice(None)),
        ("bytes=\u0661-\u0662".encode(), 200, slice(None)),
        ("bytes=" + "9" * 4000, 200, slice(None)),
    ],
)
def test_a_range_of_a_product_is_sent_alone(
    client: Client, archive: Path, asked: str | bytes, status: int, part: slice
) -> None:
    whole = (archive.parent / "archive/hills/products/east/east.tif").read_bytes()
    found = client.get(PRODUCT, headers={"Range": asked})
    assert (found.status_code, found.content) == (status, whole[part])
    first, last, _ = part.indices(len(whole))
    told = {206: f"bytes {first}-{last - 1}/{len(whole)}", 416: f"bytes */{len(whole)}", 200: None}
    assert found.headers.get("content-range") == told[status]
    assert client("HEAD", PRODUCT, headers={"Range": asked}).headers["content-length"] == str(len(whole))


def test_what_somebody_has_is_not_sent_again_and_another_product_is(client: Client, archive: Path) -> None:
    folder = archive.parent / "archive/hills/products/east"
    for name in ("east.tif", "east.report.html"):
        address = f"/store/hills/products/east/{name}"
        tag = client.get(address).headers["etag"]
        again = client.get(address, headers={"If-None-Match": f'"other", {tag}'})
        assert (again.status_code, again.content) == (304, b"")
        assert client.get(address, headers={"If-None-Match": '"other"'}).status_code == 200
    tag = client.get(PRODUCT).headers["etag"]
    assert client.get(PRODUCT, headers={"Range": "bytes=0-9", "If-Range": tag}).status_code == 206
    os.utime(folder / "east.tif", ns=(1, 1))
    assert client.get(PRODUCT, headers={"Range": "bytes=0-9", "If-Range": tag}).status_code == 200
    assert client.get(PRODUCT, headers={"If-None-Match": tag}).status_code == 200


def test_a_page_behind_a_password_has_keys_of_its_pictures_alone(archive: Path) -> None:
    client = Client(with_pages(None, archive, "user:secret"))  # type: ignore[arg-type]
    index = client.get("/store/hills/index.html", auth=("user", "secret"))
    [picture] = re.findall(r'<img [^>]*src="([^"]*)"', index.text)
    found = client.get(f"/store/hills/{picture}")
    assert (found.status_code, found.headers["content-type"]) == (200, "image/png")
    key = picture.partition("?key=")[2]
    for address in (
        "index.html",
        "products/east/east.tif",
        "products/east/east.report.html",
        "products/west/east.png",
        "products/east/x/y/east.png",
        "tiles/west/sr/0/0/0.png",
    ):
        assert client.get(f"/store/hills/{address}?key={key}").status_code == 401, address
    for wrong in ("", key[:-1], key[::-1], "\u00e9"):
        assert client.get("/store/hills/products/east/east.png", params={"key": wrong}).status_code == 401
    assert client.get(f"/store/ward/products/east/east.png?key={key}").status_code == 401
    head = client("HEAD", "/store/hills/index.html", auth=("user", "secret"))
    assert int(head.headers["content-length"]) == len(index.content)
    open_page = Client(with_pages(None, archive)).get("/store/hills/index.html")  # type: ignore[arg-type]
    assert "key=" not in open_page.text


def test_what_becomes_restricted_is_not_shown_any_more(tmp_path: Path, archive: Path) -> None:
    copy = tmp_path / "catalog.yaml"
    text = archive.read_text().replace("store: ./archive", f"store: {archive.parent / 'archive'}")
    copy.write_text(text)
    client = Client(with_pages(None, copy))  # type: ignore[arg-type]
    assert client.get("/store/hills/index.html").status_code == 200
    copy.write_text(text.replace("  hills:\n", "  hills:\n    privacy: restricted\n"))
    assert client.get("/store/hills/index.html").status_code == 404
    copy.write_text("broken: [")
    assert client.get("/store/hills/index.html").status_code == 404


SHOWN_OF_PRIVATE = {"report.html": 404, "report.json": 200, "receipt.json": 200, "tif": 404, "png": 404, "json": 404}


def test_of_a_private_scene_no_page_is_shown(tmp_path: Path, archive: Path) -> None:
    """As a receipt of DICOM says it is, whose sources are hashes."""
    shutil.copytree(archive.parent, tmp_path / "copy")
    product = tmp_path / "copy/archive/hills/products/east"
    receipt = json.loads((product / "east.receipt.json").read_text())
    receipt["sources"][0]["path"] = "veiled:0123456789abcdef"
    (product / "east.receipt.json").write_text(json.dumps(receipt))
    client = Client(with_pages(None, tmp_path / "copy" / archive.name))  # type: ignore[arg-type]
    for name, status in SHOWN_OF_PRIVATE.items():
        assert client.get(f"/store/hills/products/east/east.{name}").status_code == status, name
