"""Erasing a scene: all that a dataset's folder has of it, its name included; what is not srcore's stays and is told.

    receipt --> files of the product --> scratch, quarantine, retired, shadow, pair --> lines of audit and nights

A kill in between leaves less; the same call goes on.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from srcore.errors import StoreError
from srcore.layout import DatasetPaths, ProductPaths, lease_path
from srcore.storage.archive.ownership import remove_ours
from srcore.storage.archive.pairs import remove_pair
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
        _erase_product(product, scratch)
        for entry in list(scratch.iterdir()):
            if entry.is_dir():
                remove_ours(entry)
        store_at(scratch).delete("publishing.json")
        _erase_records(places, scene)
        remove_pair(places.pairs / scene)
        _erase_lines(places, scene)
    kept = [product.folder, scratch, places.pairs / scene]
    return [path for folder in kept if folder.is_dir() for path in sorted(folder.rglob("*")) if not path.is_dir()]


def _erase_product(product: ProductPaths, scratch: Path) -> None:
    """The receipt first: a file without one is no product to anybody."""
    store = store_at(product.folder)
    names = own_names(product) | interrupted(scratch)
    folders = {name.partition("/")[0] for name in names if "/" in name}
    store.delete(product.receipt.name)
    store.delete(*sorted(name for name in names - folders if len(Path(name).parts) <= 2 and ".." not in name))
    with suppress(OSError):  # somebody put a file there, or it is gone
        product.folder.rmdir()


def _erase_records(places: DatasetPaths, scene: str) -> None:
    """Every record that is called by the scene: SCENE.json, SCENE.html, SCENE.WHEN.json, SCENE.DIGEST.json."""
    store_at(places.quarantined).delete(f"{scene}.json", f"{scene}.html")
    for folder in (places.retired, places.shadows):
        store = store_at(folder)
        store.delete(*(one.name for one in store.list() if one.name.startswith(f"{scene}.")))


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
