"""Zarr arrays of the work store: made, opened, read and written, with errors that name the scene."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import BaseZarrError

from srcore.errors import StoreError
from srcore.storage.chunks.predictor import ZSTD, TiffPredictor
from srcore.storage.disk.files import store_error

# A process a core: more threads for the codecs only wait for each other, a seventh of a worker's time.
zarr.config.set({"threading.max_workers": 1})

CONFIG: Any = {"write_empty_chunks": True}
"""A chunk of nothing but fill is written too: one that is not there is damage."""


@dataclass(frozen=True)
class Form:
    """How an array lies on the disk."""

    shape: Sequence[int]
    dtype: str
    chunk: Sequence[int]
    shard: Sequence[int] | None = None
    """Where several chunks share a file."""
    tiff: bool = False
    """Each chunk's bytes are those of a TIFF tile."""


def create_group(root: Path, forms: dict[str, Form]) -> None:
    """Make a group of empty arrays in place of what may be there."""
    group = zarr.open_group(root, mode="w", zarr_format=3)
    for name, form in forms.items():
        group.create_array(
            name,
            shape=tuple(form.shape),
            chunks=tuple(form.chunk),
            shards=tuple(form.shard) if form.shard else None,
            dtype=form.dtype,
            serializer=TiffPredictor() if form.tiff else "auto",
            compressors=ZSTD,
            fill_value=0,
            config=CONFIG,
        )


@dataclass(frozen=True)
class StoredArray:
    """One array of a scene's work store."""

    root: Path
    scene: str

    @cached_property
    def array(self) -> zarr.Array[Any]:
        """The array as Zarr has it, opened at its first use; StoreError when it cannot be."""
        try:
            # with_config: zarr-python 3.1 forgets a config that `open_array` is given
            return zarr.open_array(self.root, mode="r+").with_config(CONFIG)
        except (OSError, ValueError, KeyError, TypeError, BaseZarrError) as error:
            raise self.damaged(self.root.name, f"{type(error).__name__}: {error}") from error

    def read(self, selection: Any) -> NDArray[Any]:
        """The values of a selection; StoreError when a codec finds them damaged. Zarr gives fill for a hole."""
        array = self.array
        try:
            return np.asarray(array[selection])
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
