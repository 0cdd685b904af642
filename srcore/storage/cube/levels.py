"""The COG as it is read for its Zarr: the whole, then its overviews, in rows."""

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
    def shape(self) -> tuple[int, int]:
        return int(self.dataset.height), int(self.dataset.width)

    @property
    def affine(self) -> tuple[float, ...]:
        """a, b, c, d, e, f of the pixel corner."""
        return tuple(map(float, self.dataset.transform[:6]))

    def rows(self) -> Iterator[tuple[slice, NDArray[Any], NDArray[np.uint8]]]:
        """Rows, their values (C, rows, X) and validity (rows, X), 1 = valid."""
        height, width = self.shape
        for start in range(0, height, CHUNK_PX):
            window = Window(0, start, width, min(CHUNK_PX, height - start))
            values = self.dataset.read(self.indexes, window=window)
            valid = (self.dataset.dataset_mask(window=window) > 0).astype(np.uint8)
            yield slice(start, start + values.shape[1]), values, valid


@contextmanager
def level(product: Path, number: int, bands: int) -> Iterator[Level]:
    """A level of the product: 0 is the whole, 1 its first overview."""
    with gdal_env(), open_raster(product, overview=number - 1 if number else None) as dataset:
        yield Level("" if number == 0 else f"level_{number}", dataset, tuple(range(1, bands + 1)))


def count_levels(product: Path) -> int:
    """The whole and its overviews."""
    with gdal_env(), open_raster(product) as dataset:
        return 1 + len(dataset.overviews(1))
