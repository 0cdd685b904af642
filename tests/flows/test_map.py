"""The map of a dataset by HTTP: outlines, and tiles of what a receipt names, beside its LR."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import rasterio
import uvicorn
from PIL import Image

from flows.guard import guarded, names_of
from flows.service.pages import with_pages
from srcore.dispatch import Workers
from srcore.run.dataset import run_dataset
from srcore.run.scene import plain, scene_runner
from srcore.storage.view.frame import Place
from srcore.storage.view.product import open_product
from tests.flows.conftest import free_port, make_archive
from tests.flows.test_pages import Client

pytestmark = pytest.mark.slow

SCENES = ("east", "plain")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalog with a product that has a place, and one that has none; a restricted dataset of the same."""
    catalog = make_archive(tmp_path_factory.mktemp("map"))
    with rasterio.open(catalog.parent / "in/east.tif") as east:
        values = east.read()
    profile = {"driver": "GTiff", "count": 3, "height": 150, "width": 170, "dtype": "uint16"}
    with rasterio.open(catalog.parent / "in/plain.tif", "w", **profile) as target:
        target.write(values)
    text = catalog.read_text()
    head, hills, _ = re.split(r"(?m)^(?=  hills:|  on-demand:)", text)
    catalog.write_text(head + hills + hills.replace("hills:", "ward:") + "    privacy: restricted\n")
    with scene_runner(Workers(0, None), plain) as run:
        for dataset, scene in (("hills", "east"), ("hills", "plain"), ("ward", "east")):
            [outcome] = run_dataset(catalog, dataset, run, scene=scene)
            assert outcome.result == "published"
    return catalog


@pytest.fixture
def client(archive: Path) -> Client:
    return Client(with_pages(None, archive))  # type: ignore[arg-type]


def facts(client: Client, scene: str) -> dict[str, Any]:
    text = client.get(f"/store/hills/map.html?scene={scene}").text
    return dict(json.loads(re.search(r'(?s)id="facts">(.*?)</script>', text)[1]))  # type: ignore[index]


def middle(chosen: dict[str, Any], level: int) -> str:
    left, top, right, bottom = chosen["box"]
    return f"{level}/{int((left + right) / 2 * 2**level)}/{int((top + bottom) / 2 * 2**level)}.png"


def pixels(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)))


def test_the_page_has_the_outlines_of_the_stac_items(client: Client, archive: Path) -> None:
    found = facts(client, "east")
    outlines = {name: rings for name, rings, _ in found["scenes"]}
    assert set(outlines) == set(SCENES)
    assert outlines["plain"] == []
    [ring] = outlines["east"]
    box = found["chosen"]["box"]
    xs, ys = zip(*ring, strict=True)
    assert [min(xs), min(ys), max(xs), max(ys)] == pytest.approx(box, abs=2e-8)
    assert found["chosen"]["lr"] == 0
    head = client.get("/store/hills/map.html").headers
    assert "default-src 'none'" in head["content-security-policy"]
    assert head["cache-control"] == "no-store"


@pytest.mark.parametrize("scene", SCENES)
def test_product_and_lr_lie_on_each_other(client: Client, scene: str) -> None:
    """bicubic-x2 makes what the LR is shown by: half a pixel off would be 20 grey levels here."""
    chosen = facts(client, scene)["chosen"]
    assert chosen["globe"] is (scene == "east")
    for level in (chosen["level"], chosen["level"] - 1):
        where = middle(chosen, level)
        product, lr = (client.get(f"/store/hills/tiles/{scene}/{kind}/{where}") for kind in ("sr", "lr"))
        assert product.status_code == lr.status_code == 200
        assert product.headers["cache-control"].startswith("private")
        sr, before = pixels(product.content).astype(int), pixels(lr.content).astype(int)
        both = (sr[..., 3] == 255) & (before[..., 3] == 255)
        assert both.mean() > 0.05
        assert (sr[..., 3] == before[..., 3]).mean() > 0.97
        assert np.sqrt(((sr - before)[both][:, :3] ** 2).mean()) < 6
    again = client.get(f"/store/hills/tiles/{scene}/sr/{where}", headers={"If-None-Match": product.headers["etag"]})
    assert again.status_code == 304


