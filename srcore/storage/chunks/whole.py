"""Whole chunks of an array that has no shards, as the files that they are.

    values (C, y, x) --0 beyond the array's end--> chunk --zstd with its checksum--> STORE/ARRAY/c/0/3/1

zarr-python hands each read and write to an event loop in a thread of its own, and that to another thread: 2 ms of CPU
each for what takes a tenth. A tile is one chunk, so this is all of its way; what is no whole chunk is Zarr's.
"""

from __future__ import annotations

import os
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd
from numpy.typing import NDArray
from zarr.codecs import BytesCodec
from zarr.codecs.bytes import Endian

from srcore.storage.chunks.predictor import LEVEL, ZSTD

_zstd = Zstd(level=LEVEL, checksum=True)


@dataclass(frozen=True)
class Whole:
    """One chunk, named by a selection."""

    path: Path
    shape: tuple[int, ...]
    """Of the chunk, on every axis of the array."""
    inside: tuple[int | slice, ...]
    """The selection within the chunk: what lies beyond the array's end is left out."""
    dtype: np.dtype[Any]

    def read(self) -> NDArray[Any]:
        """The values; fill, which is 0, where there is no file. Raises RuntimeError or ValueError for damaged bytes."""
        try:
            data = self.path.read_bytes()
        except FileNotFoundError:
            return np.zeros(self.shape, self.dtype)[self.inside]
        stored = np.frombuffer(_zstd.decode(data), self.dtype.newbyteorder("<")).reshape(self.shape)
        return stored[self.inside].astype(self.dtype)

    def write(self, values: NDArray[Any]) -> None:
        """Put the values in place of what is there; a reader sees the one or the other."""
        block = np.zeros(self.shape, self.dtype.newbyteorder("<"))
        block[self.inside] = values
        hidden = self.path.with_name(f".{self.path.name}.{secrets.token_hex(4)}.part")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            hidden.write_bytes(_zstd.encode(block))
            os.replace(hidden, self.path)
        finally:
            hidden.unlink(missing_ok=True)


def whole_chunk(root: Path, array: zarr.Array[Any], selection: Any) -> Whole | None:
    """The chunk that a selection of the array at `root` is; None where it is none, or several, or a part of one."""
    if array.shards is not None or not _is_plain(array):
        return None
    given = selection if isinstance(selection, tuple) else (selection,)
    axes = (*given, *(slice(None),) * (array.ndim - len(given)))
    found = [_along(one, size, step) for one, size, step in zip(axes, array.shape, array.chunks, strict=True)]
    if any(one is None for one in found):
        return None
    places, inside = zip(*(one for one in found if one is not None), strict=True)
    return Whole(root.joinpath("c", *map(str, places)), array.chunks, inside, array.dtype)


def _is_plain(array: zarr.Array[Any]) -> bool:
    """True where a chunk is little-endian values in our zstd, checksum and all."""
    first, *rest = array.metadata.codecs  # type: ignore[union-attr]  # of Zarr 3
    return isinstance(first, BytesCodec) and first.endian != Endian.big and rest == [ZSTD]


def _along(one: Any, size: int, chunk: int) -> tuple[int, int | slice] | None:
    """Which chunk a selection along an axis is, and where in it; None where it is not one whole chunk."""
    if isinstance(one, int) and not isinstance(one, bool):
        return (one, 0) if chunk == 1 and 0 <= one < size else None
    if not isinstance(one, slice) or one.step not in (None, 1):
        return None
    start, stop, _ = one.indices(size)
    whole = start % chunk == 0 and stop == min(start + chunk, size) and stop > start
    return (start // chunk, slice(0, stop - start)) if whole else None
