"""Leases on an object store: an object whose owner changes it with every beat, each change under the condition that it
is still the one that was read.

Nobody's clock is compared with anybody's: a lease is a dead owner's when this machine has seen the very same content
for long enough, by its own clock (noted in `.seen/` of the folder that stands for the store). So a takeover comes that
long after the first look, and who takes over what beats meanwhile changes nothing.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from srcore.catalog.object_stores import object_store_of
from srcore.errors import SRError
from srcore.storage.disk.owner import Owner
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.objects.store import ObjectStore


def holder(path: Path) -> Owner | None:
    """Who holds the lease at `path`; None when nobody does, or when it cannot be read. AwayError: nobody knows."""
    data = _read(path)
    return None if data is None else _owner(data)


def is_there(path: Path) -> bool:
    """Whether there is a lease."""
    return _read(path) is not None


def put_if_absent(path: Path, owner: Owner) -> bool:
    """Make the lease; False where there is one."""
    store, name = _place(path)
    return store.put_if(name, _content(owner, 0), None)


def replace(path: Path, dead: Owner | None, taker: Owner, is_dead: Callable[[], bool]) -> bool:
    """Put `taker` in the place of `dead`; False when it is another's by now, or has changed.

    `is_dead` looks once more, behind the look at the content that is replaced: whose beat comes between stays.
    """
    store, name = _place(path)
    data = store.get(name)
    return data is not None and _owner(data) == dead and is_dead() and store.put_if(name, _content(taker, 0), data)


def beat(path: Path, owner: Owner) -> None:
    """Change the content, as long as it is the owner's."""
    store, name = _place(path)
    data = store.get(name)
    if data is not None and _owner(data) == owner:
        store.put_if(name, _content(owner, int(json.loads(data)["beat"]) + 1), data)


def remove(path: Path) -> None:
    """Take the lease away, and what this machine noted of it."""
    store, name = _place(path)
    store.delete(name)
    _seen(path).unlink(missing_ok=True)


def silent_s(path: Path) -> float | None:
    """Seconds since this machine saw the present content for the first time; None where there is no lease."""
    data = _read(path)
    if data is None:
        _seen(path).unlink(missing_ok=True)
        return None
    body, now, note = hashlib.sha256(data).hexdigest(), time.time(), _seen(path)
    try:
        seen = read_sealed(note) if note.exists() else {}
    except SRError:
        seen = {}
    if seen.get("body") == body and now - float(seen["at"]) >= 0:
        return now - float(seen["at"])
    write_sealed(note, {"body": body, "at": now})
    return 0.0


def leased(folder: Path) -> frozenset[str]:
    """Names of the folders in `folder` that have a lease."""
    store, name = _place(folder)
    return frozenset(ObjectStore(store.address, name).folders())


def _read(path: Path) -> bytes | None:
    store, name = _place(path)
    return store.get(name)


def _place(path: Path) -> tuple[ObjectStore, str]:
    found = object_store_of(path)
    assert found is not None, "asked by the caller"
    return ObjectStore(found[0]), found[1]


def _content(owner: Owner, beats: int) -> bytes:
    return json.dumps({"owner": asdict(owner), "beat": beats}, sort_keys=True).encode()


def _owner(data: bytes) -> Owner | None:
    try:
        return Owner(**json.loads(data)["owner"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return None


def pulse_path(path: Path, owner: Owner) -> Path:
    """The file of this machine that is locked while the owner of the lease at `path` lives (`storage.disk.pulse`)."""
    return _notes(path) / f"{owner.id}.lock"


def _seen(path: Path) -> Path:
    """Where this machine notes when it saw a lease first."""
    name = "/".join(path.relative_to(_notes(path).parent).parts)
    return _notes(path) / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"


def _notes(path: Path) -> Path:
    found = object_store_of(path)
    assert found is not None, "asked by the caller"
    return path.parents[len(found[1].split("/")) - 1] / ".seen"
