"""What is removed or erased from an object store is gone, wherever its removal was killed, and brings nothing wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.errors import LeaseError, StoreError
from srcore.layout import DatasetPaths, lease_path
from srcore.run.privacy import erase, holders
from srcore.run.states import scene_states
from srcore.storage.archive.publish import Receipt, is_whole, publish
from srcore.storage.archive.removal import remove_product
from srcore.storage.archive.runs import is_empty, remove_runs, sweep_runs
from srcore.storage.disk.leases import held
from srcore.storage.objects.store import ObjectStore
from tests.faults import archive
from tests.faults.test_publishing import RECEIPT, Killed, around, put, read, stage
from tests.storage.objects.test_night import catalog_at, names
from tests.storage.objects.test_pairs import killed_at


@pytest.fixture
def catalog(tmp_path: Path, address: str) -> Path:
    for seed in range(2):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed)
    (tmp_path / "in" / "bad.tif").write_bytes(b"no tiff")
    path = catalog_at(tmp_path, address)
    archive.run(path)
    return path


def mentions(address: str, scene: str) -> list[str]:
    """Objects whose name or content has the scene."""
    store, found = ObjectStore(address), []
    for one in store.each():
        if scene in one.name or scene.encode() in (store.get(one.name) or b""):
            found.append(one.name)
    return found


def call(*command: str, catalog: Path) -> str:
    result = CliRunner().invoke(app, [*command, "--catalog", str(catalog)])
    assert result.exception is None, result.exception
    return result.output


def test_an_erased_scene_leaves_no_name_and_a_stranger_s_file_stays(
    catalog: Path, address: str, tmp_path: Path, place: Path
) -> None:
    assert len(mentions(address, "scene1")) > 8
    ObjectStore(address).put("fields/products/scene1/mine.txt", b"")
    told = call("privacy", "erase", "scene1", "--yes", catalog=catalog)
    assert f"left, since srcore did not make it: {address}/fields/products/scene1/mine.txt" in told.replace("\n", "")
    assert mentions(address, "scene1") == ["fields/products/scene1/mine.txt"]
    assert {one.scene: one.state for one in scene_states(load_catalog(catalog), "fields")}["scene1"] == "new"
    call("privacy", "erase", "bad", "--yes", catalog=catalog)
    assert mentions(address, "bad.") == []
    (tmp_path / "in/scene1.tif").unlink()
    assert not [path for path in place.rglob("*scene1*")]
    assert [one.result for one in archive.run(catalog) if one.scene == "scene0"] == ["up to date"]


def test_an_erasure_that_is_killed_is_ended_by_the_same_call(
    catalog: Path, address: str, tmp_path: Path, place: Path
) -> None:
    (tmp_path / "in/scene1.tif").unlink()  # nothing but the store knows of it
    loaded, product = load_catalog(catalog), DatasetPaths(place / "fields").product("scene1", ".tif")
    for at in range(1, 5):  # the lease, the mark in the place of the receipt, the files, the mark
        with pytest.raises(Killed), around(*killed_at(at)):
            erase(loaded, "scene1")
        ObjectStore(address).delete("fields/.scratch/scene1/lease.json")  # as of a process that is gone
        receipt = Receipt.load(product.receipt)  # a reader of it finds all that it names
        assert receipt is None or is_whole(product, receipt)
        assert len(holders(loaded, "scene1")) == 1
    erase(loaded, "scene1")
    assert mentions(address, "scene1") == []


def test_a_removal_keeps_who_and_why_and_the_next_run_makes_the_product_again(catalog: Path, address: str) -> None:
    call("products", "remove", "fields", "scene0", "--yes", "--why", "clouds", "--by", "me", catalog=catalog)
    assert not [one for one in names(address) if "/products/scene0/" in one]
    [record] = [one for one in names(address) if "/retired/" in one]
    told = json.loads(ObjectStore(address).get(record) or b"")
    assert (told["scene"], told["by"], told["why"]) == ("scene0", "me", "clouds")
    assert {one.scene: one.result for one in archive.run(catalog)}["scene0"] == "published"


def test_a_removal_that_is_killed_is_ended_by_the_same_call_or_by_the_next_sweep(place: Path) -> None:
    places = DatasetPaths(place / "fields")
    product = places.product("scene", ".tif")

    def ended_by_call() -> None:
        assert remove_product(places, product, "me", "")

    def ended_by_sweep() -> None:
        sweep_runs(product)  # as each run of the scene does when it begins

    for end in (ended_by_call, ended_by_sweep):
        for at in (2, 3):  # behind the mark, behind the files
            put(places, "old")
            with pytest.raises(Killed), around(*killed_at(at)):
                remove_runs(product)
            assert Receipt.load(product.receipt) is None
            end()
            assert is_empty(product)
    assert not remove_product(places, product, "me", "")


def test_who_slept_while_a_product_came_and_went_publishes_nothing(place: Path) -> None:
    """Its condition, that nothing is published, holds again; its files went with what the others published."""
    places = DatasetPaths(place / "fields")
    product, scratch, sums = stage(places, "asleep", "asleep")
    asked = 0

    def meanwhile() -> None:
        nonlocal asked
        asked += 1
        if asked == 4:  # its files are up, its receipt is not
            with pytest.MonkeyPatch.context() as patch:
                patch.setattr("srcore.storage.archive.runs._refuse_lost", lambda _: None)
                publish(*heir)
            remove_runs(product)

    _, theirs, their_sums = stage(places, "heir", "heir")
    heir = (product, theirs, RECEIPT, their_sums)
    with held(lease_path(places.scratch("scene"))), around(meanwhile, lambda: None), pytest.raises(LeaseError) as found:
        publish(product, scratch, RECEIPT, sums)
    assert "was removed meanwhile" in str(found.value)
    assert read(places) is None
    put(places, "new")
    assert read(places) == "new"


@pytest.mark.nightly
def test_a_bucket_that_keeps_versions_is_told(catalog: Path, address: str, server: str) -> None:
    import boto3

    bucket = address.removeprefix("s3://").partition("/")[0]
    s3 = boto3.client("s3", endpoint_url=server)
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    archive.run(catalog)
    result = CliRunner().invoke(app, ["privacy", "erase", "scene1", "--yes", "--catalog", str(catalog)])
    assert isinstance(result.exception, StoreError)
    assert result.exception.code == "VERSIONS_KEPT"
    assert "erased scene1 from fields" in result.output
    assert mentions(address, "scene1") == []
