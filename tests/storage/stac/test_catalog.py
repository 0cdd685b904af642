"""The archive as a STAC catalog: walked by pystac, kept up to date by little, and the same whatever came first."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pystac
import pytest

from srcore.errors import StoreError
from srcore.layout import DatasetPaths
from srcore.storage.disk import store
from srcore.storage.stac.catalog import Described, is_listed, item_links, withdraw, write_collection, write_root

DESCRIBED = Described("Fields", "Drawn fields.", "CC-BY-4.0")


def add(places: DatasetPaths, scene: str, taken: str | None, west: float | None = 8.0) -> Path:
    """An item as EXPORT writes it, with what the catalog looks at."""
    box = None if west is None else [west, 46.0, west + 0.5, 46.5]
    corners = None if box is None else [[box[i], box[j]] for i, j in ((0, 1), (2, 1), (2, 3), (0, 3), (0, 1))]
    item: dict[str, Any] = {
        "type": "Feature",
        "stac_version": "1.1.0",
        "stac_extensions": [],
        "id": scene,
        "collection": places.root.name,
        "geometry": None if corners is None else {"type": "Polygon", "coordinates": [corners]},
        "properties": {"datetime": taken, "platform": "sentinel-2a", "gsd": 5.0, "instruments": ["msi"]},
        "assets": {},
        "links": item_links(places.root.name, None if taken is None else taken[:7]),
    }
    if box is not None:
        item["bbox"] = box
    if taken is None:
        item["properties"] |= {"start_datetime": "1970-01-01T00:00:00Z", "end_datetime": "2024-06-01T00:00:00Z"}
    path = places.products / scene / f"{scene}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(item))
    return path


@pytest.fixture
def places(tmp_path: Path) -> DatasetPaths:
    found = DatasetPaths(tmp_path / "store/fields")
    add(found, "a", "2024-06-01T10:30:21Z")
    add(found, "b", "2024-06-30T10:30:21Z", west=9.0)
    add(found, "c", "2023-01-05T10:30:21Z", west=7.0)
    add(found, "d_e", None, west=None)
    return found


def contents(places: DatasetPaths) -> dict[str, bytes]:
    files = [places.root.parent / "catalog.json", places.root / "collection.json", *(places.root / "stac").glob("*")]
    return {str(path.relative_to(places.root.parent)): path.read_bytes() for path in files}


def test_pystac_walks_it_from_its_root_and_finds_it_valid(places: DatasetPaths) -> None:
    assert write_collection(places, DESCRIBED)
    root = pystac.Catalog.from_file(str(places.root.parent / "catalog.json"))
    [collection] = root.get_children()
    assert isinstance(collection, pystac.Collection)
    collection.validate()
    assert (collection.id, collection.title, collection.license) == ("fields", "Fields", "CC-BY-4.0")
    assert collection.extent.spatial.bboxes == [[7.0, 46.0, 9.5, 46.5]]
    assert [str(end)[:10] for end in collection.extent.temporal.intervals[0]] == ["2023-01-05", "2024-06-30"]
    assert collection.summaries.lists == {"gsd": [5.0], "instruments": ["msi"], "platform": ["sentinel-2a"]}
    months = {month.title: [item.id for item in month.get_items()] for month in collection.get_children()}
    assert months == {"2023-01": ["c"], "2024-06": ["a", "b"], "date unknown": ["d_e"]}
    for item in root.get_items(recursive=True):
        assert item.get_parent() is not None
        assert item.get_collection() is not None
        assert item.get_root() is not None


def test_a_night_opens_what_is_new_and_writes_its_months(places: DatasetPaths, monkeypatch: pytest.MonkeyPatch) -> None:
    write_collection(places, DESCRIBED)
    before = contents(places)
    opened: list[str] = []
    real = store.read_regular

    def counted(path: Path, *more: Any) -> bytes:
        opened.append(path.name)
        return real(path, *more)

    monkeypatch.setattr(store, "read_regular", counted)
    assert not write_collection(places, DESCRIBED)
    assert not {"a.json", "b.json", "c.json"} & set(opened)
    add(places, "new", "2024-06-15T00:00:00Z", west=20.0)
    opened.clear()
    assert write_collection(places, DESCRIBED)
    assert [name for name in opened if name in ("a.json", "b.json", "c.json", "new.json")] == ["new.json"]
    now = contents(places)
    assert {name for name in now if now[name] != before[name]} == {"fields/collection.json", "fields/stac/2024-06.json"}


def test_what_goes_or_moves_is_followed_and_the_order_does_not_matter(places: DatasetPaths, tmp_path: Path) -> None:
    write_collection(places, DESCRIBED)
    shutil.rmtree(places.products / "c")
    add(places, "a", "2022-02-02T00:00:00Z", west=30.0)
    write_collection(places, DESCRIBED)
    assert sorted(path.name for path in (places.root / "stac").iterdir()) == [
        "2022-02.json",
        "2024-06.json",
        "undated.json",
    ]
    assert json.loads(contents(places)["fields/collection.json"])["extent"]["spatial"]["bbox"] == [
        [9.0, 46, 30.5, 46.5]
    ]
    after = contents(places)
    shutil.rmtree(places.root / "stac")
    write_collection(places, DESCRIBED)
    assert contents(places) == after


@pytest.mark.parametrize("damage", [b"", b"{", b'{"links": [{"rel": "item"}]}', b"[]", b"\xff" * 50])
def test_damage_is_written_again_and_a_damaged_item_is_left_out(places: DatasetPaths, damage: bytes) -> None:
    write_collection(places, DESCRIBED)
    right = contents(places)
    (places.root / "stac/2024-06.json").write_bytes(damage)
    (places.root / "collection.json").write_bytes(damage)
    write_collection(places, DESCRIBED)
    assert contents(places) == right
    (places.products / "b/b.json").write_bytes(damage)
    write_collection(places, DESCRIBED)
    listed = json.loads(contents(places)["fields/stac/2024-06.json"])["links"]
    assert [link["title"] for link in listed if link["rel"] == "item"] == ["a"]


def test_a_pipe_in_place_of_an_item_holds_nobody_up(places: DatasetPaths) -> None:
    os.mkfifo(places.products / "a" / "pipe")
    (places.products / "a/a.json").unlink()
    os.mkfifo(places.products / "a/a.json")
    assert write_collection(places, DESCRIBED)


@pytest.mark.parametrize("number", range(1, 6))
def test_what_could_not_be_synced_is_known_by_a_collection_that_is_missing(
    places: DatasetPaths, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """A page that is newer than all products says that nothing is to do: only the collection can say otherwise."""
    calls, write = [], store.write_atomic

    def full(path: Path, data: bytes) -> None:
        write(path, data)  # the rename was done
        calls.append(path.name)
        if len(calls) == number:
            raise StoreError("the disk is full", code="DISK_FULL")

    monkeypatch.setattr(store, "write_atomic", full)
    with pytest.raises(StoreError, match="the disk is full"):
        write_collection(places, DESCRIBED)
    assert not places.collection.exists()
    monkeypatch.undo()
    write_collection(places, DESCRIBED)
    again = contents(places)
    shutil.rmtree(places.root / "stac")
    places.collection.unlink()
    (places.root.parent / "catalog.json").unlink()
    write_collection(places, DESCRIBED)
    assert again == contents(places)
    assert len(again) == 5  # as many as there are points to break


def test_no_products_no_collection(tmp_path: Path) -> None:
    places = DatasetPaths(tmp_path / "store/empty")
    places.root.mkdir(parents=True)
    assert not write_collection(places, DESCRIBED)
    assert list(places.root.iterdir()) == []
    assert write_root(tmp_path / "store")
    assert not write_root(tmp_path / "store")


def test_what_dead_runs_left_goes_and_what_a_living_one_writes_stays(places: DatasetPaths) -> None:
    write_collection(places, DESCRIBED)
    names = (
        ".collection.json.1.part",
        "stac/.2024-06.json.2.part",
        "../.catalog.json.3.part",
        "stac/.2024-06.json.4.part",
    )
    for name in names:
        (places.root / name).touch()
    for name in names[:3]:
        os.utime(places.root / name, (0, 0))
    write_collection(places, DESCRIBED)
    assert [(places.root / name).exists() for name in names] == [False, False, False, True]


@pytest.mark.parametrize("content", ['{"type": "Catalog", "id": "mine", "links": []}', "notes", "[]"])
def test_files_of_somebody_else_stay_as_they_are(places: DatasetPaths, content: str) -> None:
    root, other = places.root.parent / "catalog.json", places.root / "stac/notes.json"
    other.parent.mkdir()
    for path in (root, other):
        path.write_text(content)
    with pytest.raises(StoreError, match="srcore did not make it"):
        write_collection(places, DESCRIBED)
    with pytest.raises(StoreError, match="srcore did not make it"):
        withdraw(places)
    assert root.read_text() == other.read_text() == content


def test_a_collection_that_no_catalog_names_is_not_listed(places: DatasetPaths) -> None:
    root = places.root.parent / "catalog.json"
    assert not is_listed(places)
    write_collection(places, DESCRIBED)
    assert is_listed(places)
    whole = root.read_bytes()
    for left in (b"", b"{}", b'{"links": []}', whole.replace(b"fields", b"others")):  # a disk that was full
        root.write_bytes(left)
        assert not is_listed(places)
    root.unlink()
    assert not is_listed(places)
    root.write_bytes(whole)
    places.collection.unlink()
    assert not is_listed(places)
