"""Records: small JSON documents that are there whole or not at all; sealed ones also say when a bit of them changed.

Numbers of what others may read are finite: JSON knows no others. Sealed records are read by us alone, and hold any.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import orjson

from srcore.errors import StoreError
from srcore.storage.disk.files import hidden_beside
from srcore.storage.disk.store import store_at


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON document, whole or not at all; StoreError for NaN or an infinity in it."""
    store_at(path.parent).put(path.name, json_bytes(value))


def write_sealed(path: Path, value: Mapping[str, Any]) -> None:
    """Write a JSON document with the sha256 of its content, whole or not at all."""
    sealed = json.dumps({**value, "seal": _seal(value)}, sort_keys=True)  # on one line: with an indent Python writes it
    store_at(path.parent).put(path.name, (sealed + "\n").encode())


def write_sealed_once(path: Path, value: Mapping[str, Any]) -> bool:
    """As `write_sealed`, unless something stands there; of several writers at once one has its way.

    False for the others.
    """
    hidden = hidden_beside(path)
    try:
        write_sealed(hidden, value)
        os.link(hidden, path)  # a rename would replace what another writer put there; a link fails
    except FileExistsError:
        return False
    finally:
        hidden.unlink(missing_ok=True)
    return True


def read_sealed(path: Path) -> dict[str, Any]:
    """The content that `write_sealed` wrote; StoreError when it is not that."""
    # not by orjson: it knows no NaN, and takes integers of more than 64 bits for floats
    value = _object(_content(path), path.name, json.loads)
    if value.pop("seal", None) != _seal(value):
        raise StoreError(f"{path.name} is damaged", "another checksum", "run again", code="TILE_DAMAGED")
    return value


def _seal(value: Mapping[str, Any]) -> str:
    # over the parsed value, not the bytes: the seal stands inside the document that it seals
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; StoreError when the file is not one."""
    return parse_json(_content(path), path.name)


def _content(path: Path) -> bytes:
    try:
        data = store_at(path.parent).get(path.name)
    except StoreError as error:
        raise StoreError(f"{path.name} cannot be read", error.found, "run again with --force") from error
    if data is None:
        raise StoreError(f"{path.name} cannot be read", "it is not there", "run again with --force")
    return data


def parse_json(data: bytes, name: str) -> dict[str, Any]:
    """The JSON object in `data`; StoreError, which calls it `name`, when there is none."""
    # a night reads each receipt of the archive: a quarter of json's time. A view: what an object store gives is bytes
    # and more, and orjson takes bytes alone
    return _object(data, name, lambda content: orjson.loads(memoryview(content)))


def _object(data: bytes, name: str, parsed: Callable[[bytes], Any]) -> dict[str, Any]:
    try:
        value = parsed(data)
    except (ValueError, RecursionError) as error:  # of 100,000 brackets
        raise StoreError(f"{name} cannot be read", str(error), "run again with --force") from error
    if not isinstance(value, dict):
        raise StoreError(f"{name} is not a JSON object", type(value).__name__, "run again with --force")
    return value


def json_bytes(value: Mapping[str, Any]) -> bytes:
    """A JSON document as it is stored; StoreError for NaN or an infinity in it."""
    try:
        return (json.dumps(value, indent=1, sort_keys=True, allow_nan=False) + "\n").encode()
    except ValueError as error:
        raise StoreError("a record holds a number that JSON does not know", str(error), "report it: a fault") from error
