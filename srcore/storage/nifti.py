"""NIfTI volumes, in and out: stored numbers, never rescaled; the voxel-centre affine is converted at this door.

    file index (i, j, k) = (x, y, z), x fastest; array (Z, Y, X) = (k, j, i): the same bytes in C order.
    A centre-based affine says where index 0 has its CENTRE; a Grid where pixel 0 has its corner, half a voxel before.

No text of a header is kept (`descrip`, `aux_file`, `db_name`, `intent_name`, extensions): it may name a patient.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

import nibabel
import numpy as np
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from srcore.errors import SourceError, StoreError
from srcore.grid import Grid
from srcore.storage.gdal import MAX_PIXELS, real_file
from srcore.storage.header import Band, Header
from srcore.storage.raster_header import DTYPES, fit_nodata, nodata_form

GZIP = b"\x1f\x8b"
GZIP_LEVEL = 4
DEFLATE_LIMIT = 1032
"""DEFLATE cannot expand more than this: a file that declares more is cut."""
PIECE = 2**20
NIFTI1_AXIS = 32767
"""Voxels on an axis that NIfTI-1 can say; longer ones are written as NIfTI-2."""
LABEL_INTENT = 1002


def read_nifti_header(
    paths: Sequence[Path],
    bands: Sequence[str] | None = None,
    nodata: float | None = None,
    roots: Sequence[Path] | None = None,
) -> Header:
    """The header of a volume in one .nii or .nii.gz file: grid (Z, Y, X) in millimetres (or the file's unit), RAS+.

    `bands`: at most one name. `nodata`: a stored number that means 'nothing here'; NaN always does. Raises
    SourceError for what is not one 3-D volume of real numbers.
    """
    if len(paths) != 1:
        raise SourceError("a volume is one file", f"{len(paths)} files", "give one .nii or .nii.gz file")
    path = real_file(paths[0], roots)
    head = _parse(path)
    shape, dtype = _shape(path, head), _dtype(path, head)
    if nodata is not None and fit_nodata(nodata, dtype) is None:
        raise SourceError(f"nodata {nodata:g} does not fit the voxels", dtype, f"give a number that {dtype} can hold")
    tag = None if nodata is None else fit_nodata(nodata, dtype)
    slope, inter = _slope(path, head)
    band = Band(str(path), 1, _name(bands), tag, slope, inter, unit=None, colour="gray")
    _refuse_cut(path, head, shape, dtype)
    return Header(
        kind="volume", grid=_corner_grid(path, shape, head.get_best_affine()), dtype=dtype, bands=(band,),
        nodata=nodata_form(dtype, [tag]), extra=_extra(head), flags=_flags(path, head),
    )  # fmt: skip


def _parse(path: Path) -> Any:
    """nibabel's header, of version 1 or 2, from the first bytes alone: extensions are not touched."""
    with _open(path) as file:
        start = _take(file, 544, path)
    kind = {b"n+1": nibabel.Nifti1Header, b"n+2": nibabel.Nifti2Header}.get(
        start[344:347] if start[344:347] == b"n+1" else start[4:7]
    )
    if kind is None:
        pair = start[344:347] in (b"ni1", b"\0\0\0") and start[:4] in (b"\x5c\1\0\0", b"\0\0\1\x5c")
        found = "a .hdr/.img pair" if pair else "DICOM" if start[128:132] == b"DICM" else f"bytes {start[:8].hex(' ')}"
        raise SourceError(f"{path}: not a NIfTI volume in one file", found, "convert it to .nii.gz")
    try:
        return kind(start[: kind.template_dtype.itemsize], check=True)
    except (HeaderDataError, ValueError) as error:
        raise SourceError(f"{path}: its header is damaged", " ".join(str(error).split()), "fetch it again") from error


def _shape(path: Path, head: Any) -> tuple[int, int, int]:
    """(Z, Y, X)."""
    shape = tuple(int(n) for n in head.get_data_shape())
    if any(n != 1 for n in shape[3:]):
        raise SourceError(
            f"{path}: more than one volume", f"shape {shape}", "split it: one file for each time point or channel"
        )
    x, y, z = (*shape[:3], 1, 1, 1)[:3] if len(shape) < 3 else shape[:3]
    if min(x, y, z) < 1:
        raise SourceError(f"{path}: the volume is empty", f"shape {shape}", "give a volume with voxels")
    if x * y * z > MAX_PIXELS:
        raise SourceError(f"{path}: too large to read", f"shape {shape}", "cut it", code="TOO_LARGE")
    return z, y, x


def _dtype(path: Path, head: Any) -> str:
    stored = head.get_data_dtype()
    if stored.fields is not None:
        raise SourceError(f"{path}: colour voxels", "RGB", "split it: one file for each channel")
    if stored.name not in DTYPES:
        raise SourceError(f"{path}: unknown voxel type", stored.name, f"convert it to one of {', '.join(DTYPES)}")
    return str(stored.name)


def _slope(path: Path, head: Any) -> tuple[float, float]:
    try:
        slope, inter = head.get_slope_inter()
    except HeaderDataError as error:
        raise SourceError(f"{path}: its slope or intercept is no number", str(error), "fetch it again") from error
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def _name(bands: Sequence[str] | None) -> str:
    if bands is not None and len(bands) != 1:
        raise SourceError("a volume has one band", f"{len(bands)} names", "give one name, or none")
    return bands[0] if bands else "band 1"


def _refuse_cut(path: Path, head: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse a file that has fewer bytes than its header declares, as far as its size tells."""
    size = path.stat().st_size
    declared = head.get_data_offset() + prod(shape) * np.dtype(dtype).itemsize
    if size * (DEFLATE_LIMIT if _is_gzip(path) else 1) < declared:
        raise _cut(path, f"{size} bytes that declare {declared}")


def _corner_grid(path: Path, shape: tuple[int, int, int], centred: NDArray[np.float64]) -> Grid:
    """The corner-based grid (Z, Y, X) of a centre-based 4 x 4 affine over (i, j, k)."""
    linear, origin = centred[:3, :3], centred[:3, 3]
    if not np.isfinite(centred).all() or np.linalg.det(linear) == 0:
        raise SourceError(f"{path}: its affine cannot be kept", str(centred.tolist()), "set its sform", code="BAD_GRID")
    corner = origin - linear @ [0.5, 0.5, 0.5]
    return Grid(shape, tuple(tuple(map(float, (*row[::-1], o))) for row, o in zip(linear, corner, strict=True)))


def _extra(head: Any) -> dict[str, Any]:
    """What a NIfTI header needs to be written again: numbers and codes only."""
    qform, qform_code = head.get_qform(coded=True)
    sform, sform_code = head.get_sform(coded=True)
    return {
        "version": 2 if isinstance(head, nibabel.Nifti2Header) else 1,
        "qform": None if qform is None else qform.tolist(), "qform_code": int(qform_code),
        "sform": None if sform is None else sform.tolist(), "sform_code": int(sform_code),
        "units": list(head.get_xyzt_units()), "dim_info": int(head["dim_info"]),
        "intent": [int(head["intent_code"]), *(float(head[f"intent_p{i}"]) for i in (1, 2, 3))],
        "display": [float(head["cal_min"]), float(head["cal_max"])],
    }  # fmt: skip


def _flags(path: Path, head: Any) -> tuple[str, ...]:
    flags = []
    if head["qform_code"] == 0 and head["sform_code"] == 0:
        flags.append("no qform or sform: placed by its voxel sizes alone")
    if any(bytes(head[name]).strip(b"\0 ") for name in ("descrip", "aux_file", "db_name", "intent_name")):
        flags.append("dropped text of the header, which may name a patient")
    if head.get_data_offset() > head.single_vox_offset:
        flags.append("dropped header extensions")
    if head["intent_code"] == LABEL_INTENT:
        flags.append("a label map: its numbers are classes")
    return tuple(flags)


class NiftiReader:
    """Reads windows of a volume from an uncompressed stream; made by `open_nifti`, used in one thread."""

    def __init__(self, header: Header, file: IO[bytes], offset: int, dtype: np.dtype[Any]) -> None:
        self._header, self._file, self._offset, self._dtype = header, file, offset, dtype

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
        """Values (1, Z, Y, X) as stored and validity of a window inside the volume. Raises SourceError."""
        slices, rows, columns = window
        _, height, width = self._header.grid.shape
        deep, high = slices.stop - slices.start, rows.stop - rows.start
        values = np.empty((1, deep, high, columns.stop - columns.start), self._header.dtype)
        length = high * width * self._dtype.itemsize
        for i in range(deep):
            first = ((slices.start + i) * height + rows.start) * width
            self._file.seek(self._offset + first * self._dtype.itemsize)
            data = self._file.read(length)
            if len(data) < length:
                raise _cut(Path(self._header.bands[0].path), f"an end within slice {slices.start + i}")
            values[0, i] = np.frombuffer(data, self._dtype).reshape(high, width)[:, columns]
        return values, self._valid(values)

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
    head = _parse(path)
    dtype = head.get_data_dtype()
    if _shape(path, head) != header.grid.shape or dtype.name != header.dtype:
        raise SourceError(f"{path}: changed since it was planned", f"shape {_shape(path, head)} {dtype.name}",
                          "run the scene again", code="SOURCE_CHANGED")  # fmt: skip
    offset = int(head.get_data_offset())
    with path.open("rb") if not _is_gzip(path) else TemporaryFile() as file:
        if _is_gzip(path):
            _unpack(path, file, offset + prod(header.grid.shape) * dtype.itemsize)
        yield NiftiReader(header, file, offset, dtype)


def _unpack(path: Path, target: IO[bytes], size: int) -> None:
    with _open(path) as source:
        left = size
        while left:
            data = _take(source, min(PIECE, left), path)
            if not data:
                raise _cut(path, f"{size - left} bytes where its header declares {size}")
            target.write(data)
            left -= len(data)
        # The checksum is compared at the very end; a tail that goes on is no part of the volume.
        if len(_take(source, PIECE, path)) == PIECE:
            raise SourceError(f"{path}: holds more than its header declares", f"over {size} bytes", "fetch it again")


def _take(file: IO[bytes], size: int, path: Path) -> bytes:
    try:
        return file.read(size)
    except EOFError as error:
        raise _cut(path, "an end within the compressed data") from error
    except (gzip.BadGzipFile, zlib.error, OSError) as error:
        raise SourceError(f"{path}: its compressed data is damaged", str(error), "fetch the file again") from error


def _open(path: Path) -> IO[bytes]:
    return gzip.open(path, "rb") if _is_gzip(path) else path.open("rb")  # type: ignore[return-value]


def _is_gzip(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == GZIP


def _cut(path: Path, found: str) -> SourceError:
    return SourceError(f"{path}: the file is cut short", found, "fetch the file again", code="TRUNCATED")


def write_nifti(
    path: Path, header: Header, scale: Sequence[int], sr: Any, progress: Callable[[int, int], None] | None = None
) -> None:
    """Write SR values (1, Z, Y, X), an array or Zarr, as .nii or .nii.gz on `header.grid.scaled(scale)`.

    Slab by slab; the same input gives the same bytes. Raises StoreError when the disk refuses.
    """
    shape = header.grid.scaled(scale).shape
    try:
        with path.open("wb") as raw, _packer(path, raw) as file:
            file.write(_header_bytes(header, scale))
            for first, last in _slabs(sr):
                file.write(np.ascontiguousarray(sr[0, first:last]).astype(header.dtype, casting="no").tobytes())
                if progress is not None:
                    progress(last, shape[0])
    except OSError as error:
        raise StoreError(f"{path}: cannot be written", error.strerror or str(error), "free space, or check it") from error


@contextmanager
def _packer(path: Path, raw: IO[bytes]) -> Iterator[IO[bytes]]:
    if path.suffix != ".gz":
        yield raw
        return
    # No name and no time: the same volume gives the same bytes.
    with gzip.GzipFile(filename="", mode="wb", compresslevel=GZIP_LEVEL, fileobj=raw, mtime=0) as packed:
        yield packed  # type: ignore[misc]


def _slabs(sr: Any) -> Iterator[tuple[int, int]]:
    """Runs of slices as the array holds them, so that no chunk is read twice."""
    depth, step = sr.shape[1], (getattr(sr, "shards", None) or getattr(sr, "chunks", None) or (1, 8))[1]
    return ((first, min(first + step, depth)) for first in range(0, depth, step))


def _header_bytes(header: Header, scale: Sequence[int]) -> bytes:
    extra, grid, band = header.extra, header.grid.scaled(scale), header.bands[0]
    long = max(grid.shape) > NIFTI1_AXIS
    head = (nibabel.Nifti2Header if long or extra["version"] == 2 else nibabel.Nifti1Header)(endianness="<")
    head.set_data_dtype(header.dtype)
    head.set_data_shape(grid.shape[::-1])
    head.set_zooms(grid.spacing()[::-1])
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
        written = read_nifti_header([path])
        _compare_headers(path, written, header, header.grid.scaled(scale))
        with open_nifti(written) as reader:
            for first, last in _slabs(sr):
                window = (slice(first, last), slice(0, sr.shape[2]), slice(0, sr.shape[3]))
                if reader.read(window)[0].tobytes() != np.ascontiguousarray(sr[:, first:last]).tobytes():
                    raise StoreError(f"{path}: not what was written", f"other voxels in slices {first}:{last}", "run again")
    except SourceError as error:
        raise StoreError(f"{path}: cannot be read back", str(error), "run again") from error


def _compare_headers(path: Path, written: Header, header: Header, grid: Grid) -> None:
    # NIfTI-1 keeps affines in float32: a ten-thousandth of a voxel is what it can promise.
    apart = np.abs(np.subtract(written.grid.bounds(), grid.bounds())) if written.grid.shape == grid.shape else [np.inf]
    if np.max(apart) > 1e-4 * min(grid.spacing()) + 1e-6 * np.abs(grid.matrix).max():
        raise StoreError(f"{path}: not where it should lie", f"{written.grid} instead of {grid}", "report this")
    kept = (written.dtype, np.float32(written.bands[0].scale), np.float32(written.bands[0].offset))
    asked = (header.dtype, np.float32(header.bands[0].scale), np.float32(header.bands[0].offset))
    if kept != asked:
        raise StoreError(f"{path}: not the numbers that were written", f"{kept} instead of {asked}", "report this")
