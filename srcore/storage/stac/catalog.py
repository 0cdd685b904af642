"""The archive as a static STAC catalog: what QGIS, STAC Browser, odc-stac and pystac open as it stands. STAC 1.1.

STORE/catalog.json                      a child a dataset
STORE/DATASET/collection.json           extents, summaries, bands; a child a month
STORE/DATASET/stac/2024-06.json         the items of a month (undated.json: of scenes whose date nobody knows)
STORE/DATASET/products/SCENE/SCENE.json the items, which EXPORT writes beside the products

All hrefs are relative. A link to an item carries what the collection needs of it and when the item was written, so that
a night opens the items that it made, and writes the months that they are of. A view: made from the items alone, it can
be made again at any time.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import on_object_store, shown
from srcore.errors import StoreError
from srcore.layout import DatasetPaths
from srcore.storage.disk.records import parse_json
from srcore.storage.disk.store import Stored, exists, store_at

VERSION = "1.1.0"
UNDATED = "undated"
COLLECTION, PARTS, ROOT = "collection.json", "stac", "catalog.json"
"""Names in the store; the first is that of `DatasetPaths.collection`, too."""
MADE = "srcore:made"
"""Field of the catalog: another file of that name is somebody's own, and stays."""
_PART = re.compile(r"(\d{4}-\d{2}|undated)\.json")
FACTS = "srcore:item"
"""Field of a link to an item: what the collection needs to know of it."""
SUMMED = ("platform", "constellation", "instruments", "gsd", "grid:code", "srcore:model")
"""Properties of items whose values a collection lists."""
MOST_VALUES = 50
DEAD_SECONDS = 600.0


@dataclass(frozen=True)
class Described:
    """What the catalog says of a dataset besides its scenes."""

    title: str
    description: str
    licence: str = "other"
    """An SPDX identifier, or other."""


@dataclass(frozen=True)
class Entry:
    """What a link says of an item."""

    scene: str
    written_ns: int
    """Time of the item's file: another one is read again."""
    taken: str | None
    """When the scene was taken; None where nobody knows it."""
    bbox: tuple[float, ...] | None
    values: Mapping[str, Any]
    """Of SUMMED."""

    @property
    def part(self) -> str:
        """The month that it is listed under."""
        return self.taken[:7] if self.taken else UNDATED


def item_links(dataset: str, month: str | None) -> list[dict[str, str]]:
    """Links of an item in an archive: to the catalog, to its collection, and to its month (None: nobody knows it)."""
    up = "../.."
    return [
        {"rel": "root", "href": f"{up}/../{ROOT}", "type": "application/json"},
        {"rel": "collection", "href": f"{up}/{COLLECTION}", "type": "application/json", "title": dataset},
        {"rel": "parent", "href": f"{up}/{PARTS}/{month or UNDATED}.json", "type": "application/json"},
    ]


def write_collection(places: DatasetPaths, described: Described) -> bool:
    """Bring a dataset's collection and the catalog up to date with its items; True where something was written.

    Opens the items that are new or newer than their links. A dataset without items has no collection.
    """
    _sweep(places)
    before = _listed(places)
    now = {entry.scene: entry for entry in _entries(places, before)}
    changed = {entry.part for scene, entry in now.items() if before.get(scene) != entry}
    changed |= {entry.part for scene, entry in before.items() if now.get(scene) != entry}
    whole = places.collection
    if not now and not exists(whole):
        return False
    parts = {entry.part for entry in now.values()}
    with _anew_where_it_fails(whole):
        for part in sorted(changed | {part for part in parts if not exists(_part(places, part))}):
            _write_part(places, part, [entry for entry in now.values() if entry.part == part])
        written = _write(whole, _collection(places, described, list(now.values())))
    _refuse_stranger(places.root.parent / ROOT)
    with _anew_where_it_fails(whole):
        return bool(write_root(places.root.parent) or written or changed)


@contextmanager
def _anew_where_it_fails(whole: Path) -> Iterator[None]:
    """Take the collection away when something of it could not be written: by that the next run knows that it has to."""
    try:
        yield
    except (StoreError, OSError):
        with suppress(OSError):
            _remove(whole)
        raise


