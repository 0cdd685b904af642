"""Windows of a raster scene, in its native data type, with what is valid in them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.enums import MaskFlags
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.storage.header import Header
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster


class RasterReader:
    """Reads windows of a raster scene; made by `open_raster_scene`, used in one thread."""

    def __init__(self, header: Header, datasets: dict[str, Any]) -> None:
        self._header = header
        self._datasets = datasets

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (C, Y, X) in native dtype and validity (C, Y, X) of a window (rows, columns) inside the scene.

        Invalid is a pixel whose number is its band's nodata, that is not finite, or that the mask or the alpha band
        hides. Raises SourceError when the file's pixels cannot be decoded.
        """
        header = self._header
        shape = tuple(w.stop - w.start for w in window)
        values = np.empty((len(header.bands), *shape), header.dtype)
        valid = np.ones(values.shape, np.bool_)
        for path, dataset in self._datasets.items():
            here = [i for i, band in enumerate(header.bands) if band.path == path]
            if not here:
                continue
            indexes = [header.bands[i].index for i in here]
            values[here] = self._fetch(path, dataset.read, indexes, window)
            if header.nodata == "mask" and MaskFlags.per_dataset in dataset.mask_flag_enums[0]:
                valid[here] = self._fetch(path, dataset.read_masks, indexes, window) > 0
        if header.alpha is not None:
            alpha = header.alpha
            valid &= self._fetch(alpha.path, self._datasets[alpha.path].read, alpha.index, window) > 0
        for i, band in enumerate(header.bands):
            if band.nodata is not None and not np.isnan(band.nodata):
                valid[i] &= values[i] != np.dtype(header.dtype).type(band.nodata)
        if np.issubdtype(values.dtype, np.floating):
            valid &= np.isfinite(values)
        return values, valid

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
        datasets = {str(path): stack.enter_context(_reopen(path, header)) for path in header.paths}
        yield RasterReader(header, datasets)


def _reopen(path: Path, header: Header) -> Any:
    if path.is_symlink():
        raise _changed(path, "a link in its place")
    dataset = open_raster(path)
    if (dataset.height, dataset.width) != header.grid.shape or dataset.dtypes[0] != header.dtype:
        dataset.close()
        raise _changed(path, f"{dataset.height} x {dataset.width} {dataset.dtypes[0]}")
    return dataset


def _changed(path: Path, found: str) -> SourceError:
    return SourceError(f"{path}: changed since it was planned", found, "run the scene again", code="SOURCE_CHANGED")
