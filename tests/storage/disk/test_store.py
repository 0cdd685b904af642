"""The laws of a store: another backend has to hold them, too."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from srcore.storage.archive.publish import find_receipts
from srcore.storage.disk.store import Store, store_at


@pytest.fixture
def make(tmp_path: Path) -> Callable[[], Store]:
    return lambda: store_at(tmp_path / "archive" / "place")


def test_what_was_put_is_there_whole_and_listed(make: Callable[[], Store]) -> None:
    store = make()
    assert store.get("a.json") is None
    assert store.list() == []
    store.put("b.json", b"one")
    store.put("a.json", b"")
    store.put("b.json", b"another")
    assert (make().get("b.json"), make().get("a.json")) == (b"another", b"")
    assert [(stored.name, stored.size_bytes) for stored in store.list()] == [("a.json", 0), ("b.json", 7)]


def test_put_if_looks_first(make: Callable[[], Store]) -> None:
    store = make()
    assert not store.put_if("a", b"new", b"old")
    assert store.put_if("a", b"first", None)
    assert not store.put_if("a", b"second", None)
    assert not store.put_if("a", b"second", b"other")
    assert store.get("a") == b"first"
    assert store.put_if("a", b"second", b"first")
    assert store.get("a") == b"second"
    assert [stored.name for stored in store.list()] == ["a"]


def test_of_many_who_expect_nothing_one_wins(make: Callable[[], Store]) -> None:
    make().put("other", b"")
    with ThreadPoolExecutor(16) as pool:
        won = list(pool.map(lambda index: make().put_if("lease", str(index).encode(), None), range(64)))
    assert won.count(True) == 1
    assert make().get("lease") == str(won.index(True)).encode()


def test_taken_files_are_objects_and_gone_from_where_they_were(make: Callable[[], Store], tmp_path: Path) -> None:
    store = make()
    store.put("a", b"old")
    (tmp_path / "a.new").write_bytes(b"new")
    (tmp_path / "b.new").write_bytes(b"too")
    store.take({"a": tmp_path / "a.new", "b": tmp_path / "b.new"})
    assert (store.get("a"), store.get("b")) == (b"new", b"too")
    assert not (tmp_path / "a.new").exists()


def test_what_is_deleted_is_gone_and_what_was_not_there_is_no_error(make: Callable[[], Store]) -> None:
    store = make()
    store.delete("never", "was")
    store.put("a", b"1")
    store.put("b", b"2")
    store.delete("a", "never")
    assert [stored.name for stored in store.list()] == ["b"]


def test_nothing_behind_a_link_is_found(make: Callable[[], Store], tmp_path: Path) -> None:
    """As it is not listed: a folder of a product that somebody moved away is not whole."""
    make().put("here.tif", b"1")
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "1.dcm").write_bytes(b"1")
    (tmp_path / "archive" / "place" / "scene.dicom").symlink_to(tmp_path / "away")
    assert make().list("scene.dicom") == []
    assert make().find("scene.dicom/1.dcm") is None
    assert make().find("here.tif") is not None


def test_the_folder_of_a_scene_may_be_a_link_to_another_disk(tmp_path: Path) -> None:
    (tmp_path / "away").mkdir()
    (tmp_path / "away" / "scene.receipt.json").write_bytes(b"{}")
    (tmp_path / "products").mkdir()
    (tmp_path / "products" / "scene").symlink_to(tmp_path / "away")
    assert [path.name for path, _ in find_receipts(tmp_path / "products")] == ["scene.receipt.json"]