def test_a_tile_of_a_plain_scene_is_its_pixels(client: Client, archive: Path) -> None:
    with rasterio.open(archive.parent / "archive/hills/products/plain/plain.tif") as product:
        values = product.read(1)[:256, 256:340].astype(float)
    with open_product(archive.parent / "archive/hills/products/plain/plain.tif") as view:
        drawn, valid = view.tile(Place(1, 1, 0), [0]) or pytest.fail("no tile")
    assert np.abs(drawn[0, :, :84] - values).max() == 0
    assert valid[0, :, :84].all()
    assert not valid[0, :, 85:].any()


@pytest.mark.nightly
def test_a_tile_is_the_one_that_rio_tiler_makes(archive: Path, tmp_path: Path) -> None:
    pytest.importorskip("rio_tiler", reason="rio-tiler is not installed (extra: dev)")
    path, out = archive.parent / "archive/hills/products/east/east.tif", tmp_path / "tile.npz"
    with open_product(path) as view:
        level, box = view.frame.level, view.frame.box
        place = Place(level, int((box[0] + box[2]) / 2 * 2**level), int((box[1] + box[3]) / 2 * 2**level))
        ours, valid = view.tile(place, [0]) or pytest.fail("no tile")
    # in a process of its own: rio-tiler warps by GDAL's VRT driver, which srcore takes away
    script = (
        "import sys, numpy as np; from rio_tiler.io import Reader\n"
        "with Reader(sys.argv[1]) as one:\n"
        "    tile = one.tile(*map(int, sys.argv[3:]), indexes=1, reproject_method='cubic')\n"
        "np.savez(sys.argv[2], values=tile.data, mask=tile.mask)"
    )
    where = map(str, (place.column, place.row, place.level))
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(path), str(out), *where], check=True)
    with np.load(out) as theirs:
        both = (theirs["mask"] > 0) & valid[0]
        assert (valid[0] == (theirs["mask"] > 0)).mean() > 0.999
        difference = (ours[0] - theirs["values"][0].astype(float))[both]
    assert np.sqrt((difference**2).mean()) < 0.01 * np.ptp(ours[0][both])


@pytest.mark.parametrize(
    ("address", "status"),
    [
        ("tiles/east/sr/14/0/0.png", 404),  # beside it
        ("tiles/east/sr/25/0/0.png", 400),
        ("tiles/east/sr/3/8/0.png", 400),
        ("tiles/east/sr/-1/0/0.png", 400),
        ("tiles/east/sr/1/0/0.5.png", 400),
        ("tiles/east/sr/1/0/99999999999999.png", 400),
        ("tiles/east/sr/\u0661/0/0.png", 400),  # a digit of another alphabet
        ("tiles/east/hr/1/0/0.png", 400),
        ("tiles/east/sr/1/0/0.png.html", 400),
        ("tiles/none/sr/1/0/0.png", 404),
        ("tiles/..%2feast/sr/1/0/0.png", 400),
        ("tiles/", 400),
        ("map.html?scene=none", 404),
        ("map.html?scene=../../ward/products/east", 404),
        ("map.html?scene=%3Cscript%3E", 404),
    ],
)
def test_what_is_no_tile_is_said(client: Client, address: str, status: int) -> None:
    found = client.get(f"/store/hills/{address}")
    assert found.status_code == status, found.text
    assert "<script>alert" not in found.text
    assert "Traceback" not in found.text


def test_nothing_of_a_restricted_dataset_is_drawn(client: Client) -> None:
    for address in ("map.html", "map.html?scene=east", "tiles/east/sr/0/0/0.png", "tiles/east/lr/0/0/0.png"):
        assert client.get(f"/store/ward/{address}").status_code == 404
        assert client.get(f"/store/unknown/{address}").status_code == 404
    assert client("POST", "/store/hills/map.html").status_code == 405


