"""A night whose store is an object store: published, up to date, replaced, quarantined; nothing of it lies here."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.errors import AwayError, CatalogError, PlanError
from srcore.layout import DatasetPaths
from srcore.run.audit import audit
from srcore.run.listed import list_products
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt, is_whole
from srcore.storage.archive.removal import remove_product
from srcore.storage.objects import client
from srcore.storage.objects.store import ObjectStore
from tests.faults import archive
from tests.s3 import Proxy, proxied, reopened
from tests.storage.dicom.series import write_series


def catalog_at(folder: Path, address: str, more: str = "") -> Path:
    catalog = archive.write_catalog(folder)
    catalog.write_text(catalog.read_text().replace("store: ./store", f"store: {address}") + more)
    return catalog


@pytest.fixture
def catalog(tmp_path: Path, address: str) -> Path:
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1)
    return catalog_at(tmp_path, address)


def names(address: str) -> list[str]:
    return [one.name for one in ObjectStore(address).list(deep=True)]


def test_a_scene_is_published_stays_and_is_replaced(
    catalog: Path, address: str, tmp_path: Path, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = ObjectStore(address)
    assert [one.result for one in archive.run(catalog)] == ["published"]
    [receipt_name] = [name for name in names(address) if name.endswith(".receipt.json")]
    first = json.loads(store.get(receipt_name) or b"")
    run = first["outputs"][0]["name"].split("/")[0]
    assert {"catalog.json", "index.html", "fields/collection.json", "fields/stac/undated.json"} <= set(names(address))
    assert [one.result for one in archive.run(catalog)] == ["up to date"]
    assert json.loads(store.get(receipt_name) or b"") == first
    [state] = scene_states(load_catalog(catalog), archive.DATASET)
    assert (state.state, state.due) == ("published", False)
    done = audit(load_catalog(catalog), archive.DATASET)
    assert (done.read, list(done.findings)) == (1, [])
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=2)
    assert [one.result for one in archive.run(catalog)] == ["published"]
    receipt = Receipt.load(place / receipt_name)
    assert receipt is not None
    there = {name.removeprefix("fields/products/scene/") for name in names(address) if "/products/" in name}
    assert there == {one.name for one in receipt.outputs} | {"scene.receipt.json", "scene.json"}
    assert not any(name.startswith(f"{run}/") for name in there)
    assert not [path for path in place.rglob("*") if path.is_file()]  # the work is done, and its folder empty
    data = next(one.name for one in receipt.outputs if one.name.endswith(".tif"))
    command = ["validate", f"{address}/fields/products/scene/{data}", "--lr", str(tmp_path / "in/scene.tif")]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "no receipt names it" not in capsys.readouterr().err


def test_the_months_lead_to_items_and_items_to_what_is_there(catalog: Path, address: str) -> None:
    archive.run(catalog)
    store = ObjectStore(address)

    def follow(name: str, href: str) -> str:
        parts = name.split("/")[:-1]
        for part in href.split("/"):
            parts = parts[:-1] if part == ".." else parts if part == "." else [*parts, part]
        return "/".join(parts)

    todo, seen = ["catalog.json"], set()
    while todo:
        name = todo.pop()
        document = json.loads(store.get(name) or b"null")
        assert document is not None, f"{name} is linked, and not there"
        seen.add(name)
        links = [one["href"] for one in document.get("links", [])]
        todo += [found for href in links if (found := follow(name, href)).endswith(".json") and found not in seen]
        for href in [*links, *(asset["href"] for asset in document.get("assets", {}).values())]:
            assert store.find(follow(name, href)) is not None, (name, href)
    assert "fields/products/scene/scene.json" in seen
    receipt = json.loads(store.get("fields/products/scene/scene.receipt.json") or b"")
    inside = [one["name"] for one in receipt["outputs"] if one["name"].endswith("/scene.json")]
    item = json.loads(store.get(f"fields/products/scene/{inside[0]}") or b"")
    for link in item["links"]:
        assert store.find(follow(f"fields/products/scene/{inside[0]}", link["href"])) is not None
    page = (store.get(f"fields/products/scene/{inside[0][:-5]}.report.html") or b"").decode()
    assert 'href="../scene.receipt.json"' in page
    assert 'href="../../../index.html"' in page


def test_what_fails_is_in_quarantine_there_and_goes_when_it_is_good(
    catalog: Path, address: str, tmp_path: Path
) -> None:
    (tmp_path / "in" / "bad.tif").write_bytes(b"no tiff")
    assert {one.scene: one.result for one in archive.run(catalog)} == {"scene": "published", "bad": "failed"}
    assert "fields/quarantine/bad.json" in names(address)
    result = CliRunner().invoke(app, ["quarantine", "list", "--catalog", str(catalog), "--json"])
    assert [row["scene"] for row in json.loads(result.output)] == ["bad"]
    archive.write_scene(tmp_path / "in" / "bad.tif", seed=3)
    assert {one.scene: one.result for one in archive.run(catalog)} == {"scene": "up to date", "bad": "published"}
    assert not [name for name in names(address) if "/quarantine/" in name]


@pytest.mark.nightly  # by sha256, as the store's own test reads one
def test_a_product_that_rots_is_found_and_made_again(catalog: Path, address: str) -> None:
    archive.run(catalog)
    [data] = [name for name in names(address) if name.endswith(".tif")]
    content = ObjectStore(address).get(data) or b""
    ObjectStore(address).put(data, bytes([*content[:-1], content[-1] ^ 1]))
    done = audit(load_catalog(catalog), archive.DATASET)
    assert [(scene, error.code) for scene, error in done.findings] == [("scene", "PRODUCT_DAMAGED")]
    assert [one.result for one in archive.run(catalog)] == ["published"]


@pytest.mark.nightly
def test_a_stale_list_makes_nothing_damaged(
    catalog: Path, address: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = Proxy(server)
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        proxy.fault = lambda method, path: "stale" if method == "GET" and "list-type=2" in path else ""
        archive.run(catalog)
        archive.write_scene(tmp_path / "in" / "scene.tif", seed=2)
        assert [one.result for one in archive.run(catalog)] == ["published"]
        assert [one.result for one in archive.run(catalog)] == ["up to date"]


def test_a_store_that_is_away_stops_the_night_and_changes_nothing(
    catalog: Path, address: str, server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "RETRIES", 0)
    archive.run(catalog)
    before = names(address)
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=2)
    archive.write_scene(tmp_path / "in" / "other.tif", seed=3)
    proxy = Proxy(server)
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        proxy.fault = lambda method, path: "503" if method == "PUT" and "/products/" in path else ""
        with pytest.raises(AwayError) as found:
            archive.run(catalog)
        assert (found.value.code, found.value.found) == ("STORE_AWAY", "answer 503")
        reopened()
        proxy.fault = lambda method, path: "403"
        for command in (["run", "fields"], ["status"], ["report", "fields"], ["audit"], ["quarantine", "list"]):
            result = CliRunner().invoke(app, [*command, "--catalog", str(catalog)])
            assert isinstance(result.exception, AwayError), (command, result.output)
            assert result.exception.code == "STORE_REFUSED"
            reopened()
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    reopened()
    assert names(address) == before
    assert sorted(one.result for one in archive.run(catalog)) == ["published", "published"]


@pytest.mark.parametrize("privacy", ["restricted", "hidden"])
def test_private_datasets_are_refused_at_once(tmp_path: Path, address: str, privacy: str) -> None:
    with pytest.raises(CatalogError, match=f"privacy: {privacy}.*needs a store that is a folder"):
        load_catalog(catalog_at(tmp_path, address, f"    privacy: {privacy}\n"))


def test_volumes_need_a_folder_unless_they_are_nobodys(tmp_path: Path, address: str) -> None:
    catalog = catalog_at(tmp_path, address)
    catalog.write_text(catalog.read_text().replace("kind: raster", "kind: volume").replace("*.tif", "*.nii.gz"))
    with pytest.raises(
        CatalogError, match=r"volumes are private where nothing is said.*write `privacy: public`"
    ) as found:
        load_catalog(catalog)
    assert "\n" not in str(found.value)
    catalog.write_text(catalog.read_text() + "    privacy: public\n")
    assert load_catalog(catalog).shown_store == address


@pytest.mark.parametrize(
    "address", ["key:hunter2@bucket/x", "key:hunter2/x+y@bucket/x", "key:a@hunter2@bucket/x", "bucket/x?token=hunter2"]
)
def test_no_address_shows_a_password(tmp_path: Path, address: str) -> None:
    with pytest.raises(CatalogError) as found:
        load_catalog(catalog_at(tmp_path, f"s3://{address}"))
    assert "hunter2" not in str(found.value)
    assert "s3, gs or az" in str(found.value)


def test_an_output_by_hand_is_no_address(catalog: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    window = ["--window", "0,0,8,8", "--to", "s3://key:hunter2@bucket/x", "--catalog", str(catalog)]
    for command in (
        ["upscale", "in/scene.tif", "s3://key:hunter2@bucket/x.tif"],
        ["run", "fields", "--scene", "scene", *window],
    ):
        result = CliRunner().invoke(app, command)
        assert isinstance(result.exception, PlanError), result.output
        assert (result.exception.code, "hunter2" in str(result.exception)) == ("BAD_OUTPUT", False)
    assert not (tmp_path / "s3:").exists()


def test_without_obstore_one_line_says_what_to_install(
    catalog: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    reopened()
    for command in (["run", "fields"], ["status"]):
        result = CliRunner().invoke(app, [*command, "--catalog", str(catalog)])
        assert isinstance(result.exception, AwayError), result.output
        told = f"store {address} needs obstore; found it is not installed; pip install 'srcore[s3]'"
        assert (str(result.exception), result.exception.code) == (told, "NOT_INSTALLED")


def test_what_a_restriction_withdraws_goes_from_the_store(catalog: Path, address: str) -> None:
    archive.run(catalog)
    catalog.write_text(catalog.read_text() + "    products: [cog, report]\n")
    list_products(load_catalog(catalog), archive.DATASET)
    assert "fields/collection.json" not in names(address)
    assert not [name for name in names(address) if "/stac/" in name]


def test_a_series_of_dicom_is_published_whole_and_removed_whole(tmp_path: Path, address: str, place: Path) -> None:
    write_series(tmp_path / "in" / "ct")
    catalog = tmp_path / "data_catalog.yaml"
    catalog.write_text(
        f"version: 1\nstore: {address}\ndatasets:\n  fields:\n    kind: volume\n    source: ./in/{{scene}}/\n"
        "    model: nearest-x2\n    privacy: public\n    products: [dicom, report]\n"
    )
    assert [(one.result, one.message) for one in archive.run(catalog)] == [("published", "")]
    product = DatasetPaths(place / "fields").product("ct", ".dicom")
    receipt = Receipt.load(product.receipt)
    assert receipt is not None
    slices = [one.name for one in receipt.outputs if one.name.endswith(".dcm")]
    assert len(slices) > 1
    assert {one.count("/") for one in slices} == {2}  # RUN/ct.dicom/...
    assert [name for name in names(address) if name.endswith(".dcm")] == [f"fields/products/ct/{one}" for one in slices]
    assert is_whole(product, receipt, thorough=True)
    assert [one.result for one in archive.run(catalog)] == ["up to date"]
    ObjectStore(address).delete(f"fields/products/ct/{slices[0]}")
    assert [one.reason for one in scene_states(load_catalog(catalog), "fields")] == ["product damaged"]
    assert remove_product(DatasetPaths(place / "fields"), product, "me", "")
    assert not [name for name in names(address) if "/products/" in name]