def _sweep(places: DatasetPaths) -> None:
    """Remove what dead runs left of these files; a living one writes for less than a second."""
    root, store = places.root, places.root.parent
    left = (root.glob(f".{COLLECTION}.*.part"), (root / PARTS).glob(".*.part"), store.glob(f".{ROOT}.*.part"))
    for path in chain(*left):
        with suppress(OSError):  # another run was faster
            if time.time() - path.stat().st_mtime > DEAD_SECONDS:
                path.unlink()


def withdraw(places: DatasetPaths) -> None:
    """Take a dataset's collection and months away, and its line in the catalog; its items stay where they are."""
    whole = places.collection
    if store_at(places.root).find(whole.name) is None:
        return
    _remove(whole)
    for part in _parts(places):
        _remove(part)
    write_root(places.root.parent)


def is_listed(places: DatasetPaths) -> bool:
    """Whether a dataset has a collection that the catalog names: a disk that was full may have left one without."""
    try:
        links = parse_json(_content(places.root.parent / ROOT), ROOT)["links"]
        named = any(link["href"] == f"./{places.root.name}/{COLLECTION}" for link in links)
    except (OSError, StoreError, KeyError, TypeError, ValueError):
        return False
    return named and store_at(places.root).find(COLLECTION) is not None


def write_root(store: Path) -> bool:
    """Bring the catalog of the whole store up to date; True where it was written."""
    _refuse_stranger(store / ROOT)
    folders = store_at(store).folders()
    children = [name for name in folders if store_at(store / name).find(COLLECTION) is not None]
    links = [
        {"rel": "root", "href": f"./{ROOT}", "type": "application/json"},
        *(
            {"rel": "child", "href": f"./{name}/{COLLECTION}", "type": "application/json", "title": name}
            for name in sorted(children)
        ),
    ]
    document = {
        "type": "Catalog",
        "stac_version": VERSION,
        MADE: True,
        "id": "srcore",
        "title": "Super-resolved imagery",
        "description": "Products of srcore, a collection a dataset.",
        "links": links,
    }
    return _write(store / ROOT, document)


def _listed(places: DatasetPaths) -> dict[str, Entry]:
    """What the months list now; a damaged one lists nothing, and is written again."""
    found: dict[str, Entry] = {}
    for path in _parts(places):
        try:
            links = parse_json(_content(path), path.name)["links"]
            entries = [_entry(link[FACTS]) for link in links if link.get("rel") == "item"]
        except (OSError, StoreError, KeyError, TypeError, ValueError):
            _remove(path)
            continue
        found |= {entry.scene: entry for entry in entries}
    return found


def _entry(value: Mapping[str, Any]) -> Entry:
    return Entry(**{**value, "bbox": None if value["bbox"] is None else tuple(value["bbox"])})


def _entries(places: DatasetPaths, before: Mapping[str, Entry]) -> Iterable[Entry]:
    """What every item says; of those that were not written since they were listed, what the link says."""
    for stored in item_files(places.products):
        scene = stored.name.partition("/")[0]
        known = before.get(scene)
        if known is not None and known.written_ns == stored.mtime_ns:
            yield known
        elif (found := _read(places.products / stored.name, scene, stored.mtime_ns)) is not None:
            yield found


def item_files(products: Path) -> list[Stored]:
    """The items of scenes, as SCENE/SCENE.json: on a disk one look a scene, on an object store one for 1000 objects."""
    store = store_at(products)
    if on_object_store(products):
        return [one for one in store.list(deep=True) if one.name == "{0}/{0}.json".format(one.name.partition("/")[0])]
    found = (store.find(f"{scene}/{scene}.json") for scene in store.folders())
    return [one for one in found if one is not None]


def _read(path: Path, scene: str, written_ns: int) -> Entry | None:
    """What an item says; None where it is none: an audit tells of that."""
    try:
        item = parse_json(_content(path), path.name)
        facts = item["properties"]
        bbox = None if item.get("bbox") is None else tuple(float(end) for end in item["bbox"])
        values = {name: facts[name] for name in SUMMED if name in facts}
        return Entry(scene, written_ns, facts["datetime"], bbox, values)
    except (OSError, StoreError, KeyError, TypeError, ValueError):
        return None


def _parts(places: DatasetPaths) -> list[Path]:
    """The months that are there, sorted; what has another name is not ours."""
    names = [one.name for one in store_at(places.root).list(PARTS)]
    return [places.root / name for name in names if _PART.fullmatch(name.removeprefix(f"{PARTS}/"))]


