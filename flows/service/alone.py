"""One store, one service: two would mark each other's runs as crashed, and start every night twice."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from srcore.catalog.object_stores import on_object_store, shown
from srcore.errors import CatalogError, LeaseError
from srcore.layout import safe_id
from srcore.regular import read_regular
from srcore.storage.disk.files import make_folder, write_atomic
from srcore.storage.disk.leases import held, holder, is_alive, is_there, leased, told_of
from srcore.storage.disk.outlive import outlive
from srcore.storage.disk.owner import Owner

log = logging.getLogger(__name__)

FOLDER = ".serve"
"""In a store, or a PREFECT_HOME elsewhere: the lease of the service that works on it, and where it answers."""


def places(store: Path, home: Path) -> tuple[Path, ...]:
    """The folders whose leases a service needs: its store's, and PREFECT_HOME's where that lies elsewhere."""
    return (store / FOLDER,) if home.is_relative_to(store) else (store / FOLDER, home / FOLDER)


def places_here(store: Path, home: Path) -> tuple[Path, ...]:
    """The same at a server that others use, too: of an object store each machine may have a service, so its own."""
    whole, *elsewhere = places(store, home)
    return (whole / safe_id(socket.gethostname()) if on_object_store(store) else whole, *elsewhere)


def refuse_second(folders: tuple[Path, ...], say: Callable[[str], None] = log.warning) -> None:
    """CatalogError SERVED_ALREADY when a living service holds one of the leases; writes nothing that stays.

    One that may be dead, of a container before this one, is waited for until that is known; `say` is told.
    """
    for folder in folders:
        lease = folder / "lease.json"
        outlive(lease, say)
        owner = holder(lease)
        if owner is not None and is_alive(lease, owner):
            raise _served(folder, owner)


def refuse_shared(store: Path) -> None:
    """CatalogError SERVED_ALREADY when another machine serves the same object store at a Prefect server that is shared.

    A server of its own would show nothing of what that one does, and start every night once more.
    """
    folder = store / FOLDER
    for name in sorted(leased(folder) or ()) if on_object_store(store) else ():
        lease = folder / name / "lease.json"
        owner = holder(lease)
        if is_there(lease) and is_alive(lease, owner):
            who, _ = told_of(lease, owner)
            raise CatalogError(
                f"{shown(store)} is served already, at a Prefect server that is shared",
                who,
                "serve at that one, too: srcore serve --server URL; or stop the service there first",
                code="SERVED_ALREADY",
            )


@contextmanager
def alone(folders: tuple[Path, ...], url: str) -> Iterator[None]:
    """Hold the leases while it is entered; those of a dead service are taken over. CatalogError as `refuse_second`."""
    with ExitStack() as leases:
        for folder in folders:
            try:
                leases.enter_context(held(folder / "lease.json"))
            except LeaseError as error:
                raise _served(folder, holder(folder / "lease.json")) from error
            make_folder(folder)
            write_atomic(folder / "url", url.encode())
            leases.callback((folder / "url").unlink, missing_ok=True)  # before the lease goes, and its folder with it
        yield


def _served(folder: Path, owner: Owner | None) -> CatalogError:
    try:
        url = read_regular(folder / "url", 1000).decode(errors="replace")
    except OSError:
        url = "it does not answer yet"
    who = f"pid {owner.pid} on {owner.host} since {owner.since}" if owner else "a service that changes just now"
    place = folder.parent if folder.name == FOLDER else folder.parent.parent
    return CatalogError(
        f"{shown(place)} is served already",
        f"{who}: {url}",
        "use that one, or stop it first",
        code="SERVED_ALREADY",
    )
