"""An object store keeps the promises of the store's seam, those that a folder keeps."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import boto3
import pytest

from srcore.catalog.object_stores import checked_address, object_store_of, place_of, shown
from srcore.errors import AwayError, StoreError
from srcore.storage.disk.store import LocalStore, Store, exists, store_at
from srcore.storage.objects import client
from srcore.storage.objects import store as objects
from srcore.storage.objects.store import ObjectStore
from tests.s3 import KEY, Proxy, environment, proxied, reopened


@pytest.fixture(params=["folder", "s3", pytest.param("az", marks=pytest.mark.nightly)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    if request.param == "folder":
        return LocalStore(tmp_path / "store")
    return ObjectStore(request.getfixturevalue({"s3": "address", "az": "azure_address"}[request.param]), "fields")


def test_what_was_put_is_there_and_only_that(store: Store) -> None:
    assert store.get("a") is None
    assert store.list() == []
    store.put("a", b"one")
    store.put("a", b"two")
    store.put("b", b"")
    assert (store.get("a"), store.get("b")) == (b"two", b"")
    assert [(one.name, one.size_bytes) for one in store.list()] == [("a", 3), ("b", 0)]
    found = store.find("a")
    assert found == store.list()[0]
    assert store.find("c") is None
    assert store.sha256("a") == hashlib.sha256(b"two").hexdigest()
    assert store.sha256("c") is None
    store.delete("a", "c")
    assert [one.name for one in store.list()] == ["b"]


def test_a_condition_holds_once(store: Store) -> None:
    assert not store.put_if("a", b"x", b"expected")
    assert store.put_if("a", b"1", None)
    assert not store.put_if("a", b"2", None)
    assert not store.put_if("a", b"2", b"0")
    assert store.put_if("a", b"2", b"1")
    assert not store.put_if("a", b"3", b"1")
    assert store.get("a") == b"2"


def test_files_become_objects_and_folders_come_with_what_is_in_them(store: Store, tmp_path: Path) -> None:
    (tmp_path / "from" / "folder").mkdir(parents=True)
    for name in ("x", "folder/1", "folder/2"):
        (tmp_path / "from" / name).write_bytes(name.encode())
    store.put("other", b"")
    store.take({"x": tmp_path / "from" / "x", "f": tmp_path / "from" / "folder"})
    assert [one.name for one in store.list(deep=True)] == ["f/1", "f/2", "other", "x"]
    assert [one.name for one in store.list()] == ["other", "x"]
    assert [one.name for one in store.list("f")] == ["f/1", "f/2"]
    assert store.folders() == ("f",)
    assert store.get("f/2") == b"folder/2"
    assert list((tmp_path / "from").iterdir()) == []
    store.delete("f/1", "f/2")
    assert [one.name for one in store.list(deep=True)] == ["other", "x"]


def test_a_large_file_goes_in_parts_and_comes_back_in_pieces(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "PIECE_BYTES", 1 << 20)
    data = bytes(range(256)) * ((9 << 20) // 256) + b"end"
    (tmp_path / "large").write_bytes(data)
    store.list()
    if isinstance(store, LocalStore):
        store.folder.mkdir()
    store.take({"large": tmp_path / "large"})
    assert store.sha256("large") == hashlib.sha256(data).hexdigest()
    found = store.find("large")
    assert found is not None
    assert found.size_bytes == len(data)


def test_an_object_is_read_in_pieces_of_one_content(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(objects, "PIECE_BYTES", 3)
    assert store.open("a") is None
    store.put("a", b"0123456789")
    found, again = store.open("a"), store.open("a")
    assert found is not None
    assert again is not None
    assert (found.size_bytes, found.mark) == (10, again.mark)
    assert b"".join(found.pieces(2, 9)) == b"2345678"
    assert b"".join(again.pieces(0, 10)) == b"0123456789"
    before = store.open("a")
    store.put("a", b"other")
    after = store.open("a")
    assert before is not None
    assert after is not None
    assert before.mark != after.mark
    if isinstance(store, ObjectStore):  # a folder reads on in the old file
        with pytest.raises(AwayError):
            list(before.pieces(0, 10))
    after.close()


def test_hidden_names_are_on_their_way(store: Store) -> None:
    store.put(".a", b"")
    store.put("b", b"")
    assert [one.name for one in store.list(deep=True)] == ["b"]


def test_a_place_of_a_store_leads_to_it_and_what_is_hidden_is_this_machines(address: str, place: Path) -> None:
    assert object_store_of(place / "fields/products") == (address, "fields/products")
    assert shown(place / "fields") == f"{address}/fields"
    assert isinstance(store_at(place / "fields/.scratch/a"), LocalStore)
    store_at(place / "fields").put("x", b"1")
    assert ObjectStore(address).get("fields/x") == b"1"
    assert exists(place / "fields/x")
    assert not exists(place / "fields/y")
    assert not place.exists()


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3:///x",
        "s3://b",
        "s3://key:secret@bucket/x",
        "s3://bucket/../x",
        "s3://bucket/.hidden",
        "s3://bucket//x",
        "s3://bucket/x?version=1",
        "s3://bucket/x\n",
        "s3:/bucket/x",
        f"s3://bucket/{'x' * 300}",
    ],
)
def test_an_address_that_is_none_is_refused_and_not_repeated(text: str) -> None:
    if text == "s3://bucket/x\n":
        assert checked_address(text) == "s3://bucket/x"
        return
    with pytest.raises(ValueError, match="address of") as found:
        checked_address(text)
    assert "secret" not in str(found.value)


def test_an_address_has_one_folder_and_back() -> None:
    for text in ("s3://bucket", "gs://bucket/a b/ü", "az://container/x=1/y@z"):
        assert object_store_of(place_of(checked_address(f"{text}/"))) == (text, "")


FAULTS = {
    "403": ("STORE_REFUSED", "it refuses the credentials"),
    "503": ("STORE_AWAY", "answer 503"),
    "cut": ("STORE_AWAY", "no connection"),
    "slow": ("STORE_AWAY", "no answer in time"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_goes_wrong_is_one_line_with_a_code_and_without_a_key(
    fault: str, server: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "REQUEST", "1s")
    monkeypatch.setattr(client, "RETRIES", 0)
    store, proxy = ObjectStore(address), Proxy(server)
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        store.put("x", b"before")
        proxy.fault = lambda method, path: fault
        for call in (
            lambda: store.get("x"),
            lambda: store.put("x", b"new"),
            lambda: store.put_if("x", b"n", b"before"),
        ):
            with pytest.raises(AwayError) as found:
                call()
            code, words = FAULTS[fault]
            assert found.value.code == code
            assert words in str(found.value)
            assert "\n" not in str(found.value)
            assert not {word for word in (KEY, "very-secret") if word in repr(found.value)}
        proxy.fault = lambda method, path: ""
        assert store.get("x") == b"before"


def test_an_upload_that_is_cut_once_is_sent_again(server: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = Proxy(server)
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        faults = iter(["", "cut"])  # the first request opens the store
        proxy.fault = lambda method, path: next(faults, "")
        ObjectStore(address).put("x", bytes(1000))
    assert [one.split()[0] for one in proxy.seen] == ["GET", "PUT", "PUT"]


def test_a_condition_whose_answer_was_lost_was_kept_all_the_same(
    server: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client asks again, and is told that somebody was first: that was itself."""
    proxy, lost = Proxy(server), iter(["lose"])
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        proxy.fault = lambda method, path: next(lost, "") if method == "PUT" and path.endswith("/lease") else ""
        assert ObjectStore(address).put_if("lease", b"mine", None)
    assert sum(one.startswith("PUT") and one.endswith("/lease") for one in proxy.seen) == 2


