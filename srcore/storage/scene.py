"""One door for every scene: its header, and windows of its pixels. A new format is a folder, and a line here."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, Unpack

import numpy as np
from numpy.typing import NDArray

from srcore.choices import AlphaRule
from srcore.errors import GridError, SourceError
from srcore.storage.dicom.door import open_series, read_series
from srcore.storage.dicom.files import dicom_files, is_dicom
from srcore.storage.disk.card import is_card
from srcore.storage.disk.real_file import real_file
from srcore.storage.disk.strangers import refuse_folder
from srcore.storage.header import Header, Kind
from srcore.storage.nifti.door import is_nifti, open_volume, read_volume
from srcore.storage.providers.find import find_document, members
from srcore.storage.providers.header import files_of, read_product_header
from srcore.storage.providers.heed import heeded, layer_files
from srcore.storage.raster.beside import neighbours
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene
from srcore.storage.raster.validity import in_one_form
from srcore.storage.wish import Wish, Wishes


class SceneReader(Protocol):
    """Pixels of an open scene, by window in array order, inside the scene."""

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (C, *window) in native dtype, and which of them are valid (C, *window)."""

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Native values (*window) of the alpha band; only for a header that has one."""


class HeaderReader(Protocol):
    """What a format gives of a scene before a pixel is read."""

    def __call__(self, paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header: ...


@dataclass(frozen=True)
class Format:
    """A form of files that scenes come in."""

    name: str
    is_of: Callable[[Path], bool]
    """Whether an existing file is of this format."""
    read_header: HeaderReader
    open: Callable[[Header], AbstractContextManager[SceneReader]]


FORMATS = (
    Format("dicom", is_dicom, read_series, open_series),  # first: its preamble may be that of a TIFF
    Format("nifti", is_nifti, read_volume, open_volume),
    Format("raster", lambda _: True, read_raster_header, open_raster_scene),  # the last: says what a stranger is
)


def read_header(paths: Sequence[Path], kind: Kind | None = None, **wishes: Unpack[Wishes]) -> Header:
    """The header of a scene and what lies beside its files, by the reader that its first file needs.

    `kind`: what the scene should be; None: whatever it is. `wishes`: fields of a `Wish`. Raises SourceError,
    WRONG_KIND for the other kind, or GridError for what cannot be processed.
    """
    if not paths:
        raise SourceError("the scene has no file", "an empty list", "check the pattern of the source")
    header = _read(paths, **wishes)
    _refuse_wishes(header, paths[0], wishes)
    if header.kind == "raster":
        header = in_one_form(heeded(header, paths, Wish.of(**wishes)))
    if kind is not None and header.kind != kind:
        raise SourceError(
            f"{paths[0]} is no {kind}", f"a {header.kind}", f"say kind: {header.kind} in the catalog", code="WRONG_KIND"
        )
    return header


OF_VOLUMES, OF_SERIES = ("resample", "volume", "modality"), ("resample", "series")
"""Wishes that a raster, and that all but a DICOM series, cannot fulfil."""


def _refuse_wishes(header: Header, path: Path, wishes: Wishes) -> None:
    """SourceError BAD_SETTING for what is asked of a scene and is none of its kind."""
    told = [name for name, value in wishes.items() if value is not None]
    what = None
    if "quality" in told and header.kind == "volume":
        what = "a volume has no quality layer", "quality"
    elif (name := next((one for one in OF_VOLUMES if one in told and header.kind == "raster"), None)) is not None:
        what = "a raster has no slices", name
    elif (name := next((one for one in OF_SERIES if one in told and header.format != "dicom"), None)) is not None:
        what = "it is no DICOM series", name
    if what is not None:
        raise SourceError(f"{path}: {what[0]}", what[1], "take it out", code="BAD_SETTING")


def _read(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """By its card, by the provider's metadata where they describe it, else by the format of the first file."""
    if is_card(paths[0]):
        from srcore.storage.remote.reading import read_card_header

        return read_card_header(paths[0], _read, **wishes)
    if wishes.get("mosaic") is not None:
        return _read_mosaic(paths, **wishes)
    if find_document(paths[0]) is not None:
        return read_product_header(paths, **wishes)
    if is_dicom(paths[0]):
        return read_series(paths, **wishes)
    refuse_folder(paths[0])
    first = real_file(paths[0], wishes.get("roots"))
    return next(one for one in FORMATS if one.is_of(first)).read_header(paths, **wishes)


