"""The inner chunks of a sharded Zarr array as the bytes they are: what the product takes over.

    shard file:  chunk | chunk | ... | index: (offset, length) of every chunk, C order, uint64 | crc32c of the index

zarr-python decodes chunks but hands out no bytes of one, so that the index is read here (Zarr v3 sharding codec,
version 1.0, "binary shard format"; index at the end, little endian, crc32c behind it).
"""

from __future__ import annotations

from functools import lru_cache
from math import prod
from pathlib import Path

import google_crc32c
import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import StoredArray

CRC_BYTES = 4
REMEMBERED = 4096
"""Indices of shards kept in memory, a few hundred bytes each."""


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
