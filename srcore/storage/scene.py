"""One door for both kinds of scene: its header, and windows of its pixels."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from srcore.storage.header import Header
from srcore.storage.nifti import open_nifti
from srcore.storage.nifti_header import read_nifti_header
from srcore.storage.raster import open_raster_scene
from srcore.storage.raster_header import read_raster_header


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
