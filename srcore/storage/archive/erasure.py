"""Erasing a scene: all that a dataset's folder has of it, its name included; what is not srcore's stays and is told.

    rounds --> lines of audit, nights and pairs --> pair --> quarantine, retired, shadow --> receipt
           --> files of the product --> scratch

A kill in between leaves less; the same call goes on: what says that there is such a scene goes last. What a retraining
remembers of the scenes that a model learned from, or was judged by, is a fact of that model, stays and is told.
"""

from __future__ import annotations

import json
import re
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import on_object_store
from srcore.errors import StoreError
from srcore.layout import LEASE, PUBLISHING, DatasetPaths, ProductPaths, lease_path
from srcore.storage.archive.ownership import is_round, remove_ours
from srcore.storage.archive.pairs import TABLE, pair_folder, remove_pair, remove_unfinished
from srcore.storage.archive.publish import interrupted, own_names
from srcore.storage.archive.runs import remove_runs
from srcore.storage.disk.leases import held, is_there
from srcore.storage.disk.records import json_bytes, parse_json, read_sealed, write_sealed
from srcore.storage.disk.store import LocalStore, store_at


def erase_scene(places: DatasetPaths, product: ProductPaths) -> list[Path]:
    """Remove everything of the scene of `product`; gives what of it stays, since srcore did not make it.

    LeaseError when a run works on the scene, StoreError when the store cannot be written.
    """
    scene = product.folder.name
    scratch = places.scratch(scene)
    with held(lease_path(scratch)):
        _erase_rounds(places, scene)
        _erase_lines(places, scene)
        _erase_row(places, scene)
        remove_pair(pair_folder(places.pairs, scene))
        remove_unfinished(pair_folder(places.pairs, scene))
        _erase_records(places, scene)
        if on_object_store(product.folder):
            remove_runs(product)
        else:
            _erase_product(product, scratch)
        for entry in list(scratch.iterdir()) if scratch.is_dir() else []:
            if entry.is_dir():
                remove_ours(entry)
        store_at(scratch).delete(PUBLISHING)
    return [path for folder in (product.folder, scratch, pair_folder(places.pairs, scene)) for path in _files(folder)]


def _files(folder: Path) -> list[Path]:
    """All that lies in a folder, or in a place of an object store."""
    store = store_at(folder)
    if isinstance(store, LocalStore):  # hidden ones, too
        return [path for path in sorted(folder.rglob("*")) if not path.is_dir()] if folder.is_dir() else []
    return [folder / one.name for one in store.list(deep=True)]


def remembered(places: DatasetPaths, scene: str) -> list[Path]:
    """What names a scene that a model learned from, or was judged by, and stays."""
    store, quoted = store_at(places.retrained), json.dumps(scene).encode()
    names = [one.name for one in store.list() if one.name.endswith(".json")]
    return [places.retrained / name for name in names if quoted in (store.get(name) or b"")]


def _erase_product(product: ProductPaths, scratch: Path) -> None:
    """The receipt first: a file without one is no product to anybody."""
    store = store_at(product.folder)
    names = own_names(product) | interrupted(scratch)
    store.delete(product.receipt.name)
    store.delete(*sorted(names))
    with suppress(OSError):  # somebody put a file there, or it is gone
        product.folder.rmdir()


def has_traces(places: DatasetPaths, scene: str) -> bool:
    """Whether a dataset's folder has anything that is called by a scene."""
    folders = (places.product(scene, "").folder, places.scratch(scene), pair_folder(places.pairs, scene))
    there = any(folder.is_dir() or _files(folder) for folder in folders) or bool(_rounds_with(places, scene))
    return there or is_there(lease_path(places.scratch(scene))) or any(names for _, names in _records(places, scene))


def _records(places: DatasetPaths, scene: str) -> list[tuple[Path, list[str]]]:
    """Records that are called by the scene, by folder: SCENE.json and .html, SCENE.WHEN.json, SCENE.DIGEST.json."""
    more = re.compile(rf"{re.escape(scene)}\.[^.]+\.json")  # not of a scene that is called SCENE.2
    found = []
    for folder in (places.quarantined, places.retired, places.shadows):
        names = [one.name for one in store_at(folder).list()]
        own = (f"{scene}.json", f"{scene}.html")
        found.append((folder, [n for n in names if (n in own if folder == places.quarantined else more.fullmatch(n))]))
    return found


def _erase_rounds(places: DatasetPaths, scene: str) -> None:
    """The work of retrainings that were interrupted and have its pixels: the next one begins anew."""
    if found := _rounds_with(places, scene):
        with held(places.retraining / LEASE):
            for folder in found:
                shutil.rmtree(folder, ignore_errors=True)


def _rounds_with(places: DatasetPaths, scene: str) -> list[Path]:
    names = {f"{scene}{ending}" for ending in (".tif", ".nii.gz")}
    rounds = filter(is_round, places.retraining.glob("*"))
    return [folder for folder in rounds if any(path.name in names for path in folder.glob("pairs/**/*"))]


def _erase_records(places: DatasetPaths, scene: str) -> None:
    for folder, names in _records(places, scene):
        store_at(folder).delete(*names)


def _erase_lines(places: DatasetPaths, scene: str) -> None:
    """Its lines in records of the whole dataset."""
    store = store_at(places.root)
    with suppress(StoreError):  # damaged: begun anew by the next audit
        data = store.get(places.audit.name)
        if data is not None and scene in (reads := parse_json(data, places.audit.name)):
            store.put(places.audit.name, json_bytes({name: read for name, read in reads.items() if name != scene}))
    for path in (places.night, places.nights):
        with suppress(StoreError, OSError):  # none, or damaged: begun anew by the next night
            value = read_sealed(path)
            if (left := _without(value, scene)) != value:
                write_sealed(path, left)


def _erase_row(places: DatasetPaths, scene: str) -> None:
    """Its row among the pairs, and what was noted of its files; the page is made again when pairs are collected."""
    table = places.pairs / TABLE
    with suppress(StoreError):  # none, or damaged: begun anew by the next collecting
        value = read_sealed(table)
        gone = {digest for row in value["rows"] if row["scene"] == scene for digest in row["digests"]}
        left = [row for row in value["rows"] if row["scene"] != scene]
        if len(left) < len(value["rows"]):
            store_at(places.pairs).delete(places.pairs_page.name)
            files = {path: seen for path, seen in value["files"].items() if seen[2] not in gone}
            write_sealed(table, {**value, "rows": left, "files": files})


def _without(value: Any, scene: str) -> Any:
    """A record without the entries of lists that are a scene, or begin with it: 'SCENE: upscale 3 of 4'."""
    if isinstance(value, dict):
        return {key: _without(one, scene) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, scene) for one in value if one != scene and not str(one).startswith(f"{scene}:")]
    return value
