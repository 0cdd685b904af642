"""The header of a DICOM series: a volume (Z, Y, X) in millimetres, RAS+, of stored numbers with slope and intercept.

Z goes along the normal of the slices, Y down their rows, X along them. What is kept of the files is in `slices`; the
header holds numbers alone, so that no plan, log or record of a run can tell of a patient.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from srcore.errors import SourceError
from srcore.grid import Grid
from srcore.storage.band import Band
from srcore.storage.dicom.diagnosis import BIG_ENDIAN, refuse_unfit
from srcore.storage.dicom.even import made_even
from srcore.storage.dicom.files import checked_files
from srcore.storage.dicom.geometry import even_grid
from srcore.storage.dicom.series import Series, find_series, one_volume
from srcore.storage.dicom.slices import Slice
from srcore.storage.header import DROPPED_TEXT, Header
from srcore.storage.meaning import told_values
from srcore.storage.numbers import fit_nodata, nodata_form
from srcore.storage.wish import Wish, Wishes

UNKNOWN_DEPTH_MM = 1.0
OTHER_DEPTH = 0.05
"""Fraction of a step by which the thickness of slices differs from it before that is said."""
BURNT_IN = "it says that text is burnt into its pixels: that stays in the product, and nothing is learned from it"
HU = ("", "HU", "HU_MOD", "US")
"""Types of rescale by which a CT is in HU; US is unspecified, and so written by many."""
TIFF = (b"II*\0", b"MM\0*")


def read_dicom_header(paths: Sequence[Path], **wishes: Unpack[Wishes]) -> Header:
    """The header of the series in a folder, a zip or a list of files.

    Of the fields of a `Wish`, `series` says which one, by UID or by the name that it is listed by; `nodata` is a stored
    number; `volume` is one of several, as TAG=VALUE; `resample` makes slices even and straight that are not (see
    `even`). Raises SourceError for what is no even, straight volume of one patient; see `diagnosis`.
    """
    wish = Wish.of(**wishes)
    if wish.axes not in (None, (0, 1, 2)):
        raise SourceError(
            "the axes of a DICOM series are those of its slices", "others", "leave them out", code="BAD_SETTING"
        )
    files = checked_files([Path(path) for path in paths], wish.roots)
    series = find_series(files, wish.series)
    if wish.volume is not None:
        series = one_volume(series, wish.volume)
    slices, stack = series.slices, refuse_unfit(series.slices, wish.resample)
    first = slices[0]
    own = "CT" if first.is_ct else "MR"
    if wish.modality not in (None, own):
        raise SourceError(f"the series is no {wish.modality}", own, "take modality out", code="BAD_SETTING")
    dtype = f"{'' if first.bits[2] else 'u'}int{first.bits[0]}"
    padding, depth = first.padding, first.between or first.thickness or UNKNOWN_DEPTH_MM
    even = made_even(slices, stack, straight=wish.resample == "untilt") if wish.resample and len(slices) > 1 else None
    grid, how = even or (even_grid(slices, stack, depth), None)
    nodata = _nodata(wish.nodata, padding, dtype)
    if how is not None and nodata is None and how["degrees"]:
        nodata = float(np.iinfo(dtype).min if first.bits[2] else np.iinfo(dtype).max)
    slope, intercept = first.rescale or (1.0, 0.0)
    band = Band(
        path=str(files[0]),
        index=1,
        name=_name(wish.bands),
        nodata=nodata,
        scale=slope,
        offset=intercept,
        unit="HU" if _in_hu(first) else None,
        colour="gray",
        values=_values(wish),
        valid_range=wish.valid_range or (None, None),
    )
    ordered = [slices[i] for i in stack.order]
    return Header(
        format="dicom",
        grid=grid,
        dtype=dtype,
        bands=(band,),
        nodata=nodata_form(dtype, [nodata]),
        extra={
            "slices": [_place(one) for one in ordered],
            "bits": list(first.bits),
            **_told(series),
            **({"even": how} if how else {}),
        },
        beside=tuple(str(path) for path in files[1:]),
        flags=(*_flags(series, depth, stack.step), *_even_flags(how, grid, nodata)),
    )


def _name(bands: Sequence[str] | None) -> str:
    if bands is not None and len(bands) != 1:
        raise SourceError("a volume has one band", f"{len(bands)} names", "give one name, or none", code="BAD_SETTING")
    return bands[0] if bands else "band 1"


def _in_hu(first: Slice) -> bool:
    """CT, unless its rescale leads to something else, as of dual energy: iodine, effective atomic number."""
    return first.is_ct and first.unit in HU


def _values(wish: Wish) -> Any:
    """CT and MR are amounts: no look is needed."""
    rule = told_values(wish.values, _name(wish.bands), "1")
    return "continuous" if rule == "auto" else rule


def _nodata(wished: float | None, padding: tuple[int, int] | None, dtype: str) -> float | None:
    if wished is None:
        return None if padding is None else float(padding[0])
    found = fit_nodata(wished, dtype)
    if found is None:
        do = f"give a number that {dtype} can hold"
        raise SourceError(f"nodata {wished:g} does not fit the voxels", dtype, do, code="BAD_SETTING")
    return found


def _place(one: Slice) -> list[int]:
    """Where a slice is found again: its file, its entry in that zip, and its frame; -1 for none."""
    inside, frame = one.member.inside, one.frame
    return [one.member.file, -1 if inside is None else inside, -1 if frame is None else frame]


def _told(series: Series) -> dict[str, Any]:
    first = series.slices[0]
    return {
        "modality": "CT" if first.is_ct else "MR",
        "padding": None if first.padding is None else list(first.padding),
        "thickness_mm": first.thickness,
        "enhanced": first.frame is not None,
        "rescaled": first.rescale is not None,
        **({"burnt_in": True} if any(one.burnt_in for one in series.slices) else {}),
        "photometric": "MONOCHROME1" if first.photometric == "MONOCHROME1" else "MONOCHROME2",
    }


def _flags(series: Series, depth: float, step: float) -> tuple[str, ...]:
    first = series.slices[0]
    told = (
        (True, DROPPED_TEXT),
        (bool(series.left_out), f"left out: {', '.join(series.left_out)}"),
        (not first.place, "no frame of reference: it lies beside no other series"),
        (first.rescale is None, "no rescale: numbers as stored"),
        (first.is_ct and not _in_hu(first), "its rescale does not lead to HU: no number is taken for HU"),
        (any(one.burnt_in for one in series.slices), BURNT_IN),
        (any(one.lossy for one in series.slices), "its pixels were compressed with loss before"),
        (first.photometric == "MONOCHROME1", "its greatest number is drawn black (MONOCHROME1)"),
        (first.syntax == BIG_ENDIAN, "big-endian, which the standard has retired"),
        (_has_tiff(first), "a TIFF in the preamble: read as DICOM"),
    )
    return (*(flag for holds, flag in told if holds), *_depth_flags(series, depth, step), *_padding_flags(first))


def _depth_flags(series: Series, depth: float, step: float) -> Iterator[str]:
    first = series.slices[0]
    if len(series.slices) == 1 and not (first.between or first.thickness):
        yield f"one slice without a thickness: taken for {depth:g} mm"
    if first.thickness and step and abs(first.thickness - step) > OTHER_DEPTH * step:
        what = "with gaps between" if first.thickness < step else "that overlap"
        yield f"slices of {first.thickness:g} mm every {step:.4g} mm, {what}"


def _even_flags(how: dict[str, Any] | None, grid: Grid, nodata: float | None) -> Iterator[str]:
    """What was made of slices that are not even or straight, before anything else."""
    if how is None:
        return
    if how["uneven"]:
        count, step = len(how["shifts"]), grid.spacing()[0]
        yield f"its slices are not evenly spaced: {grid.shape[0]} every {step:.4g} mm were made of {count}, linearly"
    if how["degrees"]:
        what = f"its gantry was tilted by {how['degrees']:.1f} degrees: each slice was moved to where it lies, linearly"
        yield f"{what}; {nodata:g} is nodata in the product, where no slice has pixels"


def _padding_flags(first: Slice) -> Iterator[str]:
    if first.padding is not None and first.padding[0] == first.padding[1]:
        yield f"its padding value, {first.padding[0]}, is nodata in the product"
    elif first.padding is not None:
        yield f"its padding is a range, {first.padding[0]} to {first.padding[1]}: all of it is nodata in the product"


def _has_tiff(first: Slice) -> bool:
    if first.member.inside is not None:
        return False
    with first.member.path.open("rb") as file:
        return file.read(4) in TIFF
