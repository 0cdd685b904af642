"""NIfTI volumes, in and out: stored numbers in native dtype, never rescaled; flat memory."""

from __future__ import annotations

import gzip
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from srcore.errors import SourceError, StoreError
from srcore.grid import Grid
from srcore.progress import Progress
from srcore.storage.disk.files import store_error
from srcore.storage.disk.real_file import real_file
from srcore.storage.header import Header
from srcore.storage.nifti.header import (
    HEADERS,
    parse_nifti,
    plain_extra,
    read_nifti_header,
    start_of,
    volume_shape,
)
from srcore.storage.nifti.packed import is_gzip, truncated, unpack
from srcore.storage.nifti.placing import mm_of

T = TypeVar("T")

GZIP_LEVEL = 1
"""Level 4 takes 3.4 times the time for 5 % fewer bytes of CT; level 6 takes 5 times for 8 %."""
NIFTI1_AXIS = 32767
"""Voxels on an axis that NIfTI-1 can say; longer ones are written as NIfTI-2."""


class NiftiReader:
    """Reads windows of a volume from an uncompressed stream; made by `open_nifti`, used in one thread."""

    def __init__(self, header: Header, file: IO[bytes], offset: int, dtype: np.dtype[Any]) -> None:
        self._header, self._file, self._offset, self._dtype = header, file, offset, dtype
        self._axes = axes_of(header)

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (1, Z, Y, X) as stored and validity of a window inside the volume. Raises SourceError."""
        slices, rows, columns = in_file(window, self._axes)
        _, height, width = in_file(self._header.grid.shape, self._axes)
        deep, high = slices.stop - slices.start, rows.stop - rows.start
        values = np.empty((1, deep, high, columns.stop - columns.start), self._header.dtype)
        length = high * width * self._dtype.itemsize
        for i in range(deep):
            first = ((slices.start + i) * height + rows.start) * width
            self._file.seek(self._offset + first * self._dtype.itemsize)
            data = self._file.read(length)
            if len(data) < length:
                raise truncated(Path(self._header.bands[0].path), f"an end within slice {slices.start + i}")
            values[0, i] = np.frombuffer(data, self._dtype).reshape(high, width)[:, columns]
        here: NDArray[np.generic] = values.transpose(0, *(1 + axis for axis in self._axes))
        return here, self._valid(here)

    def _valid(self, values: NDArray[np.generic]) -> NDArray[np.bool_]:
        nodata = self._header.bands[0].nodata
        valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
        if nodata is not None and not np.isnan(nodata):
            valid &= values != values.dtype.type(nodata)
        return valid

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[np.generic]:
        """Volumes have no alpha band: raises SourceError."""
        raise SourceError("a volume has no alpha band", self._header.bands[0].path, "ask for its values")


@contextmanager
def open_nifti(header: Header) -> Iterator[NiftiReader]:
    """The reader of a volume whose header was read before.

    A .nii.gz is unpacked once to a nameless file in the temporary folder: gzip has no random access. Its checksum is
    proved on the way. Raises SourceError, code TRUNCATED, SOURCE_CHANGED or BAD_SOURCE.
    """
    path = Path(header.bands[0].path)
    real_file(path)
    head = parse_nifti(path)
    dtype = head.get_data_dtype()
    shape, count = volume_shape(path, head)
    place = int(header.extra.get("volume", 0))
    if shape != in_file(header.grid.shape, axes_of(header)) or dtype.name != header.dtype or place >= count:
        found = f"{count} of shape {shape} {dtype.name}"
        raise SourceError(f"{path}: changed since it was planned", found, "run the scene again", code="SOURCE_CHANGED")
    offset = start_of(head, shape, place)
    with path.open("rb") if not is_gzip(path) else TemporaryFile() as file:
        if is_gzip(path):
            unpack(path, start_of(head, shape, count), file)
        yield NiftiReader(header, file, offset, dtype)


def write_nifti(path: Path, header: Header, scale: Sequence[int], sr: Any, progress: Progress | None = None) -> None:
    """Write SR values (1, Z, Y, X), an array or Zarr, as .nii or .nii.gz on `header.grid.scaled(scale)`.

    Slab by slab; the same input gives the same bytes. Raises StoreError when the disk refuses.
    """
    axes = axes_of(header)
    shape = in_file(header.grid.scaled(scale).shape, axes)
    try:
        with path.open("wb") as raw, _packer(path, raw) as file:
            file.write(_header_bytes(header, scale))
            for window, last in _slabs(sr, axes):
                _write_slab(file, np.asarray(sr[(0, *window)]).transpose(in_file((0, 1, 2), axes)), header.dtype)
                if progress is not None:
                    progress(last, shape[0])
    except OSError as error:
        raise store_error(path, error) from error


def _write_slab(file: IO[bytes], slab: NDArray[Any], dtype: str) -> None:
    """Plane by plane: a slab may be half a gigabyte, of which one copy is enough; and none stays for the next, as it
    would by a plane that the loop of the slabs still holds."""
    for plane in slab:
        file.write(np.ascontiguousarray(plane).astype(dtype, casting="no", copy=False).tobytes())


@contextmanager
def _packer(path: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    if path.suffix.lower() != ".gz":
        yield raw
        return
    # No name and no time: the same volume gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0) as packed:
        yield packed  # type: ignore[misc]


def axes_of(header: Header) -> tuple[int, ...]:
    """Which of the file's axes (k, j, i) are (Z, Y, X)."""
    return header.axes or (0, 1, 2)


