"""Tiles of a published raster: behind the guarded door, from the overview that a tile needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rasterio.enums import Resampling
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.view.frame import Frame, Place, frame_of
from srcore.storage.view.lay import MARGIN_PX, Drawn, Part, lay, window_of

PREVIEW_PX = 512
MAX_READ_PX = 2**23
"""Pixels of a band that are decoded for a tile: our products have overviews, so that a tile needs far fewer."""


@dataclass(frozen=True)
class ProductView:
    """An open product; used in one thread."""

    dataset: Any
    frame: Frame
    names: tuple[str, ...]
    """Of its bands but alpha."""
    colours: tuple[str, ...]
    """GDAL's interpretations of them."""
    indexes: tuple[int, ...]
    """Their numbers in the file, from 1."""

    def tile(self, place: Place, bands: Sequence[int]) -> Drawn | None:
        """A tile of some of its bands, by their places; None where it lies beside the product."""
        box = self.frame.around(place)
        if box is None:
            return None
        step = max(1, int(self.frame.step(place)))
        window = window_of(box, self.frame.shape, MARGIN_PX * step)
        if window is None or self._decoded_px(window, step) > MAX_READ_PX:
            return None
        part = self._read(window, tuple(-(-(one.stop - one.start) // step) for one in window), bands)
        return lay(part, self.frame, place, [self.colours[band] == "palette" for band in bands])

    def preview(self, bands: Sequence[int]) -> Drawn:
        """All of it, small."""
        rows, columns = self.frame.shape
        shrink = max(1.0, max(rows, columns) / PREVIEW_PX)
        shape = (max(1, round(rows / shrink)), max(1, round(columns / shrink)))
        if self._decoded_px((slice(0, rows), slice(0, columns)), int(shrink)) > MAX_READ_PX:
            found = f"{rows} x {columns} pixels, overviews {self.dataset.overviews(1)}"
            raise SourceError("the product has no overview that a map could show", found, code="TOO_LARGE")
        part = self._read((slice(0, rows), slice(0, columns)), shape, bands)
        return part.values, part.valid

    def _decoded_px(self, window: tuple[slice, slice], step: int) -> float:
        finer = max((one for one in self.dataset.overviews(1) if one <= step), default=1)
        return float(np.prod([(one.stop - one.start) / finer for one in window]))

    def _read(self, window: tuple[slice, slice], shape: tuple[int, ...], bands: Sequence[int]) -> Part:
        rows, columns = window
        size = (rows.stop - rows.start, columns.stop - columns.start)
        place = Window(columns.start, rows.start, size[1], size[0])
        wanted = [self.indexes[band] for band in bands]
        plain = any(self.colours[band] == "palette" for band in bands)
        how = Resampling.nearest if plain or shape == size else Resampling.average
        try:
            out = (len(wanted), *shape)
            values = self.dataset.read(wanted, window=place, out_shape=out, resampling=how)
            valid = self.dataset.read_masks(wanted, window=place, out_shape=out) > 0
        except GDAL_ERRORS as error:
            raise SourceError(
                "the product cannot be read", gdal_message(error), "srcore audit looks", code="DAMAGED"
            ) from error
        if values.dtype.kind == "f":
            valid &= np.isfinite(values)
        return Part(values, valid, (rows.start, columns.start), (size[0] / shape[0], size[1] / shape[1]))


@contextmanager
def open_product(path: Path) -> Iterator[ProductView]:
    """A published raster; SourceError when it is none, or damaged."""
    with gdal_env(), open_raster(path) as dataset:
        colours = [one.name for one in dataset.colorinterp]
        kept = [place for place, colour in enumerate(colours) if colour != "alpha"]
        yield ProductView(
            dataset,
            frame_of(dataset),
            tuple(dataset.descriptions[place] or f"band {place + 1}" for place in kept),
            tuple(colours[place] for place in kept),
            tuple(place + 1 for place in kept),
        )
