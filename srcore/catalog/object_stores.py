"""Object stores: their addresses, and the folder of this machine that stands for each. Nothing here connects.

    s3://bucket/prefix   <->   SCRATCH/s3=3A=2F=2Fbucket=2Fprefix

A place in such a store is a path below that folder, as in a local one. What lies there under a hidden name is this
machine's own (the work on a scene); all else, and every lease but those of `.waiting`, lies on the store under the same
name.
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import quote, unquote

from srcore.errors import PlanError
from srcore.settings import load_settings

BUCKETS = ("s3", "gs", "az")
"""Schemes of object stores, for stores and for sources."""
_ONE = "|".join(BUCKETS)
_ADDRESS = re.compile(rf"(?:{_ONE})://[A-Za-z0-9][A-Za-z0-9._-]{{1,62}}(?:/[\w=@+-][\w.=@+ -]*)*")
_FOLDER = re.compile(rf"(?:{_ONE})=3A=2F=2F")
_SCHEME = re.compile(rf"(?:{_ONE}):/")
MAX_FOLDER_BYTES = 255
"""Of a name on a local disk."""


def is_address(text: str) -> bool:
    """Whether a text means an object store, well-formed or not."""
    return _SCHEME.match(text.strip()) is not None


def checked_address(text: str) -> str:
    """The address without a slash at its end; ValueError for one that is none. The text is never told: some people put
    a password into it."""
    address = text.strip().rstrip("/")
    if not _ADDRESS.fullmatch(address):
        raise ValueError(
            "the address of an object store is SCHEME://BUCKET/PREFIX with the scheme s3, gs or az, without a password "
            "or query, and no part of the prefix begins with a dot"
        )
    if len(_folder(address)) > MAX_FOLDER_BYTES:
        raise ValueError("the address of the object store is too long: choose a shorter prefix")
    return address


def place_of(address: str) -> Path:
    """The folder of this machine that stands for an object store."""
    return load_settings().scratch_folder.absolute() / _folder(address)


def _folder(address: str) -> str:
    return quote(address, safe="").replace("%", "=")  # programs that take a path for a URL would undo a %


def object_store_of(path: Path) -> tuple[str, str] | None:
    """The address of the object store that a path lies in, and its name there ('' for the store); None for a local
    one."""
    if "=3A=2F=2F" not in str(path):
        return None
    parts = path.parts
    at = next((index for index, part in enumerate(parts) if _FOLDER.match(part)), None)
    return None if at is None else (unquote(parts[at].replace("=", "%")), "/".join(parts[at + 1 :]))


def on_object_store(path: Path) -> bool:
    """Whether a path stands for something on an object store, or for this machine's work for it."""
    return object_store_of(path) is not None


def shown(path: Path) -> str:
    """A path as people know it: of an object store its address."""
    found = object_store_of(path)
    return str(path) if found is None else "/".join(filter(None, found))


def refuse_address(output: Path) -> None:
    """PlanError BAD_OUTPUT where somebody gives an address for a file or folder of this machine. It is not repeated."""
    if is_address(str(output)):
        do = "give a path; a catalog may have `store: s3://...`"
        raise PlanError("the output is a file of this machine", "the address of an object store", do, code="BAD_OUTPUT")
