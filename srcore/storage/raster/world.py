"""World files and .prj files: a raster's place and CRS in a few lines of text beside it."""

from __future__ import annotations

from pathlib import Path

from srcore.storage.raster.beside import bad_sidecar
from srcore.storage.raster.pam import Affine, read_crs

MAX_BYTES = 2**16


def read_world(path: Path) -> Affine:
    """The corner-based affine of a world file, whose six numbers place the CENTRE of the first pixel.

    SourceError SIDECAR when it is not six numbers that span an area.
    """
    words = _text(path).split()[:6]
    try:
        x_col, y_col, x_row, y_row, x, y = (float(word.replace(",", ".")) for word in words)
    except ValueError as error:
        raise bad_sidecar(path, f"{len(words)} words that are not six numbers") from error
    if not x_col * y_row - x_row * y_col:
        raise bad_sidecar(path, "pixels without an area")
    return (x_row, x_col, x - (x_col + x_row) / 2), (y_row, y_col, y - (y_col + y_row) / 2)


def read_prj(path: Path) -> str:
    """The CRS of a .prj file as WKT2; SourceError SIDECAR when it is not WKT."""
    try:
        return read_crs(_text(path))
    except ValueError as error:
        raise bad_sidecar(path, str(error), "give the CRS as WKT, or in the raster: gdal_edit -a_srs") from error


def _text(path: Path) -> str:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise bad_sidecar(path, (error.strerror or str(error)).lower()) from error
    if len(data) > MAX_BYTES:
        raise bad_sidecar(path, f"more than {MAX_BYTES} bytes")
    return data.decode("utf-8-sig", "replace")