def test_volumes_have_no_map_and_their_planes_are_linked(tmp_path: Path) -> None:
    values = np.arange(16**3, dtype=np.int16).reshape(16, 16, 16) % 700
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "one.nii.gz")
    catalog = tmp_path / "data_catalog.yaml"
    entry = "{kind: volume, source: ./*.nii.gz, model: nearest-x2, privacy: public}"
    catalog.write_text(f"version: 1\nstore: ./archive\ndatasets:\n  body: {entry}\n")
    with scene_runner(Workers(0, None), plain) as run:
        [outcome] = run_dataset(catalog, "body", run)
    assert outcome.result == "published"
    client = Client(with_pages(None, catalog))  # type: ignore[arg-type]
    for scene, said in ((outcome.scene, f"the planes of {outcome.scene}"), ("", "the page of each"), ("x", "of each")):
        found = client.get(f"/store/body/map.html?scene={scene}")
        assert found.status_code == 404
        assert "Volumes have no map" in found.text
        assert said in found.text
    [planes] = re.findall(r'href="(products/[^"]+)"', client.get(f"/store/body/map.html?scene={outcome.scene}").text)
    assert client.get(f"/store/body/{planes}").status_code == 200
    assert client.get(f"/store/body/tiles/{outcome.scene}/sr/0/0/0.png").text == "volumes have no map\n"


def test_a_page_behind_a_password_has_a_key_for_the_tiles_of_its_scene(archive: Path) -> None:
    """Browsers send no password for the pictures of a page without an origin."""
    client = Client(with_pages(None, archive, "user:word"))  # type: ignore[arg-type]
    known = {"Authorization": f"Basic {b64encode(b'user:word').decode()}"}
    assert client.get("/store/hills/map.html?scene=east").status_code == 401
    text = client.get("/store/hills/map.html?scene=east", headers=known).text
    key = re.search(r'"key": "([0-9a-f]{64})"', text)[1]  # type: ignore[index]
    for address, status in (
        ("hills/tiles/east/sr/0/0/0.png", 200),
        ("hills/tiles/plain/sr/0/0/0.png", 401),
        ("ward/tiles/east/sr/0/0/0.png", 401),
        ("hills/map.html", 401),
        ("hills/products/east/east.png", 200),
        ("hills/products/east/east.tif", 401),
    ):
        assert client.get(f"/store/{address}?key={key}").status_code == status
    for wrong in ("", "?key=", f"?key={key[:-1]}", "?key=%C3%A4"):
        assert client.get(f"/store/hills/tiles/east/sr/0/0/0.png{wrong}").status_code == 401


def test_without_its_very_input_the_product_is_shown_alone(tmp_path: Path, archive: Path) -> None:
    shutil.copytree(archive.parent, tmp_path / "copy", copy_function=shutil.copy2)
    catalog, lr = tmp_path / "copy" / archive.name, tmp_path / "copy/in/plain.tif"
    client = Client(with_pages(None, catalog))  # type: ignore[arg-type]
    # its receipt names another path: what lies here is another file
    assert "another one now" in client.get("/store/hills/map.html?scene=plain").text
    lr.unlink()
    shutil.copyfile(tmp_path / "copy/in/east.tif", lr)
    found = client.get("/store/hills/tiles/plain/lr/0/0/0.png")
    assert (found.status_code, found.text) == (404, "its input is another one now than it was made of\n")
    assert client.get("/store/hills/tiles/plain/sr/0/0/0.png").status_code == 200


