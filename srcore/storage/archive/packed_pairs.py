"""A pair on an object store: its arrays as one object, named by their digest; the record says which of them counts.

STORE/DATASET/pairs/SCENE/DIGEST.zip    pair.zarr, packed as it is
                          pair.json     the record, as in a folder

arrays up and read back --> record --> older arrays go          removed: the arrays, then the record
"""

from __future__ import annotations

import os
import re
import tempfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile

from numpy.typing import NDArray

from srcore.catalog.object_stores import object_store_of
from srcore.errors import StoreError
from srcore.storage.archive.pairs import ARRAYS, RECORD, arrays_in, fill
from srcore.storage.disk.files import make_folder, store_error
from srcore.storage.objects.store import ObjectStore

PACKED = re.compile(r"[0-9a-f]{32}\.zip")


def write_packed(folder: Path, scene: str, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
    """Put a pair in place of the one there; see `archive.pairs.write_pair`. Call it with the lease of the pairs."""
    store, name = _store(folder), _name(str(told["digest"]))
    with _here(folder) as here:
        fill(here / "pair", scene, arrays, told)
        _pack(here / "pair" / ARRAYS, here / name)
        store.take({name: here / name})
        store.put(RECORD, (here / "pair" / RECORD).read_bytes())
    store.delete(*(one for one in packed_names(folder) if one != name))


def read_packed(folder: Path, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays that a record is of, compared with their checksums; StoreError for others, or none."""
    name = _name(str(record["digest"]))
    with _here(folder) as here:
        if _store(folder).fetch(name, here / name) is None:
            raise StoreError(f"{name} cannot be read", "it is not there", "collect the pair again")
        try:
            with ZipFile(here / name) as packed:
                packed.extractall(here)
        except (BadZipFile, RuntimeError, ValueError, EOFError, zlib.error) as error:
            raise StoreError(f"{name} cannot be read", str(error), "collect the pair again") from error
        return arrays_in(here / ARRAYS, record)


def has_packed(folder: Path, digest: str) -> bool:
    """Whether the arrays of a digest are there; their bytes are not read."""
    return _store(folder).find(_name(digest)) is not None


def remove_packed(folder: Path) -> None:
    """Remove the arrays, and then the record that says they are srcore's."""
    _store(folder).delete(*packed_names(folder))
    _store(folder).delete(RECORD)  # a request of its own: within one, nobody says in which order


def packed_names(folder: Path) -> list[str]:
    """Arrays that lie there, by what they are called."""
    return [one.name for one in _store(folder).list() if PACKED.fullmatch(one.name)]


def names_there(folder: Path) -> list[str]:
    """What lies there and is no pair's."""
    return [one.name for one in _store(folder).list(deep=True) if one.name != RECORD and not PACKED.fullmatch(one.name)]


def _store(folder: Path) -> ObjectStore:
    found = object_store_of(folder)
    assert found is not None, "asked by the caller"
    return ObjectStore(*found)


def _name(digest: str) -> str:
    return f"{digest[:32]}.zip"


@contextmanager
def _here(folder: Path) -> Iterator[Path]:
    """A fresh folder of this machine, for the work on a pair; what its disk refuses is a StoreError."""
    place = folder.parent.with_name(".pairs")
    try:
        make_folder(place)
        with tempfile.TemporaryDirectory(dir=place, ignore_cleanup_errors=True) as here:
            yield Path(here)
    except StoreError:
        raise
    except OSError as error:
        raise store_error(place, error) from error


def _pack(arrays: Path, file: Path) -> None:
    with ZipFile(file, "w") as packed:  # without compression: chunks have their own
        for path in sorted(arrays.rglob("*")):
            if path.is_file():
                packed.write(path, os.path.join(ARRAYS, path.relative_to(arrays)))