@pytest.mark.parametrize("passed_over", ["If-None-Match", "If-Match"])
def test_a_server_that_passes_over_conditions_is_refused(
    passed_over: str, server: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with proxied(Proxy(server, lambda method, path: passed_over)) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        for _ in range(2):
            with pytest.raises(AwayError, match="it passes over conditions") as found:
                ObjectStore(address).put_if("lease", b"mine", None)
            assert found.value.code == "STORE_REFUSED"
        assert ObjectStore(address).get("lease") is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", server)
    reopened()
    assert ObjectStore(address).put_if("lease", b"mine", None)
    assert ObjectStore(address).list(deep=True)[0].name == "lease"


def test_what_is_stored_as_something_else_is_found(
    server: str, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"content")
    proxy = Proxy(server, lambda method, path: "spoil" if method == "PUT" else "")
    with proxied(proxy) as endpoint:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        reopened()
        with pytest.raises(StoreError, match="was not stored as it was sent") as found:
            ObjectStore(address).take({"file": tmp_path / "file"})
    assert found.value.code == "VERIFY_FAILED"
    assert (tmp_path / "file").exists()


ENDPOINTS = {
    "nonsense": ("AWS_ENDPOINT_URL is no address", "STORE_REFUSED"),
    "http://": ("AWS_ENDPOINT_URL is no address", "STORE_REFUSED"),
    "http://192.0.2.1:9": ("AWS_ENDPOINT_URL without TLS", "STORE_REFUSED"),
    "http://127.0.0.1:1": ("no connection", "STORE_AWAY"),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_an_endpoint_that_is_none_is_said(endpoint: str, address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "RETRIES", 0)
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    reopened()
    with pytest.raises(AwayError) as found:
        ObjectStore(address).get("x")
    assert (found.value.found, found.value.code) == ENDPOINTS[endpoint]


def test_a_fork_of_who_used_a_store_is_refused_and_does_not_hang(address: str) -> None:
    ObjectStore(address).put("x", b"1")
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            ObjectStore(address).get("x")
        except AwayError as error:
            os.write(write, str(error).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        assert b"start the process by spawn" in pipe.read()


def test_a_missing_bucket_is_no_empty_store(server: str, address: str) -> None:
    assert environment(server)
    with pytest.raises(AwayError, match="no such bucket") as found:
        ObjectStore("s3://nothing-here").get("x")
    assert found.value.code == "STORE_REFUSED"


def test_a_bucket_that_keeps_versions_is_known(server: str, address: str) -> None:
    store = ObjectStore(address)
    store.put("x", b"1")
    assert not store.keeps_versions("x")
    bucket = address.removeprefix("s3://").partition("/")[0]
    versioning = {"Status": "Enabled"}
    boto3.client("s3", endpoint_url=server).put_bucket_versioning(Bucket=bucket, VersioningConfiguration=versioning)
    assert store.put_if("x", b"2", b"1")
    assert store.put_if("x", b"3", store.get("x"))
    assert store.keeps_versions("x")
    assert not store.keeps_versions("nothing")