def _read_mosaic(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """Of plain rasters: a provider's product has a grid of its own."""
    for path in paths:
        refuse_folder(path)
    return read_raster_header(paths, **wishes)


def scene_files(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> tuple[Path, ...]:
    """The files that `read_header` would read; of a provider's product without opening a raster, and of a scene
    elsewhere without fetching one."""
    if is_card(paths[0]):
        here, layers = members(paths[0]), layer_files(paths, wishes.get("quality"))
        return (*here, *layers) if len(here) == 1 else read_header(paths, **wishes).paths
    if find_document(paths[0]) is None or wishes.get("mosaic") is not None:
        if is_dicom(paths[0]):
            return dicom_files(paths)
        return read_header(paths, **wishes).paths
    bands, documents = files_of(paths, wishes.get("bands"), wishes.get("roots"), wishes.get("guided", 1))
    if neighbours(bands):
        return read_header(paths, **wishes).paths
    quality = wishes.get("quality") or {}
    layers = layer_files(paths[:1], wishes.get("quality"))
    ordered = (*bands, *layers, *documents) if quality.get("as_") == "band" else (*bands, *documents, *layers)
    return tuple(dict.fromkeys(ordered))


@contextmanager
def open_scene(header: Header) -> Iterator[SceneReader]:
    """The reader of the scene, or of the window of one, that `header` describes."""
    with next(one for one in FORMATS if one.name == header.format).open(header.whole) as reader:
        yield reader if header.part is None else _Part(reader, header.part.start)


@dataclass(frozen=True)
class _Part:
    """Windows of a window of a scene."""

    scene: SceneReader
    start: tuple[int, ...]

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        return self.scene.read(self._there(window))

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        return self.scene.read_alpha(self._there(window))

    def _there(self, window: tuple[slice, ...]) -> tuple[slice, ...]:
        return tuple(slice(w.start + s, w.stop + s) for w, s in zip(window, self.start, strict=True))


def header_like(paths: Sequence[Path], lr: Header, bands: Sequence[str] | None = None) -> Header:
    """The header of what was made of `lr`. Where `bands` of it were asked for, the bands of their names, if it has
    such; all bands otherwise."""
    alpha: AlphaRule = "auto" if lr.alpha is None else "mask"
    header = read_header(paths, lr.kind, bands=bands if len(paths) > 1 else None, alpha=alpha, axes=lr.axes)
    wanted, there = [band.name for band in lr.bands], [band.name for band in header.bands]
    if bands is None or len(paths) > 1 or wanted == there or not set(wanted) <= set(there):
        return header
    return read_header(paths, lr.kind, bands=wanted, alpha=alpha, axes=lr.axes)


def hr_header(paths: Sequence[Path], lr: Header, sr: Header) -> Header:
    """The header of the true HR; GridError unless it has the bands and the size of the SR."""
    path = paths[0]
    alpha: AlphaRule = "auto" if lr.alpha is None else "mask"
    header = read_header(paths, lr.kind, alpha=alpha, axes=lr.axes)
    names = {band.name for band in header.bands}
    if len(header.bands) != len(sr.bands) and all(band.name in names for band in lr.bands):
        header = read_header(paths, lr.kind, bands=[band.name for band in lr.bands], alpha=alpha, axes=lr.axes)
    if header.grid.shape != sr.grid.shape or len(header.bands) != len(sr.bands):
        found = f"{len(header.bands)} bands of {' x '.join(map(str, header.grid.shape))}"
        wanted = f"give {len(sr.bands)} bands of {' x '.join(map(str, sr.grid.shape))}"
        raise GridError(f"the HR {path.name} does not fit its SR", found, wanted, code="BAD_HR")
    return header
