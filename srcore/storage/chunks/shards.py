"""The inner chunks of a sharded Zarr array as the bytes they are: put together by whoever has encoded them, and taken
over by the product.

    shard file:  chunk | chunk | ... | index: (offset, length) of every chunk, C order, uint64 | crc32c of the index

zarr-python neither takes nor hands out the bytes of a chunk, so that shards are written and read here (Zarr v3 sharding
codec, version 1.0, "binary shard format"; index at the end, little endian, crc32c behind it). Zarr reads them in the
tests, and when a run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError

if TYPE_CHECKING:
    from srcore.storage.chunks.arrays import StoredArray

CRC_BYTES = 4
NO_CHUNK = 2**64 - 1
"""Offset and length of a chunk that is not there: it lies beyond the end of the array."""
REMEMBERED = 4096
"""Indices of shards kept in memory, a few hundred bytes each."""


def pack(
    values: NDArray[Any], chunk: Sequence[int], counts: Sequence[int], encode: Callable[[NDArray[Any]], bytes]
) -> list[bytes]:
    """The parts of a shard's file: `values` in `counts` chunks of the shape `chunk`, and the index.

    Where the array ends within the shard `values` end, too: a chunk is filled up with 0, and one beyond is not there.
    """
    index = np.full((*counts, 2), NO_CHUNK, "<u8")
    parts, offset = list[bytes](), 0
    for place in np.ndindex(*counts):
        piece = values[tuple(slice(p * n, (p + 1) * n) for p, n in zip(place, chunk, strict=True))]
        if not piece.size:
            continue
        if piece.shape != tuple(chunk):
            whole = np.zeros(chunk, values.dtype)
            whole[tuple(map(slice, piece.shape))] = piece
            piece = whole
        parts.append(encode(piece))
        index[place] = offset, len(parts[-1])
        offset += len(parts[-1])
    table = index.tobytes()
    return [*parts, table, google_crc32c.value(table).to_bytes(CRC_BYTES, "little")]


class Shards:
    """The chunks (1, edge, edge) of an array (C, Y, X) whose shards hold all bands."""

    def __init__(self, stored: StoredArray) -> None:
        array, self.root = stored.array, stored.root
        assert array.shards is not None, "an array with shards"
        self.counts = tuple(s // c for s, c in zip(array.shards, array.chunks, strict=True))
        """Chunks in a shard on every axis."""
        self._index = lru_cache(maxsize=REMEMBERED)(self._read_index)

    def chunk(self, band: int, row: int, col: int) -> bytes:
        """The bytes of a chunk; StoreError TILE_DAMAGED when the shard or its index is not whole."""
        _, rows, cols = self.counts
        place = (row // rows, col // cols)
        offset, length = (int(n) for n in self._index(*place)[band, row % rows, col % cols])
        try:
            with open(self._path(*place), "rb") as file:
                file.seek(offset)
                data = file.read(length)
        except (OSError, OverflowError, ValueError) as error:
            raise self._damaged(place, str(error)) from error
        if len(data) != length or not length:
            raise self._damaged(place, f"{len(data)} bytes of a chunk of {length}")
        return data

    def _path(self, row: int, col: int) -> Path:
        return self.root / "c" / "0" / str(row) / str(col)

    def _read_index(self, row: int, col: int) -> NDArray[np.uint64]:
        size = 16 * prod(self.counts)
        try:
            with open(self._path(row, col), "rb") as file:
                file.seek(-size - CRC_BYTES, 2)
                data = file.read()
        except OSError as error:
            raise self._damaged((row, col), str(error)) from error
        if google_crc32c.value(data[:size]) != int.from_bytes(data[size:], "little"):
            raise self._damaged((row, col), "another checksum of its index")
        return np.frombuffer(data[:size], "<u8").reshape(*self.counts, 2)

    def _damaged(self, place: tuple[int, ...], found: str) -> StoreError:
        what = f"shard {place[0]}, {place[1]} of {self.root.name} is damaged in the scratch store"
        return StoreError(what, found, "run again: what is damaged is done again", code="TILE_DAMAGED")
