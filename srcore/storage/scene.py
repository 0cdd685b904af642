"""One door for both kinds of scene: its header, and windows of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.errors import GridError
from srcore.storage.header import Header
from srcore.storage.nifti.header import read_nifti_header
from srcore.storage.nifti.volume import open_nifti
from srcore.storage.raster.header import read_raster_header
from srcore.storage.raster.reader import open_raster_scene


class SceneReader(Protocol):
    """Pixels of an open scene, by window in array order, inside the scene."""

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (C, *window) in native dtype, and which of them are valid (C, *window)."""

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Native values (*window) of the alpha band; only for a header that has one."""


def read_header(
    paths: Sequence[Path],
    kind: Literal["raster", "volume"],
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    roots: Sequence[Path] | None = None,
) -> Header:
    """The header of a scene; no pixel is read. Raises SourceError or GridError for what cannot be processed."""
    if kind == "raster":
        return read_raster_header(paths, bands, nodata, roots)
    return read_nifti_header(paths, bands, nodata, roots)


def open_scene(header: Header) -> AbstractContextManager[SceneReader]:
    """The reader of the scene that `header` describes, as a context manager."""
    return open_raster_scene(header) if header.kind == "raster" else open_nifti(header)


def hr_header(path: Path, lr: Header, sr: Header) -> Header:
    """The header of the true HR; GridError unless it has the bands and the size of the SR."""
    header = read_header([path], lr.kind)
    names = {band.name for band in header.bands}
    if len(header.bands) != len(sr.bands) and all(band.name in names for band in lr.bands):
        header = read_header([path], lr.kind, [band.name for band in lr.bands])
    if header.grid.shape != sr.grid.shape or len(header.bands) != len(sr.bands):
        found = f"{len(header.bands)} bands of {' x '.join(map(str, header.grid.shape))}"
        raise GridError(
            f"the HR {path.name} does not fit its SR",
            found,
            f"give {len(sr.bands)} bands of {' x '.join(map(str, sr.grid.shape))}",
            code="BAD_HR",
        )
    return header
