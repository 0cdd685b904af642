"""The COG as it is read for its Zarr: the whole, then its overviews, in pieces."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srcore.storage.raster.gdal import gdal_env, open_raster

CHUNK_PX = 512
"""Sides of a chunk: a tile of the COG, or what is there."""
PIECE_BYTES = 32 << 20
"""Of all bands that are held at once, where a chunk of them takes no more."""
Piece = tuple[slice, slice]


@dataclass(frozen=True)
class Level:
    """One resolution of the product, open."""

    group: str
    """'' for the whole; else the name of its group."""
    dataset: Any
    """rasterio's."""
    indexes: tuple[int, ...]
    """Of the data bands, from 1; alpha is none."""

    @property
    def told(self) -> str:
        """In messages."""
        return self.group or "the whole"

    @property
    def shape(self) -> tuple[int, int]:
        return int(self.dataset.height), int(self.dataset.width)

    @property
    def affine(self) -> tuple[float, ...]:
        """a, b, c, d, e, f of the pixel corner."""
        return tuple(map(float, self.dataset.transform[:6]))

    def pieces(self) -> Iterator[tuple[Piece, NDArray[Any]]]:
        """Whole chunks one beside the other, (rows, columns), and their values (C, rows, columns): never a scene's
        width at once."""
        height, width = self.shape
        chunk_bytes = CHUNK_PX * CHUNK_PX * len(self.indexes) * np.dtype(self.dataset.dtypes[0]).itemsize
        step = CHUNK_PX * max(1, PIECE_BYTES // chunk_bytes)
        for row in range(0, height, CHUNK_PX):
            for column in range(0, width, step):
                rows, columns = slice(row, min(row + CHUNK_PX, height)), slice(column, min(column + step, width))
                yield (rows, columns), self.dataset.read(self.indexes, window=Window.from_slices(rows, columns))

    def valid(self, piece: Piece) -> NDArray[np.uint8]:
        """Validity (rows, columns) of a piece, 1 = valid."""
        mask = self.dataset.dataset_mask(window=Window.from_slices(*piece))
        return np.asarray(mask > 0, np.uint8)


@contextmanager
def level(product: Path, number: int, bands: int) -> Iterator[Level]:
    """A level of the product: 0 is the whole, 1 its first overview."""
    with gdal_env(), open_raster(product, overview=number - 1 if number else None) as dataset:
        yield Level("" if number == 0 else f"level_{number}", dataset, tuple(range(1, bands + 1)))


def count_levels(product: Path) -> int:
    """The whole and its overviews."""
    with gdal_env(), open_raster(product) as dataset:
        return 1 + len(dataset.overviews(1))
