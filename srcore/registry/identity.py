"""Which registry this is: what is remembered here of each, so that none is taken for another.

    CACHE/models/registries/KEY/identity.json     which registry stood at an address; KEY is the address's digest
                                NAME@ALIAS.json   what a reference meant there

A registry that was seen here and is gone, or that stands there without its history, is refused where something would be
built on it: its successor would begin at version 1, and the champion would be forgotten.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeVar

from srcore.errors import StoreError
from srcore.settings import load_settings
from srcore.storage.disk.records import read_sealed, write_sealed

T = TypeVar("T")

PATIENCE_S = 4.0
"""For the first answer of a registry, where a training waits for it."""
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


def refuse_fresh(uri: str) -> None:
    """StoreError REGISTRY_CHANGED when a new registry would stand where one was that is gone."""
    if known_identity(uri):
        raise _changed(uri, f"the registry {uri} was there, and is gone", "no file")


def _changed(uri: str, what: str, found: str) -> StoreError:
    do = f"restore it, or remove {memory_of(uri)} to begin without its models"
    return StoreError(what, found, do, code="REGISTRY_CHANGED")


def check_database(uri: str) -> None:
    """StoreError REGISTRY_DAMAGED for a sqlite registry that is no sound database; reads its structure only."""
    database = database_of(uri)
    if database is None or not database.exists():
        return
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True, timeout=1)) as opened:
            found = opened.execute("pragma quick_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise StoreError(
            f"the registry {uri} is damaged", str(found)[:200], "restore it from a copy", code="REGISTRY_DAMAGED"
        )


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
