"""Erasing a scene: all that a dataset's folder has of it, its name included; what is not srcore's stays and is told.

    lines of audit and nights --> pair --> quarantine, retired, shadow --> receipt --> files of the product --> scratch

A kill in between leaves less; the same call goes on: what says that there is such a scene goes last.
"""

from __future__ import annotations

import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from srcore.errors import StoreError
from srcore.layout import DatasetPaths, ProductPaths, lease_path
from srcore.storage.archive.ownership import remove_ours
from srcore.storage.archive.pairs import pair_folder, remove_pair
from srcore.storage.archive.publish import interrupted, own_names
from srcore.storage.disk.leases import held
from srcore.storage.disk.records import json_bytes, parse_json, read_sealed, write_sealed
from srcore.storage.disk.store import store_at


def erase_scene(places: DatasetPaths, product: ProductPaths) -> list[Path]:
    """Remove everything of the scene of `product`; gives what of it stays, since srcore did not make it.

    LeaseError when a run works on the scene, StoreError when the store cannot be written.
    """
    scene = product.folder.name
    scratch = places.scratch(scene)
    with held(lease_path(scratch)):
        _erase_lines(places, scene)
        remove_pair(pair_folder(places.pairs, scene))
        _erase_records(places, scene)
        _erase_product(product, scratch)
        for entry in list(scratch.iterdir()):
            if entry.is_dir():
                remove_ours(entry)
        store_at(scratch).delete("publishing.json")
    kept = [product.folder, scratch, pair_folder(places.pairs, scene)]
    return [path for folder in kept if folder.is_dir() for path in sorted(folder.rglob("*")) if not path.is_dir()]


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
    return any(folder.is_dir() for folder in folders) or any(names for _, names in _records(places, scene))


def _records(places: DatasetPaths, scene: str) -> list[tuple[Path, list[str]]]:
    """Records that are called by the scene, by folder: SCENE.json and .html, SCENE.WHEN.json, SCENE.DIGEST.json."""
    more = re.compile(rf"{re.escape(scene)}\.[^.]+\.json")  # not of a scene that is called SCENE.2
    found = []
    for folder in (places.quarantined, places.retired, places.shadows):
        names = [one.name for one in store_at(folder).list()]
        own = (f"{scene}.json", f"{scene}.html")
        found.append((folder, [n for n in names if (n in own if folder == places.quarantined else more.fullmatch(n))]))
    return found


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


def _without(value: Any, scene: str) -> Any:
    """A record without the entries of lists that are a scene, or begin with it: 'SCENE: upscale 3 of 4'."""
    if isinstance(value, dict):
        return {key: _without(one, scene) for key, one in value.items()}
    if isinstance(value, list):
        return [_without(one, scene) for one in value if one != scene and not str(one).startswith(f"{scene}:")]
    return value
