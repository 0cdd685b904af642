"""Whole chunks of an array that has no shards, and whole shards of one that has, as the files that they are.

    values (C, y, x) --0 beyond the array's end--> chunk --zstd with its checksum--> STORE/ARRAY/c/0/3/1

zarr-python hands each read and write to an event loop in a thread of its own, and that to another thread: 2 ms of CPU
each for what takes a tenth, and of a shard as much as its codecs. A tile is one chunk, or one shard, so this is all of
its way; what is no whole chunk is Zarr's, and so is the reading of shards, which nobody does but a run that goes on.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numcodecs import Zstd
from numpy.typing import NDArray
from zarr.codecs import BytesCodec, Crc32cCodec, ShardingCodec
from zarr.codecs.bytes import Endian
from zarr.codecs.sharding import ShardingCodecIndexLocation

from srcore.storage.chunks.predictor import LEVEL, ZSTD, TiffPredictor, encode_tile
from srcore.storage.chunks.shards import pack

_zstd = Zstd(level=LEVEL, checksum=True)
INDEX = (BytesCodec(), Crc32cCodec())
"""Codecs of a shard's index, as `pack` writes it."""


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
        _replace(self.path, [_zstd.encode(block)])


@dataclass(frozen=True)
class WholeShard:
    """One shard, named by a selection."""

    path: Path
    chunk: tuple[int, ...]
    """Of the chunks in it."""
    counts: tuple[int, ...]
    """Chunks on every axis."""
    encode: Callable[[NDArray[Any]], bytes]
    dtype: np.dtype[Any]

    def write(self, values: NDArray[Any]) -> None:
        """Put the values in place of what is there; a reader sees the one or the other."""
        _replace(self.path, pack(np.asarray(values, self.dtype), self.chunk, self.counts, self.encode))


def _replace(path: Path, parts: Iterable[bytes]) -> None:
    """The file of a chunk or shard, whole or not at all."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with open(hidden, "xb") as file:
            file.writelines(parts)
        os.replace(hidden, path)
    finally:
        hidden.unlink(missing_ok=True)


def whole_chunk(root: Path, array: zarr.Array[Any], selection: Any) -> Whole | None:
    """The chunk that a selection of the array at `root` is; None where it is none, or several, or a part of one."""
    if array.shards is not None or _encoder(array.metadata.codecs) is not _encode_plain:  # type: ignore[union-attr]
        return None
    found = _named(array, selection, array.chunks)
    return None if found is None else Whole(root.joinpath("c", *found[0]), array.chunks, found[1], array.dtype)


def whole_shard(root: Path, array: zarr.Array[Any], selection: Any) -> WholeShard | None:
    """The shard that a selection of the array at `root` is; None where it is none, or several, or a part of one."""
    if array.shards is None:
        return None
    [sharding] = array.metadata.codecs  # type: ignore[union-attr]  # of Zarr 3
    encode = None
    if isinstance(sharding, ShardingCodec) and sharding.index_location == ShardingCodecIndexLocation.end:
        encode = _encoder(sharding.codecs) if sharding.index_codecs == INDEX else None
    found = _named(array, selection, array.shards)
    if encode is None or found is None or not all(isinstance(one, slice) for one in found[1]):  # a number: an axis less
        return None
    counts = tuple(n // step for n, step in zip(array.shards, array.chunks, strict=True))
    return WholeShard(root.joinpath("c", *found[0]), array.chunks, counts, encode, array.dtype)


def _named(
    array: zarr.Array[Any], selection: Any, steps: Sequence[int]
) -> tuple[tuple[str, ...], tuple[int | slice, ...]] | None:
    """Where in the array a selection lies, in chunks or shards of so many numbers along each axis, and what it is
    inside of one; None where it is no whole one."""
    given = selection if isinstance(selection, tuple) else (selection,)
    axes = (*given, *(slice(None),) * (array.ndim - len(given)))
    found = [_along(one, size, step) for one, size, step in zip(axes, array.shape, steps, strict=True)]
    if any(one is None for one in found):
        return None
    places, inside = zip(*(one for one in found if one is not None), strict=True)
    return tuple(map(str, places)), inside


def _encode_plain(values: NDArray[Any]) -> bytes:
    return bytes(_zstd.encode(np.ascontiguousarray(values, values.dtype.newbyteorder("<"))))


def _encoder(codecs: Sequence[Any]) -> Callable[[NDArray[Any]], bytes] | None:
    """What these codecs make of a chunk: our zstd, checksum and all, of little-endian values, or of a TIFF tile's; None
    for any others."""
    first, *rest = codecs
    if rest != [ZSTD]:
        return None
    if isinstance(first, TiffPredictor):
        return encode_tile
    return _encode_plain if isinstance(first, BytesCodec) and first.endian != Endian.big else None


def _along(one: Any, size: int, chunk: int) -> tuple[int, int | slice] | None:
    """Which chunk a selection along an axis is, and where in it; None where it is not one whole chunk."""
    if isinstance(one, int) and not isinstance(one, bool):
        return (one, 0) if chunk == 1 and 0 <= one < size else None
    if not isinstance(one, slice) or one.step not in (None, 1):
        return None
    start, stop, _ = one.indices(size)
    whole = start % chunk == 0 and stop == min(start + chunk, size) and stop > start
    return (start // chunk, slice(0, stop - start)) if whole else None
