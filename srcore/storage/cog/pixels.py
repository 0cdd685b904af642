"""The pixels that a raster product must hold, window by window: SR values, alpha, and which of them are usable.

Written and verified from the same source, so that a product is compared with what was upscaled and not with what
some other code believes was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.grid import Grid
from srcore.storage.header import Header
from srcore.storage.numbers import DTYPES
from srcore.tiling import BLOCK_HR as BLOCK

WIDEST_TILE_BYTES = 32 << 20
WINDOW_BYTES = 32 << 20


class Stored(Protocol):
    """A Zarr or NumPy array: something with a shape that gives the values of a window."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    def __getitem__(self, key: Any, /) -> Any: ...


@dataclass(frozen=True)
class Window:
    """Rows and columns of the SR grid, half open."""

    rows: slice
    cols: slice

    @property
    def shape(self) -> tuple[int, int]:
        return self.rows.stop - self.rows.start, self.cols.stop - self.cols.start


@dataclass(frozen=True)
class ProductPixels:
    """An upscaled raster scene, as its product must show it."""

    header: Header
    """Of the LR scene."""
    scale: tuple[int, int]
    sr: Stored
    """(C, Y * s, X * s) native values; nodata already in place."""
    valid: Stored
    """(C, Y, X) bool on the LR grid."""
    alpha: Stored | None = None
    """(Y, X) native values on the LR grid."""

    def check(self) -> None:
        """Raise StoreError when the arrays do not have the shapes that header and scale demand."""
        if self.header.dtype not in DTYPES:
            raise StoreError("a COG cannot hold the dtype", self.header.dtype, f"convert it to {', '.join(DTYPES)}")
        bands, shape = len(self.header.bands), self.header.grid.shape
        expected = {"sr": (bands, *self.grid.shape), "valid": (bands, *shape), "alpha": shape}
        found = {"sr": self.sr.shape, "valid": self.valid.shape, "alpha": shape}
        if (self.alpha is None) != (self.header.alpha is None):
            raise StoreError("alpha is given without an alpha band in the header, or the other way round")
        if self.alpha is not None:
            found["alpha"] = self.alpha.shape
        if found != expected:
            raise StoreError("the upscaled arrays do not fit the scene", f"{found} for {expected}", "upscale it again")

    @property
    def grid(self) -> Grid:
        """Grid of the product."""
        return self.header.grid.scaled(self.scale)

    @property
    def count(self) -> int:
        """Bands of the product, alpha included."""
        return len(self.header.bands) + (self.header.alpha is not None)

    @property
    def tile_bytes(self) -> int:
        """Bytes of one tile of the product with all its bands, before compression."""
        return self.count * self.block**2 * np.dtype(self.header.dtype).itemsize

    @property
    def block(self) -> int:
        """Edge of a tile: 512, less only where many bands would make one tile a burden to every reader."""
        edge, pixel_bytes = BLOCK, self.count * np.dtype(self.header.dtype).itemsize
        while edge > 128 and edge**2 * pixel_bytes > WIDEST_TILE_BYTES:
            edge //= 2
        return edge

    def windows(self) -> Iterator[Window]:
        """Windows of whole tiles, row by row; how large they are does not depend on the size of the scene."""
        chunk = max(getattr(self.sr, "chunks", (1,))[-1], self.block)
        step = self.block * min(4, -(-chunk // self.block))
        while step > self.block and step**2 * self.tile_bytes > WINDOW_BYTES * self.block**2:
            step -= self.block
        return tiles(self.grid.shape, step)

    def data(self, window: Window) -> NDArray[Any]:
        """(count, y, x) values of the data bands and then, where there is one, of the alpha band."""
        values: NDArray[Any] = np.asarray(self.sr[:, window.rows, window.cols])
        if self.alpha is None:
            return values
        return np.concatenate([values, self.opacity(window)[None]])

    def opacity(self, window: Window) -> NDArray[Any]:
        """(y, x) values of the alpha band, where there is one."""
        assert self.alpha is not None, "a scene with alpha"
        return self._nearest(self.alpha, window)

    def usable(self, window: Window) -> NDArray[np.bool_]:
        """(C, y, x) whether a pixel of a data band is usable."""
        return self._nearest(self.valid, window).astype(bool, copy=False)

    def mask(self, window: Window) -> NDArray[np.uint8]:
        """(y, x) the dataset mask, 255 where all bands are usable: it is one for all bands in the source too."""
        return np.where(self.usable(window).all(axis=0), np.uint8(255), np.uint8(0))

    def _nearest(self, lr: Stored, window: Window) -> NDArray[Any]:
        """Values of the LR array `lr` (..., Y, X) in an SR window, each repeated over its SR pixels."""
        (rows, skip_y), (cols, skip_x) = (
            (slice(span.start // s, -(-span.stop // s)), span.start % s)
            for span, s in zip((window.rows, window.cols), self.scale, strict=True)
        )
        values = spread(np.asarray(lr[..., rows, cols]), self.scale)
        height, width = window.shape
        return values[..., skip_y : skip_y + height, skip_x : skip_x + width]


def spread(lr: NDArray[Any], scale: Sequence[int]) -> NDArray[Any]:
    """LR values (..., Y, X) on the SR grid, each repeated over its SR pixels."""
    return np.repeat(np.repeat(lr, scale[0], axis=-2), scale[1], axis=-1)


def tiles(shape: tuple[int, ...], edge: int) -> Iterator[Window]:
    """Windows of `edge` pixels that cover a (Y, X) shape, row by row, cut at its end."""
    for row in range(0, shape[0], edge):
        for col in range(0, shape[1], edge):
            yield Window(slice(row, min(row + edge, shape[0])), slice(col, min(col + edge, shape[1])))