def test_no_link_leads_out_of_the_store(tmp_path: Path, client: Client, archive: Path) -> None:
    folder = archive.parent / "archive/hills/products/plain"
    kept = tmp_path / "plain.tif"
    shutil.move(folder / "plain.tif", kept)
    try:
        os.symlink(kept, folder / "plain.tif")
        assert client.get("/store/hills/tiles/plain/sr/0/0/0.png").status_code == 404
    finally:
        (folder / "plain.tif").unlink()
        shutil.move(kept, folder / "plain.tif")
    assert client.get("/store/hills/tiles/plain/sr/0/0/0.png").status_code == 200


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        "[]",
        "no JSON",
        '{"geometry": {"type": "Polygon", "coordinates": []}}',
        '{"geometry": {"type": "Polygon", "coordinates": [[]]}}',
        '{"geometry": {"type": "MultiPolygon", "coordinates": []}}',
        '{"geometry": {"type": "Polygon", "coordinates": [[[1, 2], [3, 4]]]}}',
        '{"geometry": {"type": "Polygon", "coordinates": [[[1e999, 0], [1, 1], [2, 2]]]}}',
        '{"geometry": {"type": "Polygon", "coordinates": [[["<script>", 0], [1, 1], [2, 2]]]}}',
        '{"geometry": {"type": "Polygon", "coordinates": [[[0, 89.9], [1, 89.9], [2, 89]]]}}',
        '{"geometry": 7}',
    ],
)
def test_an_item_that_says_nothing_of_a_place_has_no_outline(client: Client, archive: Path, text: str) -> None:
    item = archive.parent / "archive/hills/products/east/east.json"
    kept = item.read_bytes()
    try:
        item.write_text(text)
        assert {name: rings for name, rings, _ in facts(client, "plain")["scenes"]}["east"] == []
    finally:
        item.write_bytes(kept)


def test_a_damaged_product_is_told_in_words(tmp_path: Path, archive: Path) -> None:
    shutil.copytree(archive.parent, tmp_path / "copy", copy_function=shutil.copy2)
    client = Client(with_pages(None, tmp_path / "copy" / archive.name))  # type: ignore[arg-type]
    product = tmp_path / "copy/archive/hills/products/plain/plain.tif"
    whole = product.read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"hello" * 99):
        product.write_bytes(damaged)
        page, tile = (
            client.get("/store/hills/map.html?scene=plain"),
            client.get("/store/hills/tiles/plain/sr/0/0/0.png"),
        )
        assert (page.status_code, tile.status_code) == (404, 404)
        assert "cannot be shown" in page.text
        assert str(tmp_path) not in page.text + tile.text


@pytest.fixture
def address(archive: Path) -> Iterator[str]:
    """The store's pages on a port of loopback."""
    port = free_port()
    app = guarded(with_pages(None, archive), names_of("127.0.0.1", port))  # type: ignore[arg-type]
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="error", lifespan="off"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{port}/store/hills/"
    server.should_exit = True
    thread.join(10)


@pytest.mark.browser
@pytest.mark.parametrize(("width", "height"), [(1300, 1000), (390, 844)])
def test_it_is_worked_by_keys_and_on_a_phone(
    address: str, browser: Any, screenshots: Path, width: int, height: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": height})
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(address + "index.html")
    page.get_by_role("link", name="Map", exact=True).first.click()
    page.get_by_text("1 outlines; choose one").wait_for()
    page.locator("canvas").click()  # the outline lies in the middle
    page.locator("h1", has_text="east").wait_for()
    told = page.locator("output")
    page.wait_for_function("() => /screen$/.test(document.querySelector('output').textContent)")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.screenshot(path=screenshots / f"map-{width}.png")
    before = told.inner_text()
    page.locator("canvas").focus()
    page.keyboard.press("+")
    page.wait_for_function("before => document.querySelector('output').textContent !== before", arg=before)
    for _ in range(5):
        page.keyboard.press(",")
    assert page.get_by_role("slider").input_value() == "35"
    page.get_by_role("link", name="plain", exact=True).click()
    page.get_by_text("it is shown in its own pixels").wait_for()
    assert errors == []
    page.close()
