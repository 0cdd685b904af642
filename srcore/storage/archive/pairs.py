"""Pairs of HR and LR on disk, each a folder that is there whole or not at all.

    STORE/DATASET/pairs/SCENE/pair.zarr     hr, hr_valid and, where it was measured, lr, lr_valid: Zarr 3
                              pair.json     sealed: where it comes from, its figures, the checksum of every array,
                                            and the digest of all

It is made hidden, brought to the disk, and renamed.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError, StoreError
from srcore.storage.chunks.arrays import Form, StoredArray, checksum, create_group
from srcore.storage.disk.files import fsync_file, fsync_folder, hidden_folder, make_folder, store_error
from srcore.storage.disk.records import read_sealed, write_sealed

ARRAYS, RECORD = "pair.zarr", "pair.json"
CHUNK_PX = 512
BESIDE = ("pairs.json", "pairs.html", "lease.json")
"""What lies beside the pairs: a scene may be called so, too."""


def pair_folder(folder: Path, scene: str) -> Path:
    """Where the pair of a scene lies in a folder of pairs: under its name, or one that nothing else there has."""
    name = scene.casefold()
    return folder / (f"{scene}.pair" if name in BESIDE or name.endswith(".pair") else scene)


def refuse_stranger(folder: Path) -> None:
    """SourceError OUTPUT_EXISTS where a pair would lie and something is that no collecting has made."""
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


def write_pair(folder: Path, scene: str, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> str:
    """Put a pair in place of the one there; `arrays` (C, ...) by name, `told`: plain values of its origin.

    Gives its digest. StoreError DISK_FULL where it does not fit: what was there stays.
    """
    digest = digest_of(arrays)
    make_folder(folder.parent)
    with hidden_folder(folder) as hidden:
        new, old = hidden / "new", hidden / "old"
        try:
            _fill(new, scene, arrays, {**told, "digest": digest})
            if folder.exists():
                os.rename(folder, old)
            os.rename(new, folder)
            fsync_folder(folder.parent)
        except OSError as error:
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            raise error if isinstance(error, StoreError) else store_error(folder, error) from error
    return digest


def _fill(folder: Path, scene: str, arrays: Mapping[str, NDArray[Any]], told: Mapping[str, Any]) -> None:
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
    return {
        name: StoredArray(folder / ARRAYS / name, str(record["scene"])).checked(name, ..., crc32)
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
        return (record["scene"], record["digest"]) == (scene, digest) and all(
            (folder / ARRAYS / name / "zarr.json").exists() for name in record["sums"]
        )
    return False


def remove_pair(folder: Path) -> bool:
    """Remove a pair; False for a folder that no sealed record says to be one, which stays."""
    if folder.is_symlink() or not folder.is_dir():
        return False
    try:
        read_record(folder)
    except StoreError:
        return False
    shutil.rmtree(folder, ignore_errors=True)
    return True
