"""Windows of a raster scene, in its native data type, with what is valid in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.nodata import is_nodata
from srcore.storage.header import Band, Header, Mask
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster


class RasterReader:
    """Reads windows of a raster scene; made by `open_raster_scene`, used in one thread."""

    def __init__(self, header: Header, datasets: dict[str, Any]) -> None:
        self._header = header
        self._datasets = datasets

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (C, Y, X) in native dtype and validity (C, Y, X) of a window (rows, columns) inside the scene.

        Invalid is a pixel that is not finite, whose number its own band hides, or that the band's mask or the alpha
        band hides. Raises SourceError when the file's pixels cannot be decoded.
        """
        header = self._header
        shape = tuple(w.stop - w.start for w in window)
        values = np.empty((len(header.bands), *shape), header.dtype)
        for path, dataset in self._datasets.items():
            here = [i for i, band in enumerate(header.bands) if band.path == path]
            if here:
                values[here] = self._fetch(path, dataset.read, [header.bands[i].index for i in here], window)
        return values, self._valid(values, window)

    def _valid(self, values: NDArray[np.generic], window: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Which values are usable: each band by its own rules, and alpha for all."""
        header = self._header
        valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
        seen: dict[Mask, NDArray[np.bool_]] = {}
        for i, band in enumerate(header.bands):
            if band.hidden is not None:
                valid[i] &= ~is_nodata(values[i], band.hidden)
            if band.mask is not None:
                if band.mask not in seen:
                    seen[band.mask] = self._shown(band, band.mask, window)
                valid[i] &= seen[band.mask]
        if header.alpha is not None:
            valid &= np.asarray(self.read_alpha(window)) > 0
        return valid

    def _shown(self, band: Band, mask: Mask, window: tuple[slice, ...]) -> NDArray[np.bool_]:
        """(Y, X) what a mask does not hide."""
        dataset = self._datasets[mask.path]
        inside = mask.path == band.path
        read, index = (dataset.read_masks, band.index) if inside else (dataset.read, max(1, mask.index))
        return np.asarray(self._fetch(mask.path, read, index, window) > 0)

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Native values (Y, X) of the alpha band; only for a header that has one."""
        alpha = self._header.alpha
        if alpha is None:
            raise SourceError("the scene has no alpha band", self._header.bands[0].path, "ask for its data bands")
        return self._fetch(alpha.path, self._datasets[alpha.path].read, alpha.index, window)

    def _fetch(self, path: str, read: Any, indexes: Any, window: tuple[slice, ...]) -> NDArray[Any]:
        rows, columns = window
        try:
            values: NDArray[Any] = read(
                indexes, window=Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
            )
        except GDAL_ERRORS as error:
            raise SourceError(
                f"{path}: rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop} cannot be decoded",
                gdal_message(error),
                "fetch the file again",
                code="DAMAGED",
            ) from error
        return values


@contextmanager
def open_raster_scene(header: Header) -> Iterator[RasterReader]:
    """The reader of a scene whose header was read before; its files are open while the context lasts.

    Raises SourceError, code SOURCE_CHANGED, when a file is no longer the one that the header describes.
    """
    with gdal_env(), ExitStack() as stack:
        masks = (Path(band.mask.path) for band in header.bands if band.mask is not None)
        paths = dict.fromkeys((*header.rasters, *masks))
        datasets = {str(path): stack.enter_context(_reopen(path, header)) for path in paths}
        yield RasterReader(header, datasets)


def _reopen(path: Path, header: Header) -> Any:
    if path.is_symlink():
        raise _changed(path, "a link in its place")
    dataset = open_raster(path)
    same = path not in header.rasters or dataset.dtypes[0] == header.dtype
    if (dataset.height, dataset.width) != header.grid.shape or not same:
        dataset.close()
        raise _changed(path, f"{dataset.height} x {dataset.width} {dataset.dtypes[0]}")
    return dataset


def _changed(path: Path, found: str) -> SourceError:
    return SourceError(f"{path}: changed since it was planned", found, "run the scene again", code="SOURCE_CHANGED")
