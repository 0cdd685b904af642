"""The catalog while it is served: an edit is taken over, a broken one is told once and changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from srcore.catalog import Catalog, load_catalog
from srcore.catalog.elsewhere import is_remote
from srcore.catalog.keys import WILD
from srcore.errors import CatalogError, SRError
from srcore.storage.disk.files import write_atomic

Stamp = tuple[int, int, int] | None
"""Of a file: size, time and number; None where there is none."""


@dataclass(frozen=True)
class Followed:
    """A catalog, as a service follows it."""

    path: Path
    catalog: Catalog
    """In force: the last good one."""
    read: Stamp
    """The file that was last read."""
    seen: Stamp
    """The file that was last seen: one that changes between two looks is still being written."""
    problem: str = ""
    """Why the file of now is not in force; '' when it is."""


def first(path: Path) -> Followed:
    """The catalog when the service starts; CatalogError when it is broken."""
    stamp = _stamp(path)
    return Followed(path, load_catalog(path), stamp, stamp)


def look(before: Followed) -> Followed:
    """As things stand now; the same object when nothing is new."""
    stamp = _stamp(before.path)
    if stamp != before.seen:
        return replace(before, seen=stamp)
    if stamp == before.read:
        return before
    try:
        catalog = load_catalog(before.path)
    except SRError as error:
        return replace(before, read=stamp, problem=str(error))
    if catalog.store != before.catalog.store:  # another service may be on that one
        problem = (
            f"store is {catalog.shown_store} now; found {before.catalog.shown_store} served; start the service again"
        )
        return replace(before, read=stamp, problem=problem)
    return Followed(before.path, catalog, stamp, stamp)


def write_copy(catalog: Catalog, path: Path) -> None:
    """Write `catalog` so that it means the same wherever it lies: runs read this, not what somebody is editing.

    StoreError when it cannot be written; CatalogError where its folder's name would be read as a pattern.
    """
    text = yaml.dump(portable(catalog), Dumper=_Plain, sort_keys=False, allow_unicode=True)
    write_atomic(path, text.encode())


def portable(catalog: Catalog) -> dict[str, Any]:
    """The document of `catalog`, with every path from the root of the disk; addresses stay."""
    document = catalog.model_dump(mode="json", exclude_unset=True, by_alias=True)
    for entry in document["datasets"].values():
        for key in ("source", "hr"):
            found = entry.get(key)
            if isinstance(found, str) and not is_remote(found):  # an address, or a search, is the same everywhere
                entry[key] = _whole(catalog.base, found)
        if entry.get("exclude"):
            folders = [one for one in entry["exclude"] if "/" in one and not is_remote(one)]
            entry["exclude"] = [_whole(catalog.base, one) if one in folders else one for one in entry["exclude"]]
    return document


def _whole(base: Path, pattern: str) -> str:
    """A pattern from the root of the disk: there `old [2024]/` would be one, too, and mean other folders."""
    if WILD.search(str(base)) and not os.path.isabs(pattern):
        raise CatalogError(
            "the catalog's folder has a wildcard in its name, and a service gives its runs whole paths",
            str(base),
            "rename the folder, without * ? [ and {",
        )
    return os.path.join(base, pattern)


class _Plain(yaml.SafeDumper):
    """Without anchors, which a catalog must not have."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _stamp(path: Path) -> Stamp:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns, status.st_ino
