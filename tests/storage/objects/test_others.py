"""Google's and Azure's object stores, by emulators: a night on Azure's; scenes out of both."""

from __future__ import annotations

import http.client
import json
from pathlib import Path
from urllib.parse import quote

import pytest
from obstore.store import AzureStore

from flows.service.pages import with_pages
from srcore.catalog import load_catalog
from srcore.catalog.object_stores import place_of
from srcore.errors import AwayError
from srcore.run.audit import audit
from srcore.storage.archive.publish import Receipt
from srcore.storage.objects import leases
from srcore.storage.objects.client import refuse_careless
from srcore.storage.objects.store import ObjectStore
from srcore.storage.remote.listing import forget_lists
from tests.emulators import Emulator, fake_gcs
from tests.faults import archive
from tests.flows.test_pages import Client
from tests.s3 import reopened

pytestmark = pytest.mark.nightly


def test_a_night_on_azure_publishes_replaces_and_audits(azure_address: str, tmp_path: Path) -> None:
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1)
    catalog = archive.write_catalog(tmp_path)
    catalog.write_text(catalog.read_text().replace("./store", azure_address))
    assert [one.result for one in archive.run(catalog)] == ["published"]
    assert [one.result for one in archive.run(catalog)] == ["up to date"]
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=2)
    assert [one.result for one in archive.run(catalog)] == ["published"]
    receipt = Receipt.load(place_of(azure_address) / "fields/products/scene/scene.receipt.json")
    assert receipt is not None
    names = {one.name.removeprefix("fields/products/scene/") for one in ObjectStore(azure_address).list(deep=True)}
    inside = {name for name in names if "scene" in name and not name.startswith("fields/")}
    assert inside == {one.name for one in receipt.outputs} | {"scene.receipt.json", "scene.json"}
    done = audit(load_catalog(catalog), archive.DATASET)
    assert (done.read, list(done.findings)) == (1, [])
    client = Client(with_pages(None, catalog))  # type: ignore[arg-type]
    assert client.get("/store/fields/index.html").status_code == 200
    assert client.get("/store/fields/map.html").status_code == 200


def test_a_lease_on_azure_is_one_owners(azure_address: str) -> None:
    from srcore.storage.disk.owner import myself

    path = place_of(azure_address) / "fields/.scratch/scene/lease.json"
    mine = myself()
    assert leases.put_if_absent(path, mine)
    assert not leases.put_if_absent(path, myself())
    leases.beat(path, mine)
    assert leases.holder(path) == mine
    leases.remove(path)
    assert not leases.is_there(path)


def test_wrong_keys_of_azure_are_told_and_not_repeated(
    azure: Emulator, azure_address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", "d3Jvbmc=")
    reopened()
    with pytest.raises(AwayError, match="AZURE_STORAGE_ACCOUNT_KEY") as told:
        ObjectStore(azure_address).get("a")
    assert "d3Jvbmc" not in str(told.value)
    refused = [azure_address.replace("bucket-", "none-")]
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_KEY", azure.environment["AZURE_STORAGE_ACCOUNT_KEY"])
    reopened()
    with pytest.raises(AwayError, match="no such bucket"):
        ObjectStore(refused[0]).get("a")


def upload(emulator: Emulator, bucket: str, name: str, data: bytes) -> None:
    """As a user's own program does."""
    if emulator.scheme == "az":
        options = {"allow_http": True}
        AzureStore(bucket.removeprefix("az://"), client_options=options).put(name, data)  # type: ignore[arg-type]
        return
    connection = http.client.HTTPConnection("127.0.0.1", emulator.port)
    where = f"/upload/storage/v1/b/{bucket.removeprefix('gs://')}/o?uploadType=media&name={quote(name, safe='')}"
    connection.request("POST", where, data)
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.parametrize("which", ["az", "gs"])
def test_scenes_are_listed_and_fetched_and_what_changes_is_due(
    which: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    emulator = request.getfixturevalue({"az": "azure", "gs": "google"}[which])
    for name, value in {**emulator.environment, "SRCORE_CACHE": str(tmp_path / "cache")}.items():
        monkeypatch.setenv(name, value)
    bucket = emulator.new_bucket()
    scene = archive.write_scene(tmp_path / "scene.tif", seed=1, shape=(40, 60))
    for name in ("in/a.tif", "in/two words.tif", "in/deeper/b.tif", "in/c.txt"):
        upload(emulator, bucket, name, scene.read_bytes())
    catalog = archive.write_catalog(tmp_path)
    catalog.write_text(catalog.read_text().replace("./in/*.tif", f"{bucket}/in/*.tif"))

    def run() -> dict[str, str]:
        forget_lists()
        return {str(one.scene): one.result for one in archive.run(catalog)}

    first = run()
    assert set(first.values()) == {"published"}
    assert len(first) == 2
    receipt = json.loads((tmp_path / "store/fields/products/a/a.receipt.json").read_text())
    assert receipt["origins"] if "origins" in receipt else f"{bucket}/in/a.tif" in json.dumps(receipt)
    assert set(run().values()) == {"up to date"}
    upload(emulator, bucket, "in/a.tif", archive.write_scene(scene, seed=2, shape=(40, 60)).read_bytes())
    assert run()["a"] == "published"


@pytest.fixture(scope="module")
def google(tmp_path_factory: pytest.TempPathFactory) -> object:
    """Google's emulator, where there is one."""
    with fake_gcs(tmp_path_factory.mktemp("gcs")) as found:
        yield found


def test_an_emulator_of_google_without_conditions_is_no_store(
    google: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It knows no put as Google's own protocol has it, so nothing is published, and that is said in a line."""
    for name, value in {**google.environment, "SRCORE_SCRATCH": str(tmp_path / "stores")}.items():
        monkeypatch.setenv(name, value)
    reopened()
    with pytest.raises(AwayError, match="answer 400; look at region") as told:
        refuse_careless(f"{google.new_bucket()}/archive")
    assert told.value.code == "STORE_REFUSED"
    reopened()