def in_file(values: Sequence[T], axes: Sequence[int]) -> tuple[T, ...]:
    """One value for each of (Z, Y, X), in the file's order (k, j, i)."""
    return tuple(values[list(axes).index(axis)] for axis in range(3))


def _slabs(sr: Any, axes: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], int]]:
    """Windows (Z, Y, X) that follow each other in the file, and where each ends along k; so deep as the array holds
    it, so that few chunks are read twice."""
    along = 1 + list(axes).index(0)
    depth, step = sr.shape[along], (getattr(sr, "shards", None) or getattr(sr, "chunks", None) or (1, 8, 8, 8))[along]
    whole = [slice(0, n) for n in sr.shape[1:]]
    for first in range(0, depth, step):
        last = min(first + step, depth)
        yield (*whole[: along - 1], slice(first, last), *whole[along:]), last


def _header_bytes(header: Header, scale: Sequence[int]) -> bytes:
    own = header.extra if header.extra and header.format == "nifti" else plain_extra(header.grid)
    extra, grid, band = own, header.grid.scaled(scale), header.bands[0]
    axes = axes_of(header)
    scale = in_file(scale, axes)
    head = HEADERS[2 if max(grid.shape) > NIFTI1_AXIS else extra["version"]](endianness="<")
    head.set_data_dtype(header.dtype)
    head.set_data_shape(in_file(grid.shape, axes)[::-1])
    head.set_zooms([step / mm_of(extra["units"][0]) for step in in_file(grid.spacing(), axes)[::-1]])
    head.set_data_offset(head.single_vox_offset)
    # Field by field: nibabel's setter writes nothing for a slope of 1 and cannot say every code.
    head["scl_slope"], head["scl_inter"] = band.scale, band.offset
    head["intent_code"] = extra["intent"][0]
    for i in (1, 2, 3):
        head[f"intent_p{i}"] = extra["intent"][i]
    head["cal_min"], head["cal_max"] = extra["display"]
    head["dim_info"] = extra["dim_info"]
    head.set_xyzt_units(*extra["units"])
    if extra["sform"] is not None:
        head.set_sform(_rescaled(extra["sform"], scale), extra["sform_code"])
    if extra["qform"] is not None:
        head.set_qform(_rescaled(extra["qform"], scale), extra["qform_code"])
    return bytes(head.binaryblock) + b"\0\0\0\0"


def _rescaled(centred: Sequence[Sequence[float]], scale: Sequence[int]) -> NDArray[np.float64]:
    """A centre-based affine over (i, j, k) for voxels divided by `scale` (z, y, x), with the same outer edge.

    The first SR voxel's centre lies (1 - 1/s)/2 of an LR voxel before the first LR voxel's.
    """
    affine = np.array(centred, np.float64)
    step = np.asarray(scale[::-1], np.float64)
    affine[:3, 3] += affine[:3, :3] @ ((1 / step - 1) / 2)
    affine[:3, :3] /= step
    return affine


def verify_nifti(path: Path, header: Header, scale: Sequence[int], sr: Any) -> None:
    """Read a written volume back: grid, numbers and every voxel. Raises StoreError when anything differs."""
    try:
        axes = axes_of(header)
        written = read_nifti_header([path], axes=(axes[0], axes[1], axes[2]))
        _compare_headers(path, written, header, header.grid.scaled(scale))
        with open_nifti(written) as reader:
            for window, last in _slabs(sr, axes):
                if not _is_same(reader, window, np.asarray(sr[(0, *window)]), list(axes).index(0)):
                    found = f"other voxels in slices up to {last}"
                    raise StoreError(f"{path}: not what was written", found, "run again", code="VERIFY_FAILED")
    except SourceError as error:
        raise StoreError(f"{path}: cannot be read back", str(error), "run again", code="VERIFY_FAILED") from error


def _is_same(reader: NiftiReader, window: tuple[slice, ...], slab: NDArray[Any], along: int) -> bool:
    """Whether the file holds the bytes of a slab (Z, Y, X); plane by plane along that axis, which the file is slowest
    on."""
    for place in range(slab.shape[along]):
        first = window[along].start + place
        plane = (*window[:along], slice(first, first + 1), *window[along + 1 :])
        written = reader.read(plane)[0][0]
        if written.tobytes() != np.ascontiguousarray(slab.take([place], axis=along)).tobytes():
            return False
    return True


def _compare_headers(path: Path, written: Header, header: Header, grid: Grid) -> None:
    # NIfTI-1 keeps affines in float32: a ten-thousandth of a voxel is what it can promise.
    apart = np.abs(np.subtract(written.grid.bounds(), grid.bounds())) if written.grid.shape == grid.shape else [np.inf]
    if np.max(apart) > 1e-4 * min(grid.spacing()) + 1e-6 * np.abs(grid.matrix).max():
        raise StoreError(
            f"{path}: not where it should lie", f"{written.grid} instead of {grid}", "report this", code="VERIFY_FAILED"
        )
    kept = (written.dtype, np.float32(written.bands[0].scale), np.float32(written.bands[0].offset))
    asked = (header.dtype, np.float32(header.bands[0].scale), np.float32(header.bands[0].offset))
    if kept != asked:
        raise StoreError(
            f"{path}: not the numbers that were written",
            f"{kept} instead of {asked}",
            "report this",
            code="VERIFY_FAILED",
        )
