"""What ended runs left behind: swept by owner (whoever holds a scene's lease owns its leftovers), else by age."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from srcore.catalog.object_stores import on_object_store
from srcore.errors import LeaseError
from srcore.layout import PUBLISHING, DatasetPaths, ProductPaths, lease_path
from srcore.storage.archive.ownership import forget_publishing, remove_ours
from srcore.storage.archive.removal import begun_removal, end_removal
from srcore.storage.archive.runs import sweep_runs
from srcore.storage.disk.leases import held, holder, is_alive, leased

log = logging.getLogger(__name__)

LOST_SECONDS = 7 * 86_400.0
"""A scene that no source names any more can come back: a disk that is not mounted tonight."""
TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-z_]{8}\.part")


def sweep_scene(scratch: Path, product: ProductPaths, keep: str | None) -> None:
    """Remove all work on a scene but the folder `keep`, and its temporaries. Call it with the scene's lease."""
    lease = lease_path(scratch)
    for entry in _entries(scratch):
        if entry.is_dir() or entry.is_symlink():
            if entry.name != keep and not remove_ours(entry):
                log.warning("%s is left as it is: srcore did not make it", entry)
        # a record that a run was writing when it ended
        elif entry.name.startswith(f".{PUBLISHING}.") or (
            entry.name.startswith(f".{lease.name}.") and not is_alive(entry, holder(entry))
        ):
            _unlink(entry)
    if on_object_store(product.folder):
        sweep_runs(product)
    # Temporaries of this product alone: beside the output of `srcore upscale` lie the user's own files.
    names = {path.name for path in (*product.files, product.receipt)}
    for entry in _entries(product.folder):
        found = TEMPORARY.fullmatch(entry.name)
        if found and found["name"] in names:
            _unlink(entry)


def sweep_done(scratch: Path, product: ProductPaths) -> None:
    """Remove what is left of the work on a published scene, unless a run is at it."""
    if scratch.is_dir() and not scratch.is_symlink():
        with suppress(LeaseError), held(lease_path(scratch)):
            sweep_scene(scratch, product, keep=None)
            forget_publishing(scratch)


def sweep_ended(scratch: Path, product: ProductPaths) -> None:
    """Remove what a run left that published the product, and ended before it cleared up; work to go on with stays."""
    lease = lease_path(scratch).name
    if (scratch / PUBLISHING).exists():
        sweep_done(scratch, product)
    elif scratch.is_dir() and all(entry.name.startswith((lease, f".{lease}.")) for entry in _entries(scratch)):
        with suppress(LeaseError), held(lease_path(scratch)):
            pass  # taking the lease and giving it back removes an empty folder


def sweep_dataset(places: DatasetPaths, scenes: Collection[str]) -> None:
    """Remove work on scenes that are not among `scenes`, and temporaries, LOST_SECONDS after their last change.

    A removal that was interrupted is ended at once, and so are leases of dead runs on an object store, where no scratch
    folder of this machine need be beside them.
    """
    _end_leases(places)
    for folder in _entries(places.scratch("scene").parent):
        if not folder.is_dir() or folder.is_symlink() or folder.name in scenes:
            continue
        if begun_removal(folder) is not None:
            with suppress(LeaseError), held(lease_path(folder)):
                end_removal(places, folder.name)
        elif _age(folder) > LOST_SECONDS:
            sweep_done(folder, places.product(folder.name, ""))
    for entry in _entries(places.quarantine("scene").parent):
        if TEMPORARY.fullmatch(entry.name) and _age(entry) > LOST_SECONDS:
            _unlink(entry)


def _end_leases(places: DatasetPaths) -> None:
    scenes = leased(places.scratch("scene").parent) if on_object_store(places.root) else None
    for scene in scenes or ():
        with suppress(LeaseError), held(lease_path(places.scratch(scene))):
            sweep_runs(places.product(scene, ""))  # what the dead owner uploaded; its machine may never come back


def _age(path: Path) -> float:
    """Seconds since `path`, or for a folder anything directly in it, changed."""
    with suppress(OSError):  # something of it went meanwhile: then it is not old
        return time.time() - max(entry.stat().st_mtime for entry in (path, *_entries(path)))
    return 0.0


def _entries(folder: Path) -> list[Path]:
    """What is in a folder; nothing behind a link, which may lead to somebody else's."""
    return list(folder.iterdir()) if folder.is_dir() and not folder.is_symlink() else []


def _unlink(path: Path) -> None:
    with suppress(OSError):  # swept next time
        path.unlink()
