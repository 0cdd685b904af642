"""The files of a derived series, 00001.dcm and on, or the one of all frames where the source is such a file; and their
reading back. A slab of slices is in memory at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from srcore.errors import SourceError, StoreError
from srcore.storage.dicom.derived import (
    Origins,
    Series,
    derived_slice,
    file_meta,
    origins_of,
    series_of,
    stored_bytes,
)
from srcore.storage.dicom.even import open_dicom
from srcore.storage.dicom.facts import Facts, classic_because
from srcore.storage.dicom.files import hushed
from srcore.storage.dicom.frames import derived_frames
from srcore.storage.dicom.header import read_dicom_header
from srcore.storage.disk.files import store_error
from srcore.storage.header import Header

APART_MM = 1e-4
"""A position may be rounded by so much: a number in DICOM has 16 characters."""
PIXEL_DATA = b"\xe0\x7f\x10\x00OW\0\0"
"""How the element of the pixels begins in explicit little-endian; its length of 32 bits follows."""


def write_derived(folder: Path, header: Header, scale: Sequence[int], sr: Any, facts: Facts) -> None:
    """Write SR values (1, Z, Y, X), an array or Zarr, as a series derived from the one of `header`.

    The same input gives the same bytes. Raises StoreError when the disk refuses, SourceError where a header of the
    source cannot be read any more.
    """
    series, origin = series_of(header, scale, facts, _digest(sr)), origins_of(header)
    write = _write_slices if classic_because(header, scale) else _write_frames
    try:
        folder.mkdir(mode=0o700 if facts.identity == "keep" else 0o777)
        with hushed():
            write(folder, series, origin, sr)
    except (StoreError, SourceError):
        raise
    except OSError as error:
        raise store_error(folder, error) from error
    except Exception as error:  # whatever a damaged value makes pydicom do; what it says is not repeated
        what, do = "a value of a DICOM header cannot be written", "leave identity: keep out, or fetch the series again"
        raise SourceError(what, type(error).__name__, do, code="DAMAGED") from None


def _write_slices(folder: Path, series: Series, origin: Origins, sr: Any) -> None:
    for place, values in _slices(sr):
        made = derived_slice(series, place, [origin(parent) for parent in series.parents(place)], values)
        _write(folder / f"{place + 1:05}.dcm", made, series)


def _write_frames(folder: Path, series: Series, origin: Origins, sr: Any) -> None:
    """All frames in one file: its header, and then the pixels, which are its last element, slice by slice."""
    path, made = folder / "00001.dcm", derived_frames(series, origin)
    size = made.NumberOfFrames * made.Rows * made.Columns * made.BitsAllocated // 8
    _write(path, made, series)
    with path.open("ab") as file:
        file.write(PIXEL_DATA + size.to_bytes(4, "little"))
        for _, values in _slices(sr):
            file.write(stored_bytes(values))


def _write(path: Path, made: Dataset, series: Series) -> None:
    made.file_meta = file_meta(made)
    pydicom.dcmwrite(path, made, enforce_file_format=True)
    if series.facts.identity == "keep":
        path.chmod(0o600)


def verify_derived(folder: Path, header: Header, scale: Sequence[int], sr: Any) -> None:
    """Read a written series back, as any other: place, numbers and every voxel. StoreError when anything differs."""
    grid, band = header.grid.scaled(scale), header.bands[0]
    try:
        written = read_dicom_header([folder])
        if written.grid.shape != grid.shape or _apart(written, header, scale) > APART_MM:
            found = f"{written.grid} instead of {grid}"
            raise StoreError(f"{folder.name}: not where it should lie", found, "report this", code="VERIFY_FAILED")
        own, asked = written.bands[0], (header.dtype, band.scale, band.offset, band.nodata)
        if (written.dtype, own.scale, own.offset, own.nodata) != asked:
            what = f"{folder.name}: not the numbers that were written"
            raise StoreError(what, f"{own} instead of {asked}", "report this", code="VERIFY_FAILED")
        whole = tuple(slice(0, size) for size in grid.shape[1:])
        with open_dicom(written) as reader:
            for place, values in _slices(sr):
                if reader.read((slice(place, place + 1), *whole))[0].tobytes() != values.tobytes():
                    what = f"{folder.name}: not what was written"
                    raise StoreError(what, f"other voxels in slice {place + 1}", "run again", code="VERIFY_FAILED")
    except SourceError as error:
        raise StoreError(
            f"{folder.name}: cannot be read back", str(error), "run again", code="VERIFY_FAILED"
        ) from error


def _apart(written: Header, header: Header, scale: Sequence[int]) -> float:
    """How far a corner of the volume lies from where it should, in mm."""
    return float(np.abs(np.subtract(written.grid.bounds(), header.grid.scaled(scale).bounds())).max())


def _slices(sr: Any) -> Iterator[tuple[int, NDArray[Any]]]:
    """Each slice (Y, X) with its place; so many are held as the array has in a shard, and none of the shard before."""
    depth, step = sr.shape[1], (getattr(sr, "shards", None) or getattr(sr, "chunks", None) or (1, 8))[1]
    for first in range(0, depth, step):
        slab = np.asarray(sr[0, first : min(first + step, depth)])
        yield from ((first + i, values.copy()) for i, values in enumerate(slab))
        del slab


def _digest(sr: Any) -> str:
    digest = hashlib.sha256()
    for _, values in _slices(sr):
        digest.update(values.tobytes())
    return digest.hexdigest()
