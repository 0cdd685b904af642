"""What an object store, its bucket or its network does wrong: one line with a code, and a night that goes on as if
nothing had been. `docs/archive.md` has the table."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import boto3
import pytest

from srcore.errors import AwayError, StoreError
from srcore.storage.objects import client
from srcore.storage.objects import store as objects
from srcore.storage.objects.store import MOST_BYTES, ObjectStore, parts_of
from tests.conftest import ROOT
from tests.faults import archive
from tests.s3 import KEY, Proxy, proxied, reopened
from tests.storage.objects.test_night import catalog_at, names

Fault = Callable[[str, str], str]


def deleting(method: str, path: str) -> bool:
    return method == "DELETE" or (method == "POST" and path.endswith("?delete"))


FAULTS: dict[str, tuple[Fault, str, str]] = {
    "a token that has expired": (
        lambda method, path: "400 ExpiredToken",
        "STORE_REFUSED",
        "the credentials have expired",
    ),
    "a clock that is off": (lambda method, path: "403 RequestTimeTooSkewed", "STORE_REFUSED", "the clock of this"),
    "a wrong key": (lambda method, path: "403 InvalidAccessKeyId", "STORE_REFUSED", "it refuses the credentials"),
    "a policy that lets only read": (
        lambda method, path: "403" if method != "GET" and method != "HEAD" else "",
        "STORE_REFUSED",
        "it lets nothing be deleted",
    ),
    "a policy that lets nothing be put": (
        lambda method, path: "403" if method == "PUT" else "",
        "STORE_REFUSED",
        "they may not do that",
    ),
    "a policy that lets nothing be deleted": (
        lambda method, path: "403" if deleting(method, path) else "",
        "STORE_REFUSED",
        "it lets nothing be deleted",
    ),
    "a lock by default": (
        lambda method, path: "400 InvalidRequest" if method == "PUT" else "",
        "STORE_REFUSED",
        "answer 400",
    ),
    "too many requests": (lambda method, path: "503", "STORE_AWAY", "answer 503"),
    "throttled": (lambda method, path: "429 TooManyRequests", "STORE_AWAY", "answer 429"),
    "a connection that is cut": (lambda method, path: "cut", "STORE_AWAY", "no connection"),
}


@pytest.fixture
def proxy(server: str, address: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Proxy]:
    """In front of the store; without a fault at first."""
    assert address
    monkeypatch.setattr(client, "RETRIES", 0)
    made = Proxy(server)
    with proxied(made) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        yield made
    reopened()


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_line_with_a_code_and_changes_nothing(fault: str, address: str, proxy: Proxy) -> None:
    store = ObjectStore(address)
    store.put("x", b"before")
    proxy.fault, code, words = FAULTS[fault]
    client.refuse_careless.cache_clear()
    with pytest.raises(AwayError) as found:
        store.put_if("x", b"new", store.get("x"))
    assert (found.value.code, words in str(found.value), "\n" in str(found.value)) == (code, True, False), found.value
    assert KEY not in repr(found.value)
    proxy.fault = lambda method, path: ""
    assert store.get("x") == b"before"
    assert store.put_if("x", b"new", b"before")


def test_a_bucket_that_is_deleted_meanwhile_is_no_lost_race(address: str, proxy: Proxy) -> None:
    store = ObjectStore(address)
    assert store.put_if("x", b"before", None)
    proxy.fault = lambda method, path: "404 NoSuchBucket" if method == "PUT" else ""
    with pytest.raises(AwayError, match="no such bucket") as found:
        store.put_if("x", b"new", b"before")
    assert found.value.code == "STORE_REFUSED"
    proxy.fault = lambda method, path: "404 NoSuchKey" if method == "PUT" else ""
    assert not store.put_if("x", b"new", b"before")


@pytest.mark.parametrize(
    "fault",
    [
        "400 ExpiredToken",
        pytest.param("404 NoSuchBucket", marks=pytest.mark.nightly),
        pytest.param("503", marks=pytest.mark.nightly),
        pytest.param("cut", marks=pytest.mark.nightly),
    ],
)
def test_a_night_that_loses_its_store_on_the_way_ends_and_the_next_goes_on(
    fault: str, tmp_path: Path, address: str, proxy: Proxy
) -> None:
    for seed in range(2):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed)
    catalog = catalog_at(tmp_path, address)
    puts = 0

    def later(method: str, path: str) -> str:
        nonlocal puts
        puts += method == "PUT" and path.endswith(".tif")
        return fault if puts > 1 else ""  # the first scene is there; the second is on its way

    proxy.fault = later
    with pytest.raises(AwayError) as found:
        archive.run(catalog)
    assert "\n" not in str(found.value)
    proxy.fault = lambda method, path: ""
    receipts = [one for one in names(address) if one.endswith(".receipt.json")]
    assert receipts == ["fields/products/scene0/scene0.receipt.json"]
    assert {one.scene: one.result for one in archive.run(catalog)} == {"scene0": "up to date", "scene1": "published"}
    runs = {one.rpartition("/")[0] for one in names(address) if one.count("/") == 4}
    assert len(runs) == 2  # what was uploaded before the cut is gone


def test_an_upload_that_is_cut_between_its_parts_is_whole_or_not_there(
    tmp_path: Path, address: str, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PART_BYTES", 5 << 20)
    data, store = bytes(range(256)) * (11 << 12), ObjectStore(address)
    (tmp_path / "large").write_bytes(data)
    proxy.fault = lambda method, path: "cut" if "partNumber=2" in path else ""
    with pytest.raises(AwayError):
        store.take({"large": tmp_path / "large"})
    assert (store.find("large"), (tmp_path / "large").exists()) == (None, True)
    proxy.fault = lambda method, path: ""
    store.take({"large": tmp_path / "large"})
    assert store.find("large") is not None
    assert not (tmp_path / "large").exists()


def test_objects_of_any_size_go_in_as_many_parts_as_s3_takes() -> None:
    for size in (0, 1, 5 << 20, (5 << 30) + 1, 100 << 30, 1 << 40, MOST_BYTES):
        part, at_once = parts_of("x", size)
        assert -(-size // part) <= 10_000
        assert 5 << 20 <= part <= 5 << 30
        assert part * at_once <= max(256 << 20, part)
    with pytest.raises(StoreError) as found:
        parts_of("scene.tif", MOST_BYTES + 1)
    assert found.value.code == "TOO_LARGE"


@pytest.mark.parametrize("prefix", ["archive", "nach Süden/衛星 @=+"])
def test_a_night_on_a_bucket_that_keeps_and_locks_versions(
    prefix: str, tmp_path: Path, address: str, server: str
) -> None:
    s3, bucket = boto3.client("s3", endpoint_url=server), f"{address.split('/')[2]}-locked"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)  # with versions
    address = f"s3://{bucket}/{prefix}"
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=1)
    catalog = catalog_at(tmp_path, f'"{address}"')
    assert [one.result for one in archive.run(catalog)] == ["published"]
    archive.write_scene(tmp_path / "in" / "scene.tif", seed=2)
    assert [one.result for one in archive.run(catalog)] == ["published"]
    assert [one.result for one in archive.run(catalog)] == ["up to date"]
    assert len([one for one in names(address) if one.endswith(".tif")]) == 1


def test_a_bucket_that_locks_all_objects_is_refused(address: str, server: str) -> None:
    s3, bucket = boto3.client("s3", endpoint_url=server), f"{address.split('/')[2]}-locking"
    s3.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    lock = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    s3.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
    with pytest.raises(AwayError, match=r"answer 400.*object lock") as found:
        ObjectStore(f"s3://{bucket}").put_if("x", b"1", None)
    assert (found.value.code, "\n" in str(found.value)) == ("STORE_REFUSED", False)


@pytest.mark.nightly  # two processes that start
def test_two_machines_on_one_store_publish_each_scene_once(tmp_path: Path, address: str) -> None:
    for seed in range(4):
        archive.write_scene(tmp_path / "in" / f"scene{seed}.tif", seed=seed)
    catalog = catalog_at(tmp_path, address)
    code = (
        "import sys, json, pathlib; from tests.faults import archive; "
        "print(json.dumps([[one.scene, one.result] for one in archive.run(pathlib.Path(sys.argv[1]), wait_s=120)]))"
    )
    nights = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(catalog)],
            cwd=ROOT,
            env={**os.environ, "SRCORE_SCRATCH": str(tmp_path / one)},
            stdout=subprocess.PIPE,
        )
        for one in ("a", "b")
    ]
    told = [json.loads(night.communicate(timeout=300)[0].splitlines()[-1]) for night in nights]
    results = [next(result for scene, result in one if scene == f"scene{seed}") for seed in range(4) for one in told]
    assert results.count("published") == 4
    assert set(results) == {"published", "up to date"}
    assert {one.result for one in archive.run(catalog)} == {"up to date"}
