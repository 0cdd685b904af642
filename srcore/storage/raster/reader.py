"""Windows of a raster scene, in its native data type, with what is valid in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srcore.errors import SourceError
from srcore.injection import REACH_PX, injected
from srcore.nodata import is_nodata, keep_off
from srcore.radiometry import HALF_PX, enlarged, fill_invalid, half_way, nearest, quantise
from srcore.storage.band import Band, Mask
from srcore.storage.header import Header
from srcore.storage.providers.quality import meant
from srcore.storage.raster.gdal import GDAL_ERRORS, gdal_env, gdal_message, open_raster
from srcore.storage.raster.mosaic import MosaicReader, open_mosaic

ZOOM_PX = 6
"""Coarse pixels around a window of a coarser band: two that bicubic sees, and those that fill what they hide."""

BETWEEN_PX = 10
"""Pixels around a window of a band that is read half way between them: HALF_PX, and those that fill what they hide."""


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
        valid: NDArray[np.bool_] = np.ones(values.shape, np.bool_)
        far = header.injected
        for path, dataset in self._datasets.items():
            here = [i for i, band in enumerate(header.bands) if band.path == path]
            fine = [i for i in here if header.bands[i].is_fine]
            if fine:
                values[fine] = self._fetch(path, dataset.read, [header.bands[i].index for i in fine], window)
            for i in sorted(set(here) - set(fine)):
                if i in far:
                    continue
                way = self._between if header.bands[i].between else self._zoomed
                values[i], valid[i] = way(header.bands[i], window)
        fine = [i for i, band in enumerate(header.bands) if band.is_fine]
        if len(fine) == len(values):
            valid = self._valid(values, window)
        elif fine:
            valid[fine] = self._valid(values[fine], window, [header.bands[i] for i in fine])
        for zoom in sorted({header.bands[i].zoom for i in far}):
            own = [i for i in far if header.bands[i].zoom == zoom]
            values[own], valid[own] = self._injected([header.bands[i] for i in own], window)
        return values, self._heeded(valid, window)

    def decoded_px(self, window: tuple[slice, ...]) -> int:
        """Pixels of a band that GDAL decodes for a window of the scene: it decodes whole blocks."""
        costs = [0]
        for band in self._header.bands:
            dataset = self._datasets[band.path]
            blocks = zip(window, dataset.block_shapes[band.index - 1], strict=True)
            sides = (-(-w.stop // band.zoom // n) * n - w.start // band.zoom // n * n for w, n in blocks)
            costs.append(prod(sides))
        return max(costs)

    def _zoomed(self, band: Band, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """A coarser band (Y, X) on the scene's grid, whatever the window: bicubic, classes nearest."""
        zoom = band.zoom
        shape = tuple(n // zoom for n in self._header.grid.shape)
        around = [
            slice(max(0, w.start // zoom - ZOOM_PX), min(n, -(-w.stop // zoom) + ZOOM_PX))
            for w, n in zip(window, shape, strict=True)
        ]
        values = self._fetch(band.path, self._datasets[band.path].read, [band.index], tuple(around))
        valid = self._valid(values, tuple(around), [band])
        cut = tuple(
            slice(w.start - a.start * zoom, w.stop - a.start * zoom) for w, a in zip(window, around, strict=True)
        )
        shown = nearest(valid, (zoom, zoom))[0][cut]
        if band.is_copied or band.guided:
            return nearest(values, (zoom, zoom))[0][cut], shown
        fine = enlarged(fill_invalid(values, valid)[0], zoom)[cut]
        return _off_nodata(quantise(fine, values.dtype), band), shown

    def _injected(
        self, bands: Sequence[Band], window: tuple[slice, ...]
    ) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Much coarser bands (B, Y, X) of one zoom, with the detail of the guides; interpolated where within
        REACH_PX one of them or a guide is hidden."""
        found = [self._zoomed(band, window) for band in bands]
        plain, shown = (np.stack(one) for one in zip(*found, strict=True))
        zoom, guides = bands[0].zoom, [self._header.bands[i] for i in self._header.guides]
        around, missing = [], []
        for w, n in zip(window, self._header.grid.shape, strict=True):
            first, last = w.start // zoom - REACH_PX, -(-w.stop // zoom) + REACH_PX
            around.append(slice(max(0, first), min(n // zoom, last)))
            missing.append((max(0, -first), max(0, last - n // zoom)))
        fine = tuple(slice(a.start * zoom, a.stop * zoom) for a in around)
        coarse, there = self._whole(bands, tuple(around))
        details, seen = self._whole(guides, fine)
        wide = [(0, 0), *((a * zoom, b * zoom) for a, b in missing)]
        values = injected(np.pad(coarse, [(0, 0), *missing], "symmetric"), np.pad(details, wide, "symmetric"), zoom)
        cut = tuple(
            slice(w.start - (a.start - m[0] + REACH_PX) * zoom, w.stop - (a.start - m[0] + REACH_PX) * zoom)
            for w, a, m in zip(window, around, missing, strict=True)
        )
        known = there & seen.all(axis=0).reshape(there.shape[1], zoom, there.shape[2], zoom).all(axis=(1, 3))
        known = np.stack([_eroded(np.pad(one, missing, constant_values=True)) for one in known])
        fitted = quantise(values[:, *cut], plain.dtype)
        fitted = np.stack([_off_nodata(one, band) for one, band in zip(fitted, bands, strict=True)])
        return np.where(nearest(known, (zoom, zoom))[:, *cut], fitted, plain), shown

    def _whole(self, bands: Sequence[Band], window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Pixels of the bands' own files (B, Y, X), what they hide filled, and which those are not."""
        values = np.stack([self._fetch(b.path, self._datasets[b.path].read, b.index, window) for b in bands])
        valid = self._valid(values, window, bands)
        return fill_invalid(values, valid), valid

    def _between(self, band: Band, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """A band (Y, X) whose pixels lie on the corners of the scene's, read half way between them:

        scene     | 0 | 1 | 2 | 3 |         pixel q lies between those of the file before q and at q
        file        0   1   2               what lies beyond its edge repeats the last
        """
        around, missing = [], []
        for w, n in zip(window, self._header.grid.shape, strict=True):
            first, last = w.start - BETWEEN_PX, w.stop + BETWEEN_PX - 1  # of the file, which has n - 1
            around.append(slice(max(0, first), min(n - 1, last)))
            missing.append((max(0, -first), max(0, last - (n - 1))))
        values = self._fetch(band.path, self._datasets[band.path].read, [band.index], tuple(around))
        valid = self._valid(values, tuple(around), [band])
        wide = np.pad(fill_invalid(values, valid)[0], missing, mode="edge")
        seen, own = (slice(BETWEEN_PX - px, px - BETWEEN_PX) for px in (HALF_PX, 1))
        wide, shown = wide[seen, seen], np.pad(valid[0], missing, mode="edge")[own, own]
        shown = shown[1:, 1:] & shown[:-1, 1:] & shown[1:, :-1] & shown[:-1, :-1]
        return _off_nodata(quantise(half_way(wide), values.dtype), band), shown

    def _heeded(self, valid: NDArray[np.bool_], window: tuple[slice, ...]) -> NDArray[np.bool_]:
        """Without what a quality layer hides in all bands but itself."""
        layer = self._header.quality
        if layer is None or not layer.hides:
            return valid
        rows, columns = (
            slice(w.start * layer.fine // layer.zoom, -(-w.stop * layer.fine // layer.zoom)) for w in window
        )
        place = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        hidden = self._decoded(layer.path, window, lambda: meant(layer, self._datasets[layer.path].read, place))
        if layer.fine > 1:
            height, width = (n // layer.fine for n in hidden.shape)
            hidden = np.asarray(hidden.reshape(height, layer.fine, width, layer.fine).any(axis=(1, 3)))
        hidden = nearest(hidden[None], (layer.zoom, layer.zoom))[0]
        cut = tuple(
            slice(w.start - a.start * layer.zoom // layer.fine, w.stop - a.start * layer.zoom // layer.fine)
            for w, a in zip(window, (rows, columns), strict=True)
        )
        shown: NDArray[np.bool_] = valid & ~hidden[cut]
        return shown

    def _valid(
        self, values: NDArray[np.generic], window: tuple[slice, ...], bands: Sequence[Band] | None = None
    ) -> NDArray[np.bool_]:
        """Which values are usable: each band by its own rules, and alpha for all. `bands`: those of the values."""
        header = self._header
        bands = header.bands if bands is None else bands
        valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
        seen: dict[Mask, NDArray[np.bool_]] = {}
        for i, band in enumerate(bands):
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
        place = Window(columns.start, rows.start, columns.stop - columns.start, rows.stop - rows.start)
        return self._decoded(path, window, lambda: read(indexes, window=place))

    def _decoded(self, path: str, window: tuple[slice, ...], read: Callable[[], NDArray[Any]]) -> NDArray[Any]:
        rows, columns = window
        try:
            return read()
        except GDAL_ERRORS as error:
            raise SourceError(
                f"{path}: rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop} cannot be decoded",
                gdal_message(error),
                "fetch the file again",
                code="DAMAGED",
            ) from error


def _eroded(known: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """(Y, X) where all is known within REACH_PX, without so many on each side."""
    for axis in (0, 1):
        along = np.moveaxis(known, axis, 0)
        count = len(along) - 2 * REACH_PX
        known = np.moveaxis(np.logical_and.reduce([along[k : k + count] for k in range(2 * REACH_PX + 1)]), 0, axis)
    return known


def _off_nodata(values: NDArray[Any], band: Band) -> NDArray[Any]:
    """Between two pixels may lie the number that hides one."""
    for number in (band.hidden, band.nodata):
        values = values if number is None else keep_off(values, number)
    return values


@contextmanager
def open_raster_scene(header: Header) -> Iterator[RasterReader | MosaicReader]:
    """The reader of a scene whose header was read before; its files are open while the context lasts.

    Raises SourceError, code SOURCE_CHANGED, when a file is no longer the one that the header describes.
    """
    with gdal_env(), ExitStack() as stack:
        if header.mosaic:
            yield stack.enter_context(open_mosaic(header, open_raster_scene))
            return
        masks = [Path(band.mask.path) for band in header.bands if band.mask is not None]
        layers = [Path(header.quality.path)] if header.quality is not None and header.quality.hides else []
        paths = dict.fromkeys((*header.rasters, *masks, *layers))
        datasets = {str(path): stack.enter_context(_reopen(path, header)) for path in paths}
        yield RasterReader(header, datasets)


def _reopen(path: Path, header: Header) -> Any:
    if path.is_symlink():
        raise _changed(path, "a link in its place")
    dataset = open_raster(path)
    bands = [band for band in header.bands if band.path == str(path)]
    zoom, fine, inside = (bands[0].zoom, 1, int(bands[0].between)) if bands else (1, 1, 0)
    if header.quality is not None and str(path) == header.quality.path:
        zoom, fine, inside, bands = header.quality.zoom, header.quality.fine, 0, []
    same = not bands or dataset.dtypes[0] == header.dtype
    there = ((dataset.height + inside) * zoom, (dataset.width + inside) * zoom)
    if there != tuple(n * fine for n in header.grid.shape) or not same:
        dataset.close()
        raise _changed(path, f"{dataset.height} x {dataset.width} {dataset.dtypes[0]}")
    return dataset


def _changed(path: Path, found: str) -> SourceError:
    return SourceError(f"{path}: changed since it was planned", found, "run the scene again", code="SOURCE_CHANGED")