def _refuse_stranger(path: Path) -> None:
    """StoreError for a file that srcore did not make: a store may lie in a folder that has a catalog already."""
    if not exists(path):
        return
    try:
        ours = parse_json(_content(path), path.name).get(MADE) is True
    except (OSError, StoreError):
        ours = False
    if not ours:
        do = "move it, or choose another folder as the store"
        raise StoreError(f"{shown(path)} is left as it is", "srcore did not make it", do)


def _part(places: DatasetPaths, part: str) -> Path:
    return places.root / PARTS / f"{part}.json"


def _write_part(places: DatasetPaths, part: str, entries: Sequence[Entry]) -> None:
    path = _part(places, part)
    if not entries:
        _remove(path)
        return
    links = [
        {"rel": "root", "href": f"../../{ROOT}", "type": "application/json"},
        {"rel": "parent", "href": f"../{COLLECTION}", "type": "application/json"},
        *(
            {
                "rel": "item",
                "href": f"../products/{one.scene}/{one.scene}.json",
                "type": "application/geo+json",
                "title": one.scene,
                FACTS: asdict(one),
            }
            for one in sorted(entries, key=lambda one: (one.taken or "", one.scene))
        ),
    ]
    title = "date unknown" if part == UNDATED else part
    document = {
        "type": "Catalog",
        "stac_version": VERSION,
        "id": f"{places.root.name}-{part}",
        "title": title,
        "description": f"Products of {places.root.name}, {title}.",
        "links": links,
    }
    _write(path, document)


def _collection(places: DatasetPaths, described: Described, entries: Sequence[Entry]) -> dict[str, Any]:
    parts = sorted({entry.part for entry in entries})
    links = [
        {"rel": "root", "href": f"../{ROOT}", "type": "application/json"},
        {"rel": "parent", "href": f"../{ROOT}", "type": "application/json"},
        *(
            {"rel": "child", "href": f"./{PARTS}/{part}.json", "type": "application/json", "title": part}
            for part in parts
        ),
    ]
    return {
        "type": "Collection",
        "stac_version": VERSION,
        "id": places.root.name,
        "title": described.title,
        "description": described.description,
        "license": described.licence,
        "extent": {
            "spatial": {"bbox": [_around([entry.bbox for entry in entries if entry.bbox is not None])]},
            "temporal": {"interval": [_interval(entries)]},
        },
        "summaries": _summaries(entries),
        "item_assets": {
            "data": {"title": "Super-resolved scene", "roles": ["data"]},
            "quicklook": {"title": "LR bicubic | SR", "roles": ["thumbnail", "overview"]},
        },
        "links": links,
    }


def _around(boxes: Sequence[tuple[float, ...]]) -> list[float]:
    """The box around all; the globe where nobody knows."""
    if not boxes:
        return [-180.0, -90.0, 180.0, 90.0]
    low, high = zip(*(box[:2] for box in boxes), strict=True), zip(*(box[2:4] for box in boxes), strict=True)
    return [*map(min, low), *map(max, high)]


def _interval(entries: Sequence[Entry]) -> list[str | None]:
    times = [entry.taken for entry in entries if entry.taken]
    return [min(times, default=None), max(times, default=None)]


def _summaries(entries: Sequence[Entry]) -> dict[str, list[Any]]:
    found: dict[str, set[Any]] = {name: set() for name in SUMMED}
    for entry in entries:
        for name, value in entry.values.items():
            if name in found:
                found[name] |= set(value) if isinstance(value, list) else {value}
    return {name: sorted(values)[:MOST_VALUES] for name, values in found.items() if values}


def _write(path: Path, document: Mapping[str, Any]) -> bool:
    """Write a document where it says something else than what stands there."""
    content = (json.dumps(document, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
    try:
        if _content(path) == content:
            return False
    except (OSError, StoreError):
        pass  # not there, or no document: written now
    store_at(path.parent).put(path.name, content)
    return True


def _content(path: Path) -> bytes:
    """Of a document; FileNotFoundError when there is none, StoreError when it cannot be read."""
    data = store_at(path.parent).get(path.name)
    if data is None:
        raise FileNotFoundError(path.name)
    return data


def _remove(path: Path) -> None:
    store_at(path.parent).delete(path.name)
