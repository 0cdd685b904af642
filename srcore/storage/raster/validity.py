"""What hides pixels of each band, and the one form in which a product can say all of it.

    each band's own rule, at reading          the product
    all bands: nothing                        none; floats: NaN
    all bands: the same number                that number
    whole file: a mask, integers              a mask
    whole file: alpha, integers               alpha
    anything else, floats                     NaN
    anything else, integers                   one number, at the end of the dtype's range
    a number that the user gives              that number, also for what masks hide

NaN and Inf never count as data. No valid pixel of a product takes its number: it is moved one step off it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from rasterio.enums import MaskFlags

from srcore.errors import SourceError
from srcore.storage.band import Band, Mask
from srcore.storage.header import Header, Nodata
from srcore.storage.numbers import fit_nodata
from srcore.storage.raster.beside import sidecar
from srcore.storage.raster.mask_file import read_mask_file
from srcore.storage.raster.mosaic import has_holes
from srcore.storage.raster.open_file import OpenFile
from srcore.storage.raster.tiff import has_mask

Rule = tuple[float | None, Mask | None]
"""Number and mask that hide pixels of a band."""


def find_rules(file: OpenFile) -> list[Rule]:
    """What hides pixels of each band of a file: a mask inside it, else one beside it, else a number.

    As for GDAL a mask wins over a number, and a .aux.xml over the file's own tag; flags say what lost.
    """
    masks = _masks(file)
    tags = [
        number if (number := file.pam.band(i).nodata) is not None else file.dataset.nodatavals[i - 1]
        for i in file.dataset.indexes
    ]
    if any(masks) and any(tag is not None for tag in tags):
        file.flag("nodata tag ignored: the mask decides")
    return [
        (None, mask) if mask is not None else (_fitting(file, tag), None) for tag, mask in zip(tags, masks, strict=True)
    ]


def _masks(file: OpenFile) -> list[Mask | None]:
    inside = [_mask_inside(file, i) for i in file.dataset.indexes]
    beside = file.beside.mask
    if not any(inside) and file.dataset.driver == "GTiff" and has_mask(file.path):
        file.flag("a mask inside the file is not used: it has another size or number of bands")
    if beside is None:
        return inside
    if any(inside):
        file.flag(f"{beside.name} is not used: the file has a mask of its own")
        return inside
    shape = (file.dataset.height, file.dataset.width)
    masks = read_mask_file(sidecar(beside, file.roots), file.dataset.count, shape, file.roots)
    file.use(beside, "mask")
    return masks


def _mask_inside(file: OpenFile, index: int) -> Mask | None:
    flags = file.dataset.mask_flag_enums[index - 1]
    if not flags:  # GDAL says nothing at all of a mask for each band
        return Mask(str(file.path), index)
    return Mask(str(file.path)) if MaskFlags.per_dataset in flags and MaskFlags.alpha not in flags else None


def _fitting(file: OpenFile, value: float | None) -> float | None:
    """A nodata tag as the number of the dtype that it means; None where NaN says it, or, flagged, nothing can."""
    if value is None:
        return None
    floats = np.issubdtype(np.dtype(file.dtype), np.floating)
    if floats and not np.isfinite(value):
        if np.isinf(value):
            file.flag(f"nodata tag {value:g} is written as NaN")
        return None
    fitted = fit_nodata(value, file.dtype)
    if fitted is None:
        file.flag(f"nodata tag {value:g} ignored: it does not fit {file.dtype}")
    return fitted


def with_user_number(header: Header, nodata: float) -> Header:
    """The header with a user's number in place of each band's own; SourceError when the dtype cannot hold it."""
    if np.issubdtype(np.dtype(header.dtype), np.floating) and not np.isfinite(nodata):
        return replace(header, bands=tuple(replace(band, hidden=None) for band in header.bands))
    fitted = fit_nodata(nodata, header.dtype)
    if fitted is None:
        raise SourceError(
            f"nodata {nodata:g} does not fit the pixels",
            header.dtype,
            f"give a number that {header.dtype} can hold",
            code="BAD_SETTING",
        )
    return replace(header, bands=tuple(replace(band, hidden=fitted) for band in header.bands))


def in_one_form(header: Header) -> Header:
    """The header with the form and the number of its product, and flags where that is not the source's own."""
    hides = (header.quality is not None and header.quality.hides) or (bool(header.mosaic) and has_holes(header))
    form, number = product_form(header.dtype, header.bands, has_alpha=header.alpha is not None, hides=hides)
    flags = [flag for flag in header.flags if flag != "no nodata"]
    if form == "none":
        flags.append("no nodata")
    elif form == "tag" and {band.hidden for band in header.bands} != {number}:
        flags.append(f"bands hide pixels in different ways: nodata {number:g} in all bands of the product")
    elif form in ("tag", "nan") and any(band.mask for band in header.bands):
        flags.append(f"what a mask hides is {'NaN' if number is None else f'nodata {number:g}'} in the product")
    bands = tuple(replace(band, nodata=number) for band in header.bands)
    return replace(header, nodata=form, bands=bands, flags=tuple(dict.fromkeys(flags)))


def product_form(
    dtype: str, bands: tuple[Band, ...], *, has_alpha: bool, hides: bool = False
) -> tuple[Nodata, float | None]:
    """The form that holds what every band hides, and its number where that is the form 'tag'.

    `hides`: a quality layer hides pixels besides.
    """
    numbers, masks = {band.hidden for band in bands}, {band.mask for band in bands}
    if len(numbers) == 1 and (number := next(iter(numbers))) is not None:
        return "tag", number
    if np.issubdtype(np.dtype(dtype), np.floating):
        return "nan", None
    if numbers == {None} and masks == {None}:
        return ("mask" if hides else "alpha" if has_alpha else "none"), None
    if numbers == {None} and len(masks) == 1 and all(mask is not None and not mask.index for mask in masks):
        return "mask", None
    limits = np.iinfo(dtype)
    return "tag", float(limits.min or limits.max)
