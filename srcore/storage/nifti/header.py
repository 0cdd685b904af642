"""The header of a NIfTI volume, and its bytes unpacked; the voxel-centre affine is converted at this door.

    file index (i, j, k) = (x, y, z), x fastest; array (Z, Y, X) = (k, j, i): the same bytes in C order.
    A centre-based affine says where index 0 has its CENTRE; a Grid where pixel 0 has its corner, half a voxel before.

No text of a header is kept (`descrip`, `aux_file`, `db_name`, `intent_name`, extensions): it may name a patient.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from math import prod
from pathlib import Path
from typing import Any, Unpack

import nibabel
import numpy as np
from nibabel import imageglobals
from nibabel.spatialimages import HeaderDataError
from numpy.typing import NDArray

from srcore.choices import ValuesRule
from srcore.errors import GridError, SourceError
from srcore.grid import Grid
from srcore.storage.band import Band, Values
from srcore.storage.disk.real_file import MAX_PIXELS, real_file
from srcore.storage.disk.strangers import HEAD, stranger
from srcore.storage.header import Header
from srcore.storage.meaning import copied_flags, look_like_classes, told_values
from srcore.storage.nifti.door import version_of
from srcore.storage.nifti.packed import is_gzip, open_unpacked, skip, take, truncated, unpack
from srcore.storage.nifti.padding import find_padding
from srcore.storage.nifti.placing import mm_of, place_flags, refuse_sizes, refuse_spacing, slices_first
from srcore.storage.numbers import DTYPES, fit_nodata, nodata_form
from srcore.storage.wish import Wish, Wishes

DEFLATE_LIMIT = 1032
"""DEFLATE cannot expand more than this: a file that declares more is cut."""
LOOKED_AT = 2**26
"""Bytes that are unpacked to see whether voxels are classes; a slice or two is enough where they are not."""
LABEL_INTENT = 1002
TEXT = ("descrip", "aux_file", "db_name", "intent_name")
HEADERS: dict[int, Any] = {1: nibabel.Nifti1Header, 2: nibabel.Nifti2Header}
"""By NIfTI version."""


def read_nifti_header(
    paths: Sequence[Path],
    **wishes: Unpack[Wishes],
) -> Header:
    """The header of a volume in one .nii or .nii.gz file: grid (Z, Y, X) in mm, whatever the file's unit, RAS+.

    Of the fields of a `Wish`, `bands` is at most one name, `axes` tells of the file's axes (k, j, i), and `nodata` is a
    stored number that means 'nothing here'; NaN always does; `volume` is one of several, as Volume=1. `alpha` is for
    rasters: a volume has none. Raises SourceError for what is not one 3-D volume of real numbers.
    """
    wish = Wish.of(**wishes)
    nodata = wish.nodata
    if len(paths) != 1:
        raise SourceError("a volume is one file", f"{len(paths)} files", "give one .nii or .nii.gz file")
    path = real_file(paths[0], wish.roots)
    head = parse_nifti(path)
    dtype, (shape, count) = _dtype(path, head), volume_shape(path, head)
    place = chosen(path, count, wish.volume)
    refuse_sizes(path, _as_stored(path, head), head)
    if nodata is not None and fit_nodata(nodata, dtype) is None:
        raise SourceError(
            f"nodata {nodata:g} does not fit the voxels",
            dtype,
            f"give a number that {dtype} can hold",
            code="BAD_SETTING",
        )
    _refuse_cut(path, head, (count, *shape), dtype)
    slope, inter = _slope(path, head)
    start = start_of(head, shape, place)
    padding = find_padding(path, head, start, shape, (slope, inter)) if nodata is None else None
    tag = padding if nodata is None else fit_nodata(nodata, dtype)
    unit = "HU" if wish.modality == "CT" else None
    band = Band(str(path), 1, _name(wish.bands), tag, slope, inter, unit=unit, colour="gray")
    values = _values(path, head, start, told_values(wish.values, band.name, "1"))
    band = replace(band, values=values, valid_range=wish.valid_range or (None, None))
    order = slices_first(head.get_best_affine(), head.get_dim_info()[2]) if wish.axes is None else wish.axes
    flags = _flags(path, head, count, place)
    if padding is not None:
        flags += (f"{padding:g} is less than CT measures, and the one such number: padding, nodata in the product",)
    if order != (0, 1, 2):
        flags += (f"its slices lie along {'kji'[order[0]]}: worked on as slices, and written as it came",)
    return Header(
        format="nifti",
        grid=_corner_grid(path, shape, _in_mm(head), order),
        dtype=dtype,
        bands=(band,),
        nodata=nodata_form(dtype, [tag]),
        extra={
            **_extra(head),
            "axes": list(order),
            **({"volume": place} if count > 1 else {}),
            **({"modality": wish.modality} if wish.modality else {}),
        },
        flags=(*flags, *copied_flags([band])),
    )


def _values(path: Path, head: Any, start: int, rule: ValuesRule) -> Values:
    """What the voxels are: as the user says, by the header's intent, else by a look at the first of them."""
    if rule != "auto":
        return rule
    if head["intent_code"] == LABEL_INTENT:
        return "categorical"
    # no scanner measures a few whole numbers: tissues from the inside out are in order, and classes all the same
    return "categorical" if look_like_classes(_first_slices(path, head, start), heights=False) else "continuous"


