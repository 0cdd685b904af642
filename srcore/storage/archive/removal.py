"""Retiring a product: its receipt first, then its files. A kill in between leaves what the next sweep ends.

    publishing.json: names, who, why --> retired/SCENE.WHEN.json --> receipt away --> files away --> record away

From the first step on the names are known to be ours without a receipt, as while a product is published. On an object
store a mark stands in the place of the receipt until all is gone (`archive.runs`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import on_object_store
from srcore.errors import StoreError
from srcore.layout import PUBLISHING, DatasetPaths, ProductPaths, lease_path
from srcore.storage.archive.publish import RECEIPT, is_plain, published_names, top_of
from srcore.storage.archive.runs import is_empty, remove_runs
from srcore.storage.disk.leases import held
from srcore.storage.disk.records import json_bytes, parse_json, write_json
from srcore.storage.disk.store import store_at


def remove_product(places: DatasetPaths, product: ProductPaths, by: str, why: str) -> bool:
    """Remove a published product and record who did so and why; False when there is none.

    LeaseError when a run works on the scene, StoreError when the store cannot be written.
    """
    scene = product.folder.name
    removal = {"scene": scene, "by": by, "why": why, "when": datetime.now(UTC).isoformat(timespec="seconds")}
    with held(lease_path(places.scratch(scene))):
        if on_object_store(product.folder):
            if is_empty(product):
                return False
            _record(places, removal, sorted(published_names(product)))
            return remove_runs(product)
        names = {name for name in published_names(product) if top_of(name) in product.names}
        if not names:
            return False
        write_json(places.scratch(scene) / PUBLISHING, {"names": sorted(names), "removal": removal})
        end_removal(places, scene)
    return True


def _record(places: DatasetPaths, removal: Mapping[str, Any], names: Sequence[str]) -> None:
    day = str(removal.get("when", "")).replace(":", "")
    store_at(places.retired).put(f"{removal['scene']}.{day}.json", json_bytes({**removal, "names": list(names)}))


def begun_removal(scratch: Path) -> Mapping[str, Any] | None:
    """The record of a removal that began and did not end; None where there is none."""
    try:
        data = store_at(scratch).get(PUBLISHING)
        value = parse_json(data, PUBLISHING) if data is not None else {}
    except StoreError:  # not ours to judge: a run of the scene replaces it
        return None
    return value if isinstance(value.get("removal"), dict) and isinstance(value.get("names"), list) else None


def end_removal(places: DatasetPaths, scene: str) -> None:
    """Go on with a removal where it was left. Call it with the scene's lease."""
    scratch = places.scratch(scene)
    record = begun_removal(scratch)
    if record is None:
        return
    folder = places.product(scene, "").folder
    names = [name for name in map(str, record["names"]) if is_plain(name)]
    _record(places, {**record["removal"], "scene": scene}, names)
    store = store_at(folder)
    store.delete(*(name for name in names if name.endswith(RECEIPT)))
    store.delete(*(name for name in names if not name.endswith(RECEIPT)))
    with suppress(OSError):  # somebody put a file there, or it is gone
        folder.rmdir()
    (scratch / PUBLISHING).unlink(missing_ok=True)
