"""A raster product before it is written: what is known of it besides its SR.

Written and verified from the same value, so that a product is compared with what was upscaled and not with what some
other code believes was written.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.grid import Grid
from srcore.radiometry import nearest
from srcore.storage.header import Header


class Stored(Protocol):
    """A Zarr or NumPy array: something that gives the values of a window."""

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True)
class Rect:
    """Rows and columns of an image of the product, half open."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start

    def blocks(self, block: int) -> Iterator[tuple[int, int]]:
        """(row, column) of each block that the rectangle reaches into, row by row."""
        for row in range(self.rows.start // block, -(-self.rows.stop // block)):
            for col in range(self.cols.start // block, -(-self.cols.stop // block)):
                yield row, col


def block_rect(shape: tuple[int, int], block: int, row: int, col: int) -> Rect:
    """The pixels of a block of a (Y, X) image, cut at its end."""
    top, left = row * block, col * block
    return Rect(slice(top, min(top + block, shape[0])), slice(left, min(left + block, shape[1])))


def block_rects(shape: tuple[int, int], block: int) -> Iterator[tuple[int, int, Rect]]:
    """Row, column and pixels of every block of a (Y, X) image, row by row."""
    for row, col in Rect(slice(0, shape[0]), slice(0, shape[1])).blocks(block):
        yield row, col, block_rect(shape, block, row, col)


def half(size: int) -> int:
    """Pixels of an axis on the next overview, rounded up as GDAL does."""
    return -(-size // 2)


@dataclass(frozen=True)
class Product:
    """An upscaled raster scene, as its product must show it."""

    header: Header
    """Of the LR scene."""
    scale: tuple[int, int]
    block: int
    """Pixels on each side of a tile of one band, at every level: the plan's, whatever size and bands the scene has."""
    valid: Stored
    """(C, Y, X) bool on the LR grid."""
    alpha: Stored | None = None
    """(Y, X) native values on the LR grid."""

    @property
    def grid(self) -> Grid:
        """Grid of the product."""
        return self.header.grid.scaled(self.scale)

    @property
    def count(self) -> int:
        """Bands of the product, alpha included."""
        return len(self.header.bands) + (self.header.alpha is not None)

    @property
    def is_masked(self) -> bool:
        """True where the product has a mask beside its bands."""
        return self.header.nodata == "mask"

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """(Y, X) of the full resolution, then of its overviews, until one fits a block."""
        height, width = self.grid.shape
        shapes = [(height, width)]
        while max(height, width) > self.block:
            height, width = half(height), half(width)
            shapes.append((height, width))
        return shapes

    def opacity(self, rect: Rect) -> NDArray[Any]:
        """(y, x) values of the alpha band, where there is one."""
        assert self.alpha is not None, "a scene with alpha"
        values: NDArray[Any] = self._nearest(self.alpha, rect)[0]
        return values

    def mask(self, rect: Rect) -> NDArray[np.bool_]:
        """(y, x) True where all bands are usable: the mask is one for all bands in the source too."""
        usable: NDArray[np.bool_] = np.logical_and.reduce(self._nearest(self.valid, rect), axis=0)
        return usable

    def _nearest(self, lr: Stored, rect: Rect) -> NDArray[Any]:
        """(n, y, x) of the LR array `lr` in a rectangle of the SR grid, each value repeated over its SR pixels."""
        (rows, skip_y), (cols, skip_x) = (
            (slice(span.start // s, -(-span.stop // s)), span.start % s)
            for span, s in zip((rect.rows, rect.cols), self.scale, strict=True)
        )
        values = np.asarray(lr[..., rows, cols])
        repeated = nearest(values.reshape(-1, *values.shape[-2:]), self.scale)
        height, width = rect.shape
        return repeated[:, skip_y : skip_y + height, skip_x : skip_x + width]
