"""Which registry this is: what is remembered here of each, so that none is taken for another.

    CACHE/models/registries/KEY/identity.json     which registry stood at an address; KEY is the address's digest
                                NAME@ALIAS.json   what a reference meant there

A registry that was seen here and is gone, or that stands there without its history, is refused where something would be
built on it: its successor would begin at version 1, and the champion would be forgotten.
"""

from __future__ import annotations

import hashlib
import os
import socket
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from http.client import HTTPException
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit
from urllib.request import urlopen

from srcore.errors import StoreError
from srcore.settings import load_settings
from srcore.storage.disk.records import read_sealed, write_sealed

T = TypeVar("T")

PATIENCE_S = 4.0
"""For the first answer of a registry, where a training waits for it."""
LOCK_S = 2.0
"""A registry that another program writes is waited for."""
ABSENT = ("SQLITE_BUSY", "SQLITE_LOCKED", "SQLITE_CANTOPEN", "SQLITE_IOERR", "SQLITE_PERM")
"""What begins the name of an error of sqlite that says nothing against the file."""
SQLITE = "sqlite:///"


def database_of(uri: str) -> Path | None:
    """The file of a sqlite registry; None for a server."""
    return Path(uri.removeprefix(SQLITE)) if uri.startswith(SQLITE) else None


def memory_of(uri: str) -> Path:
    """The folder of what is remembered of the registry at an address."""
    database = database_of(uri)
    address = uri if database is None else SQLITE + os.path.abspath(database)
    return load_settings().cache_folder / "models/registries" / hashlib.sha256(address.encode()).hexdigest()[:16]


def known_identity(uri: str) -> str:
    """Of the registry that stood at the address when it was last asked; '' where none was."""
    path = memory_of(uri) / "identity.json"
    return str(read_sealed(path)["identity"]) if path.exists() else ""


def check_identity(uri: str, identity: str, shown: str) -> None:
    """Remember the registry; StoreError REGISTRY_CHANGED when another one stood at its address."""
    known = known_identity(uri)
    if known and identity != known:
        raise _changed(uri, f"the registry {shown} is not the one that stood there", "one without its history")
    if identity and not known:
        write_sealed(memory_of(uri) / "identity.json", {"identity": identity})


def is_gone(uri: str) -> bool:
    """Whether a registry stood at the address whose file is not there any more."""
    database = database_of(uri)
    return database is not None and not database.exists() and bool(known_identity(uri))


def refuse_fresh(uri: str) -> None:
    """StoreError REGISTRY_CHANGED when a new registry would stand where one was that is gone."""
    if is_gone(uri):
        raise _changed(uri, f"the registry {uri} was there, and is gone", "no file")


def _changed(uri: str, what: str, found: str) -> StoreError:
    do = f"restore it, or remove {memory_of(uri)} to begin without its models"
    return StoreError(what, found, do, code="REGISTRY_CHANGED")


def check_database(uri: str) -> None:
    """StoreError REGISTRY_DAMAGED for a sqlite registry that is no sound database, REGISTRY_AWAY for one that is locked
    or cannot be opened; reads its structure only."""
    database = database_of(uri)
    if database is None or not database.exists():
        return
    try:
        with _opened(database, "ro") as opened:
            found = opened.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        if _name_of(error).startswith(ABSENT):
            raise _unusable(uri, error, writing=False) from error
        found = str(error)
    if found != "ok":
        raise StoreError(
            f"the registry {uri} is damaged", str(found)[:200], "restore it from a copy", code="REGISTRY_DAMAGED"
        )


def check_writable(uri: str) -> None:
    """StoreError NOT_WRITABLE, DISK_FULL or REGISTRY_AWAY for a file of sqlite that takes no change now. Makes none."""
    database = database_of(uri)
    if database is None or not database.exists():
        return
    try:
        with _opened(database, "rw") as opened:
            opened.execute("begin immediate")
            version = opened.execute("pragma user_version").fetchone()[0]
            opened.execute(f"pragma user_version = {version}")  # the same: what it needs beside the file is made
            opened.rollback()
    except sqlite3.Error as error:
        raise _unusable(uri, error, writing=True) from error


def _opened(database: Path, mode: str) -> closing[sqlite3.Connection]:
    address = f"{database.absolute().as_uri()}?mode={mode}"
    return closing(sqlite3.connect(address, uri=True, timeout=LOCK_S, isolation_level=None))


def _name_of(error: sqlite3.Error) -> str:
    return str(getattr(error, "sqlite_errorname", ""))


def _unusable(uri: str, error: sqlite3.Error, *, writing: bool) -> StoreError:
    name, found = _name_of(error), str(error)
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        what, found, do = "does not answer", f"another program has held it for {LOCK_S:g} s", "wait for it to end"
        return StoreError(f"the registry {uri} {what}", found, do, code="REGISTRY_AWAY")
    if name.startswith("SQLITE_FULL"):
        return StoreError(f"the registry {uri} takes no change", found, "free some space", code="DISK_FULL")
    if writing and name.startswith(("SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_PERM")):
        return StoreError(f"the registry {uri} cannot be written", found, "mend its rights", code="NOT_WRITABLE")
    return StoreError(f"the registry {uri} does not answer", found, "see SRCORE_REGISTRY", code="REGISTRY_AWAY")


def refuse_silent(uri: str, what: str) -> None:
    """StoreError REGISTRY_AWAY for a server that sends no answer of any kind; asked before MLflow is imported."""
    scheme, host = urlsplit(uri).scheme, urlsplit(uri).netloc.rpartition("@")[2]
    if scheme not in ("http", "https"):
        return
    with suppress(HTTPException, ValueError):  # an answer of some kind, or nothing that can be asked: MLflow tells
        try:
            urlopen(f"{scheme}://{host}", timeout=PATIENCE_S).close()
        except OSError as error:
            reason = getattr(error, "reason", error)
            if isinstance(reason, (TimeoutError, ConnectionError, socket.gaierror)):
                found = f"no answer in {PATIENCE_S:g} s" if isinstance(reason, TimeoutError) else str(reason)
                raise StoreError(what, found, "see SRCORE_REGISTRY", code="REGISTRY_AWAY") from error


def within(patience_s: float, what: str, ask: Callable[[], T]) -> T:
    """What `ask` gives, or its error; StoreError REGISTRY_AWAY when it takes longer."""
    answers: list[T] = []
    errors: list[BaseException] = []

    def run() -> None:
        try:
            answers.append(ask())
        except BaseException as error:  # raised where it was asked
            errors.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(patience_s)
    if errors:
        raise errors[0]
    if not answers:
        raise StoreError(what, f"no answer in {patience_s:g} s", "see SRCORE_REGISTRY", code="REGISTRY_AWAY")
    return answers[0]
