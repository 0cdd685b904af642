"""Pairs of HR and LR on disk, each a folder that is there whole or not at all.

    STORE/DATASET/pairs/SCENE/pair.zarr     hr, hr_valid and, where it was measured, lr, lr_valid: Zarr 3
                              pair.json     sealed: where it comes from, its figures, the checksum of every array,
                                            and the digest of all

It is made hidden, brought to the disk, and renamed. On an object store its arrays are one object (`packed_pairs`).
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.catalog.object_stores import on_object_store, shown
from srcore.errors import SourceError, StoreError
from srcore.storage.chunks.arrays import Form, StoredArray, checksum, create_group
from srcore.storage.disk.files import (
    fsync_file,
    fsync_folder,
    hidden_folder,
    keep_from_others,
    make_folder,
    store_error,
)
from srcore.storage.disk.records import read_sealed, write_sealed

ARRAYS, RECORD = "pair.zarr", "pair.json"
CHUNK_PX = 512
TABLE = "pairs.json"
"""Which scenes are pairs, and why the others are none."""
BESIDE = (TABLE, "pairs.html", "lease.json")
"""What lies beside the pairs: a scene may be called so, too."""


def pair_folder(folder: Path, scene: str) -> Path:
    """Where the pair of a scene lies in a folder of pairs: under its name, or one that nothing else there has."""
    name = scene.casefold()
    return folder / (f"{scene}.pair" if name in BESIDE or name.endswith(".pair") else scene)


def refuse_stranger(folder: Path) -> None:
    """SourceError OUTPUT_EXISTS where a pair would lie and something is that no collecting has made."""
    if on_object_store(folder):
        from srcore.storage.archive import packed_pairs  # it stands on this module, here and in all that follow

        if there := packed_pairs.names_there(folder):
            raise SourceError(
                f"{shown(folder)} is there, and is no pair",
                ", ".join(there[:3]),
                "move it away",
                code="OUTPUT_EXISTS",
            )
        return
    if not os.path.lexists(folder):
        return
    ours = folder.is_dir() and not folder.is_symlink()
    others = sorted(path.name for path in folder.iterdir() if path.name not in (ARRAYS, RECORD)) if ours else []
    if others or not ours:
        what, found = f"{folder} is there, and is no pair", ", ".join(others[:3]) or "no folder"
        raise SourceError(what, found, "move it away", code="OUTPUT_EXISTS")


def digest_of(arrays: Mapping[str, NDArray[Any]]) -> str:
    """sha256 of arrays: names, dtypes, shapes and all numbers."""
    found = hashlib.sha256()
    for name, values in sorted(arrays.items()):
        found.update(f"{name} {values.dtype.str} {values.shape} ".encode())
        found.update(np.ascontiguousarray(values).data)
    return found.hexdigest()


def write_pair(
    folder: Path, scene: str, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any], *, private: bool = False
) -> str:
    """Put a pair in place of the one there; `arrays` (C, ...) by name, `told`: plain values of its origin. A private
    one is its owner's alone: no object store takes it.

    Gives its digest. StoreError DISK_FULL where it does not fit: what was there stays.
    """
    digest = digest_of(arrays)
    if on_object_store(folder):
        from srcore.storage.archive import packed_pairs

        packed_pairs.write_packed(folder, scene, arrays, {**told, "digest": digest})
        return digest
    make_folder(folder.parent)
    remove_unfinished(folder)
    with hidden_folder(folder) as hidden:
        new, old = hidden / "new", hidden / "old"
        try:
            fill(new, scene, arrays, {**told, "digest": digest})
            if private:
                keep_from_others(new)
            if folder.exists():
                os.rename(folder, old)
            os.rename(new, folder)
            fsync_folder(folder.parent)
        except OSError as error:
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            raise error if isinstance(error, StoreError) else store_error(folder, error) from error
    return digest


def fill(folder: Path, scene: str, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
    """Make a pair in a folder that is not there yet; what it holds is on the disk when it returns."""
    folder.mkdir()
    forms = {
        name: Form(values.shape, str(values.dtype), (1, *(min(CHUNK_PX, n) for n in values.shape[1:])))
        for name, values in arrays.items()
    }
    create_group(folder / ARRAYS, forms)
    for name, values in arrays.items():
        StoredArray(folder / ARRAYS / name, scene).write(..., values)
    sums = {name: checksum(values) for name, values in arrays.items()}
    write_sealed(folder / RECORD, {**told, "scene": scene, "sums": sums})
    for path in sorted(folder.rglob("*"), reverse=True):
        fsync_folder(path) if path.is_dir() else fsync_file(path)
    fsync_folder(folder)


def read_record(folder: Path) -> dict[str, Any]:
    """What is told of a pair; StoreError when it is not there or damaged."""
    return read_sealed(folder / RECORD)


def read_arrays(folder: Path) -> dict[str, NDArray[Any]]:
    """Its arrays by name, compared with their checksums; StoreError when one of them is not what was written."""
    record = read_record(folder)
    if on_object_store(folder):
        from srcore.storage.archive import packed_pairs

        return packed_pairs.read_packed(folder, record)
    return arrays_in(folder / ARRAYS, record)


def arrays_in(group: Path, record: Mapping[str, Any]) -> dict[str, NDArray[Any]]:
    """The arrays of a group, compared with the checksums of their record; StoreError as `read_arrays`."""
    return {
        name: StoredArray(group / name, str(record["scene"])).checked(name, ..., crc32)
        for name, crc32 in record["sums"].items()
    }


def require_arrays(folder: Path, digest: str) -> dict[str, NDArray[Any]]:
    """As `read_arrays`; StoreError PAIR_CHANGED unless they are those of this digest."""
    try:
        arrays = read_arrays(folder)
    except (StoreError, KeyError, AttributeError, TypeError) as error:
        raise changed(folder.name, str(error)) from error
    if digest_of(arrays) != digest:
        raise changed(folder.name, "other numbers under its name")
    return arrays


def changed(scene: str, found: str) -> StoreError:
    """StoreError PAIR_CHANGED for a pair that is not what was collected."""
    do = "restore it, or collect it again: `srcore pairs collect DATASET`, with --force"
    return StoreError(f"the collected pair {scene} is not what was collected", found, do, code="PAIR_CHANGED")


def is_whole(folder: Path, scene: str, digest: str) -> bool:
    """Whether the pair of this scene and digest is there, with all its arrays; their bytes are not read."""
    with suppress(StoreError, KeyError, AttributeError):
        record = read_record(folder)
        if on_object_store(folder):
            from srcore.storage.archive import packed_pairs

            same = (record["scene"], record["digest"]) == (scene, digest)
            return same and packed_pairs.has_packed(folder, digest)
        return (record["scene"], record["digest"]) == (scene, digest) and all(
            (folder / ARRAYS / name / "zarr.json").exists() for name in record["sums"]
        )
    return False


def remove_unfinished(folder: Path) -> None:
    """Remove what writings of a pair that were killed left beside it. Call it with the lease of the pairs."""
    left = re.compile(rf"\.{re.escape(folder.name)}\.[a-z0-9_]{{8}}\.part")
    for path in folder.parent.glob(".*.part"):
        ours = left.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        if ours and {one.name for one in path.iterdir()} <= {"new", "old"}:
            shutil.rmtree(path, ignore_errors=True)


def remove_pair(folder: Path) -> bool:
    """Remove a pair; False for a folder that no sealed record says to be one, which stays."""
    there = on_object_store(folder)
    if not there and (folder.is_symlink() or not folder.is_dir()):
        return False
    try:
        read_record(folder)
    except StoreError:
        return False
    if there:
        from srcore.storage.archive import packed_pairs

        packed_pairs.remove_packed(folder)
        return True
    shutil.rmtree(folder, ignore_errors=True)
    return True