def _first_slices(path: Path, head: Any, start: int) -> Iterator[NDArray[Any]]:
    """Slices (y, x) from that byte on, up to LOOKED_AT bytes; NaN and Inf in them mean nothing."""
    (z, y, x), _ = volume_shape(path, head)
    dtype = head.get_data_dtype()
    size = y * x * dtype.itemsize
    with open_unpacked(path) as file:
        skip(file, start, path)
        for _ in range(min(z, max(1, LOOKED_AT // size))):
            data = take(file, size, path)
            if len(data) < size:
                return  # cut short: whoever reads all of it says so
            yield np.frombuffer(data, dtype).reshape(y, x).astype(dtype.newbyteorder("="))


def parse_nifti(path: Path) -> Any:
    """nibabel's header, of version 1 or 2, from the first bytes alone: extensions are not touched."""
    with open_unpacked(path) as file:
        start = take(file, HEAD, path)
    version = version_of(start)
    if not version:
        raise stranger(path, start)
    size = HEADERS[version].template_dtype.itemsize
    if len(start) < size:
        found = f"{len(start)} bytes of a header of {size}"
        raise SourceError(f"{path}: cut short", found, "fetch it again", code="TRUNCATED")
    # It would print what it mends; a refusal is one line of ours.
    imageglobals.logger.setLevel(logging.CRITICAL)
    try:
        head = HEADERS[version](start[:size], check=True)
        # Asked here once, so that numbers and codes that mean nothing are found at this door.
        offset, _, _ = head.get_data_offset(), head.get_best_affine(), _extra(head)
    except (HeaderDataError, ValueError, KeyError, OverflowError) as error:
        raise SourceError(
            f"{path}: its header is damaged", " ".join(str(error).split()), "fetch it again", code="DAMAGED"
        ) from error
    if offset < size:
        raise SourceError(
            f"{path}: its header is damaged", f"voxels from byte {offset}", "fetch it again", code="DAMAGED"
        )
    return head


def _as_stored(path: Path, head: Any) -> Any:
    """The header as the file has it: nibabel mends what it takes for mistakes."""
    with open_unpacked(path) as file:
        return type(head)(take(file, head.template_dtype.itemsize, path), check=False)


def volume_shape(path: Path, head: Any) -> tuple[tuple[int, int, int], int]:
    """(Z, Y, X) of a volume, and how many there are."""
    shape = tuple(int(n) for n in head.get_data_shape())
    x, y, z = (*shape[:3], 1, 1, 1)[:3] if len(shape) < 3 else shape[:3]
    count = prod(shape[3:])
    if min(x, y, z, count) < 1:
        raise SourceError(f"{path}: the volume is empty", f"shape {shape}", "give a volume with voxels")
    if x * y * z > MAX_PIXELS:
        raise SourceError(f"{path}: too large to read", f"shape {shape}", "cut it", code="TOO_LARGE")
    return (z, y, x), count


def chosen(path: Path, count: int, wanted: str | None) -> int:
    """Which of the volumes of a file is read, from 0; SourceError where it has several and none is named."""
    if wanted is None:
        if count > 1:
            do = "name one, from 1: --volume Volume=1 (volume: in the catalog), or split it: one file for each"
            raise SourceError(f"{path}: more than one volume", f"{count} of them", do, code="SEVERAL_VOLUMES")
        return 0
    tag, _, number = (part.strip() for part in wanted.partition("="))
    if tag != "Volume" or not number.isdecimal() or not 1 <= int(number) <= count:
        do = f"name one of its {count} volumes, from 1: Volume=1" if count > 1 else "take `volume` out: it has one"
        raise SourceError(f"{path}: no volume of that name", repr(wanted[:60]), do, code="BAD_SETTING")
    return int(number) - 1


def start_of(head: Any, shape: Sequence[int], place: int) -> int:
    """The first byte of a volume of a file, by its place among them."""
    return int(head.get_data_offset()) + place * prod(shape) * int(head.get_data_dtype().itemsize)


def _dtype(path: Path, head: Any) -> str:
    stored = head.get_data_dtype()
    if stored.fields is not None:
        raise SourceError(f"{path}: colour voxels", "RGB", "split it: one file for each channel", code="NOT_SUPPORTED")
    if stored.name not in DTYPES:
        raise SourceError(
            f"{path}: unknown voxel type",
            stored.name,
            f"convert it to one of {', '.join(DTYPES)}",
            code="NOT_SUPPORTED",
        )
    return str(stored.name)


def _slope(path: Path, head: Any) -> tuple[float, float]:
    try:
        slope, inter = head.get_slope_inter()
    except HeaderDataError as error:
        raise SourceError(
            f"{path}: its slope or intercept is no number", str(error), "fetch it again", code="DAMAGED"
        ) from error
    return (1.0, 0.0) if slope is None else (float(slope), float(inter or 0.0))


def _name(bands: Sequence[str] | None) -> str:
    if bands is not None and len(bands) != 1:
        raise SourceError("a volume has one band", f"{len(bands)} names", "give one name, or none", code="BAD_SETTING")
    return bands[0] if bands else "band 1"


def _refuse_cut(path: Path, head: Any, shape: tuple[int, ...], dtype: str) -> None:
    """Refuse a file that has fewer bytes than its header declares."""
    size = path.stat().st_size
    declared = head.get_data_offset() + prod(shape) * np.dtype(dtype).itemsize
    if size * (DEFLATE_LIMIT if is_gzip(path) else 1) < declared:
        raise truncated(path, f"{size} bytes that declare {declared}")
    if is_gzip(path):
        with path.open("rb") as file:
            file.seek(-4, os.SEEK_END)
            ends_with = int.from_bytes(file.read(4), "little")
        # A gzip member ends with its unpacked size; where that is another, only unpacking tells a cut file from one
        # of several members.
        if ends_with != declared % 2**32:
            unpack(path, declared, None)


def _in_mm(head: Any) -> NDArray[np.float64]:
    """The centre-based affine (4, 4) over (i, j, k)."""
    affine = np.array(head.get_best_affine(), np.float64)
    affine[:3] *= mm_of(head.get_xyzt_units()[0])
    return affine


def _corner_grid(path: Path, shape: tuple[int, int, int], centred: NDArray[np.float64], axes: Sequence[int]) -> Grid:
    """The corner-based grid (Z, Y, X) of a centre-based 4 x 4 affine over (i, j, k); `shape` in the file's order."""
    linear, origin = centred[:3, :3], centred[:3, 3]
    if not np.isfinite(centred).all() or np.linalg.det(linear) == 0:
        raise GridError(f"{path}: its affine cannot be kept", str(centred.tolist()), "set its sform")
    corner = origin - linear @ [0.5, 0.5, 0.5]
    rows = linear[:, ::-1][:, list(axes)]
    here = tuple(shape[axis] for axis in axes)
    grid = Grid(here, tuple(tuple(map(float, (*row, o))) for row, o in zip(rows, corner, strict=True)))
    refuse_spacing(path, grid.spacing())
    return grid


def _extra(head: Any) -> dict[str, Any]:
    """What a NIfTI header needs to be written again: numbers and codes only."""
    qform, qform_code = head.get_qform(coded=True)
    sform, sform_code = head.get_sform(coded=True)
    return {
        "version": 2 if isinstance(head, nibabel.Nifti2Header) else 1,
        "qform": None if qform is None else qform.tolist(),
        "qform_code": int(qform_code),
        "sform": None if sform is None else sform.tolist(),
        "sform_code": int(sform_code),
        "units": list(head.get_xyzt_units()),
        "dim_info": int(head["dim_info"]),
        "intent": [int(head["intent_code"]), *(float(head[f"intent_p{i}"]) for i in (1, 2, 3))],
        "display": [float(head["cal_min"]), float(head["cal_max"])],
    }


def plain_extra(grid: Grid) -> dict[str, Any]:
    """What a volume of another format says in a NIfTI header: where it lies, in millimetres, scanner-based."""
    affine = np.array(grid.affine, np.float64)
    centred = np.eye(4)
    centred[:3, :3] = affine[:, 2::-1]  # columns (Z, Y, X) as (i, j, k)
    centred[:3, 3] = affine[:, 3] + centred[:3, :3] @ [0.5, 0.5, 0.5]
    return {
        "version": 1,
        "qform": None,
        "qform_code": 0,
        "sform": centred.tolist(),
        "sform_code": 1,
        "units": ["mm", "unknown"],
        "dim_info": 0,
        "intent": [0, 0.0, 0.0, 0.0],
        "display": [0.0, 0.0],
        "axes": [0, 1, 2],
    }


def _flags(path: Path, head: Any, count: int, place: int) -> tuple[str, ...]:
    flags = [*place_flags(_as_stored(path, head), head)]
    if count > 1:
        flags.append(f"volume {place + 1} of {count}: the others are left out")
    elif len(head.get_data_shape()) > 3:
        flags.append(f"{len(head.get_data_shape())}-D with one volume: read as 3-D, and so is the product")
    if any(name in head and bytes(head[name]).strip(b"\0 ") for name in TEXT):
        flags.append("dropped text of the header, which may name a patient")
    if head.get_data_offset() > head.single_vox_offset:
        flags.append("dropped header extensions")
    return tuple(flags)
