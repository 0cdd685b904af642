"""Publishing on an object store, where nothing is renamed: each run has a folder, and the receipt says which counts.

    receipt as it is --> lease still ours? --> upload PRODUCT/RUN/ --> read back --> list what lies there
                     --> receipt, on condition that it is that one still --> STAC item --> delete what was listed

    products/SCENE/SCENE.receipt.json     names SCENE.tif as RUN/SCENE.tif; the one object that decides
    products/SCENE/RUN/...                the product's files
    products/SCENE/SCENE.json             its STAC item under a name that stays: it leads into RUN/

A reader that has the receipt finds all that it names, or that it was replaced meanwhile, and reads it again. What is
deleted was listed before the receipt was put: whoever uploaded it read an older receipt before, and so can put none
any more (the condition fails). So nothing here rests on the lease or on a clock: the lease saves work, the condition
decides.

A product is removed behind a mark in the place of its receipt, which no older condition fits; it goes last, so that a
removal that was killed is known, and ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.errors import LeaseError, StoreError
from srcore.layout import ProductPaths, Scratch, lease_path
from srcore.storage.archive.publish import CLOSED, Output, Receipt, is_whole, top_of, verified_outputs
from srcore.storage.disk.leases import holder
from srcore.storage.disk.owner import is_this_process
from srcore.storage.disk.records import json_bytes, parse_json
from srcore.storage.disk.store import Store, store_at

RUN = re.compile(r"\d{8}T\d{6}-[0-9a-f]{8}")
"""How the folder of a run is called."""
ROUNDS = 10
"""Looks at a receipt that others change meanwhile."""


def publish_run(product: ProductPaths, scratch: Scratch, receipt: Receipt, verified: Mapping[str, str]) -> Receipt:
    """Publish the staged files as a run's, and sweep the others; gives the receipt with the outputs filled in.

    Every point of failure leaves the old product or the new one, whole. LeaseError when another run published the
    scene, or has its lease; StoreError VERIFY_FAILED for a file that is another one now, or was stored as another one;
    AwayError.
    """
    staged, store, run = ProductPaths(scratch.staged, product.name), store_at(product.folder), _new_run()
    before = store.get(product.receipt.name)
    _refuse_lost(lease_path(scratch.folder.parent))  # behind the look at the receipt: what comes later changes that one
    outputs, item = verified_outputs(staged, verified), None
    if staged.stac.exists():
        item = _in_run(staged.stac)
        outputs = tuple(_of_item(one, item) if one.name == staged.stac.name else one for one in outputs)
    complete = replace(receipt, outputs=tuple(replace(one, name=f"{run}/{one.name}") for one in outputs))
    tops = dict.fromkeys(top_of(one.name) for one in outputs)
    store.take({f"{run}/{top}": staged.folder / top for top in tops})
    left = _beside(store, product, run)
    if not store.put_if(product.receipt.name, json_bytes(complete.to_json()), before):
        raise LeaseError(f"another run published {product.stem} meanwhile", "another receipt", "nothing to do")
    if before is None or CLOSED.encode() in before:
        _refuse_removed(store, product, complete)
    _settle(store, product, complete, item, left)
    return complete


def sweep_runs(product: ProductPaths) -> None:
    """Delete runs that the receipt does not name, which a run left that ended on its way, and mend the STAC item.

    The receipt gets a blank more first: who is about to put one on the old condition fails by it. A removal that was
    killed is ended.
    """
    store = store_at(product.folder)
    before = store.get(product.receipt.name)
    if before is None:
        return  # nothing is published: the next publication sweeps
    try:
        receipt = Receipt.read(before, product.receipt.name)
    except StoreError:
        return  # the scene is due, and so again
    if receipt is None:
        remove_runs(product)
        return
    if not (run := run_of(receipt)):
        return  # its files lie beside it, as somebody brought them from a folder: the next publication sweeps
    left, item = _beside(store, product, run), store.get(f"{run}/{product.stac.name}")
    stale = item is not None and store.get(product.stac.name) != _at_top(item, run)
    if (left or stale) and store.put_if(product.receipt.name, before + b"\n", before):
        _settle(store, product, receipt, item, left)


def remove_runs(product: ProductPaths) -> bool:
    """Remove all that is srcore's in a product's place; False where nothing is. Call it with the scene's lease.

    LeaseError where other runs publish all the time; AwayError: what is left is removed by the same call.
    """
    store, name = store_at(product.folder), product.receipt.name
    for _ in range(ROUNDS):
        before = store.get(name)
        if before is None and not _ours(store, product):
            return False
        if store.put_if(name, _mark(), before):
            store.delete(*_ours(store, product))
            store.delete(name)
            return True
    raise LeaseError(f"{product.stem} is published again and again", f"{ROUNDS} receipts", "run again")


def is_empty(product: ProductPaths) -> bool:
    """Whether nothing of srcore's lies in a product's place on an object store."""
    store = store_at(product.folder)
    return store.find(product.receipt.name) is None and not _ours(store, product)


def run_of(receipt: Receipt) -> str:
    """The folder of the files of a receipt; '' where they lie beside it."""
    name = receipt.outputs[0].name if receipt.outputs else ""
    return top_of(name) if "/" in name else ""


def _new_run() -> str:
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"


def _mark() -> bytes:
    """What no receipt and no other mark is."""
    return json_bytes({CLOSED: secrets.token_hex(8)})


def _refuse_removed(store: Store, product: ProductPaths, receipt: Receipt) -> None:
    """LeaseError, without the receipt, where what it names was removed: no condition tells who read none before a
    product came and went from who reads none today."""
    if is_whole(product, receipt):
        return
    if store.put_if(product.receipt.name, _mark(), json_bytes(receipt.to_json())):
        store.delete(product.receipt.name)
    raise LeaseError(f"{product.stem} was removed meanwhile", "its files are gone", "run again")


def _refuse_lost(lease: Path) -> None:
    """LeaseError unless a run of this process has the lease."""
    owner = holder(lease)
    if owner is None or not is_this_process(owner):
        raise LeaseError("another run took this scene over", str(owner), "let it finish")


def _beside(store: Store, product: ProductPaths, run: str) -> list[str]:
    """What is srcore's in the product's place but its receipt, its item and the run's own files.

    That are other runs, and a product that was brought from a folder; what has another name is a stranger's, and stays.
    """
    brought = product.names - {product.receipt.name, product.stac.name}
    found = [(top_of(one.name), one.name) for one in store.list(deep=True)]
    return [name for top, name in found if top != run and (top in brought or RUN.fullmatch(top))]


def _ours(store: Store, product: ProductPaths) -> list[str]:
    """All of srcore's in the product's place but its receipt."""
    item = [product.stac.name] if store.find(product.stac.name) is not None else []
    return [*item, *_beside(store, product, "")]


def _settle(store: Store, product: ProductPaths, receipt: Receipt, item: bytes | None, left: list[str]) -> None:
    """What follows the receipt: the item that leads to it, and the end of what it does not name."""
    if item is not None:
        store.put(product.stac.name, _at_top(item, run_of(receipt)))
    else:
        left = [*left, product.stac.name]
    store.delete(*left)
    _mend_item(store, product, run_of(receipt))


def _mend_item(store: Store, product: ProductPaths, run: str) -> None:
    """Who was slow may have put its item over that of its successor: put that one again, until none came meanwhile."""
    while (receipt := Receipt.load(product.receipt)) is not None and run_of(receipt) != run:
        run = run_of(receipt)
        item = store.get(f"{run}/{product.stac.name}")
        if item is None:  # made without one; or replaced just now, and the next look at the receipt says so
            store.delete(product.stac.name)
        else:
            store.put(product.stac.name, _at_top(item, run))


def _in_run(item: Path) -> bytes:
    """Make the staged item one that lies a folder deeper than on a disk; gives it."""
    value = parse_json(item.read_bytes(), item.name)
    for link in value.get("links", []):
        if str(link.get("href", "")).startswith("../"):
            link["href"] = f"../{link['href']}"
    data = _json(value)
    with open(item, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    return data


def _of_item(output: Output, item: bytes) -> Output:
    return Output(output.name, hashlib.sha256(item).hexdigest(), len(item))


def _at_top(item: bytes, run: str) -> bytes:
    """The item of a run as it stands beside the receipt: what leads up a folder less deep, the rest into the run's."""
    value = parse_json(item, "STAC item")
    for one in [*value.get("links", []), *value.get("assets", {}).values()]:
        href = str(one.get("href", ""))
        if href.startswith("../"):
            one["href"] = href.removeprefix("../")
        elif "://" not in href and not href.startswith("/"):
            one["href"] = f"./{run}/{href.removeprefix('./')}"
    return _json(value)


def _json(value: Mapping[str, Any]) -> bytes:
    return (json.dumps(value, sort_keys=True, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()
