"""Zarr arrays of the work store: made, opened, read and written, with errors that name the scene."""

from __future__ import annotations

import json
import shutil
import zlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.core.buffer import Buffer
from zarr.core.metadata import ArrayV3Metadata
from zarr.errors import BaseZarrError
from zarr.storage import LocalStore, MemoryStore, StorePath

from srcore.errors import StoreError
from srcore.storage.chunks.predictor import ZSTD, TiffPredictor
from srcore.storage.chunks.whole import whole_chunk, whole_shard
from srcore.storage.disk.files import store_error

# A process a core: more threads for the codecs only wait for each other, a seventh of a worker's time.
zarr.config.set({"threading.max_workers": 1})

CONFIG: Any = {"write_empty_chunks": True}
"""A chunk of nothing but fill is written too: one that is not there is damage."""


@dataclass(frozen=True)
class Form:
    """How an array lies on the disk."""

    shape: tuple[int, ...]
    dtype: str
    chunk: tuple[int, ...]
    shard: tuple[int, ...] | None = None
    """Where several chunks share a file."""
    tiff: bool = False
    """Each chunk's bytes are those of a TIFF tile."""


def create_group(root: Path, forms: dict[str, Form]) -> None:
    """Make a group of empty arrays in place of what may be there."""
    if root.exists():
        shutil.rmtree(root)
    for name, document in _documents(tuple(forms.items())).items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(document)


@lru_cache(maxsize=16)
def _documents(forms: tuple[tuple[str, Form], ...]) -> dict[str, bytes]:
    """The files of an empty group, as Zarr writes them: asked for once where scenes have the same size."""
    store: dict[str, Buffer] = {}
    group = zarr.open_group(MemoryStore(store), mode="w", zarr_format=3)
    for name, form in forms:
        group.create_array(
            name,
            shape=form.shape,
            chunks=form.chunk,
            shards=form.shard,
            dtype=form.dtype,
            serializer=TiffPredictor() if form.tiff else "auto",
            compressors=ZSTD,
            fill_value=0,
            config=CONFIG,
        )
    return {name: document.to_bytes() for name, document in store.items()}


@lru_cache(maxsize=32)
def _metadata(document: bytes) -> ArrayV3Metadata:
    """What an array's zarr.json says; the scenes of a night share a few."""
    return ArrayV3Metadata.from_dict(json.loads(document))


@dataclass(frozen=True)
class StoredArray:
    """One array of a scene's work store."""

    root: Path
    scene: str

    @cached_property
    def array(self) -> zarr.Array[Any]:
        """The array as Zarr has it, opened at its first use; StoreError when it cannot be."""
        try:
            # not by `open_array`, which takes a hundred times as long: an event loop, two threads, and all codecs
            metadata = _metadata((self.root / "zarr.json").read_bytes())
            return zarr.Array(zarr.AsyncArray(metadata, StorePath(LocalStore(self.root)), CONFIG))
        except (OSError, ValueError, KeyError, TypeError, BaseZarrError) as error:
            raise self.damaged(self.root.name, f"{type(error).__name__}: {error}") from error

    def read(self, selection: Any) -> NDArray[Any]:
        """The values of a selection; StoreError when a codec finds them damaged. Zarr gives fill for a hole."""
        array = self.array
        try:
            chunk = whole_chunk(self.root, array, selection)
            return chunk.read() if chunk is not None else np.asarray(array[selection])
        except (RuntimeError, ValueError, OSError) as error:  # what the codecs raise on damaged bytes
            raise self.damaged(self.root.name, str(error)) from error

    def checked(self, what: str, selection: Any, crc32: int | None) -> NDArray[Any]:
        """The values of a selection; StoreError unless they have their checksum: only it tells a hole from fill."""
        values = self.read(selection)
        if checksum(values) != crc32:
            raise self.damaged(what, "another checksum")
        return values

    def write(self, selection: Any, values: NDArray[Any]) -> None:
        """Store the values of a selection; StoreError DISK_FULL when that is why it fails."""
        array = self.array
        try:
            whole = whole_chunk(self.root, array, selection) or whole_shard(self.root, array, selection)
            if whole is not None:
                whole.write(values)
            else:
                array[selection] = values
        except OSError as error:
            raise store_error(self.root, error) from error

    def damaged(self, what: str, found: str) -> StoreError:
        """The error for a part of the store that is not what was written."""
        return StoreError(
            f"{what} of {self.scene} is damaged in the scratch store",
            found,
            "run again: what is damaged is done again",
            code="TILE_DAMAGED",
        )


def checksum(values: NDArray[Any]) -> int:
    """crc32 of the array's bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)
