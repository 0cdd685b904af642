"""What the numbers of a raster's bands are, and the ends they keep to: by what the user says, the file, and a look."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rasterio.windows import Window

from srcore.choices import Range
from srcore.errors import SourceError, printable
from srcore.nodata import is_nodata
from srcore.storage.band import Band, Values
from srcore.storage.header import Header
from srcore.storage.meaning import (
    copied_flags,
    few_in_patches,
    hinted_values,
    look_like_angles,
    look_like_classes,
    named_values,
    told_values,
)
from srcore.storage.raster.gdal import GDAL_ERRORS
from srcore.storage.raster.open_file import OpenFile
from srcore.storage.wish import Wish

WINDOWS, SIDE = 4, 128
"""Windows on each axis that are looked at, and pixels on a side of each; the first one ends most looks."""


def find_values(file: OpenFile, band: Band) -> Values:
    """What the numbers of a band are, where no user says it: by the file's words, by its names, by a look."""
    rule = file.wish.values
    if isinstance(rule, str) and rule != "auto":
        return rule
    try:
        return "categorical" if _says_classes(file, band) else _by_names(file, band) or _by_a_look(file, band)
    except GDAL_ERRORS:
        return "continuous"  # INGEST reads all of it, and says which rows cannot be decoded


def _says_classes(file: OpenFile, band: Band) -> bool:
    tags = {**file.dataset.tags(), **file.dataset.tags(band.index), **file.pam.tags, **band.tags}
    thematic = str(tags.get("LAYER_TYPE", "")).lower() == "thematic"
    words = file.pam.band(band.index)
    return thematic or words.has_classes or file.colour(band.index) == "palette" or _bits(file, band.index) == 1


def _by_names(file: OpenFile, band: Band) -> Values | None:
    """By the band's own name, which is believed of whole numbers; by a word in it or in the file's, if they look so."""
    own = named_values(band.name)
    if own in ("categorical", "bits") and file.dtype not in ("float32", "float64"):
        return own
    alone = [Path(file.path).stem] if file.dataset.count == 1 else []
    hint = own or next((found for name in (band.name, *alone) if (found := hinted_values(name)) is not None), None)
    if hint == "circular":
        return hint if look_like_angles(_windows(file, band), named=True) else None
    return hint if hint is not None and few_in_patches(_windows(file, band)) else None


def _by_a_look(file: OpenFile, band: Band) -> Values:
    if look_like_classes(_windows(file, band)):
        return "categorical"
    return "circular" if look_like_angles(_windows(file, band), named=False) else "continuous"


def _windows(file: OpenFile, band: Band) -> Iterator[NDArray[Any]]:
    """Windows (y, x) all over a band, without what its number hides: that is NaN in them, and they are of floats."""
    dataset = file.dataset
    sides = [min(SIDE, n) for n in (dataset.height, dataset.width)]
    starts = [
        np.unique(np.linspace(0, n - side, WINDOWS).astype(int))
        for n, side in zip((dataset.height, dataset.width), sides, strict=True)
    ]
    for row, col in product(*starts):
        values: NDArray[Any] = dataset.read(band.index, window=Window(int(col), int(row), sides[1], sides[0]))
        if band.hidden is not None and (hidden := is_nodata(values, band.hidden)).any():
            values = np.where(hidden, np.nan, values)
        yield values


def _bits(file: OpenFile, index: int) -> int | None:
    """Bits of a pixel in the file, where those are fewer than its dtype has."""
    found = file.dataset.tags(index, ns="IMAGE_STRUCTURE").get("NBITS", "")
    return int(found) if found.isdecimal() else None


def bits_range(file: OpenFile, index: int) -> Range:
    """The ends of what a pixel of fewer bits than its dtype has can hold."""
    bits = _bits(file, index)
    return (0.0, float(2**bits - 1)) if bits and np.dtype(file.dtype).kind == "u" else (None, None)


def palette(file: OpenFile, index: int) -> tuple[tuple[int, int, int, int], ...]:
    """The colour table of a band; empty where it has none."""
    if file.colour(index) != "palette" or file.dataset.colorinterp[index - 1].name != "palette":
        return ()
    table = file.dataset.colormap(index)
    return tuple(tuple(table.get(number, (0, 0, 0, 255))) for number in range(max(table) + 1))


def with_told_values(header: Header, wish: Wish) -> Header:
    """The header with what the user says of its bands, and flags for those that no generator will see.

    SourceError BAD_SETTING where a band is named that is not there.
    """
    rule = wish.values
    names = {name for band in header.bands for name in (band.name, str(band.index))}
    unknown = sorted(set(rule) - names) if isinstance(rule, dict) else []
    if unknown:
        there = ", ".join(band.name for band in header.bands)
        what = f"values names a band that is not there: {printable(unknown[0])}"
        raise SourceError(what, there, "name one of these, or its number", code="BAD_SETTING")
    bands = tuple(_told(band, wish) for band in header.bands)
    flags = [*header.flags, *copied_flags(bands)]
    if any(band.palette for band in bands) and (len(bands) > 1 or header.alpha is not None):
        flags.append("a product of several bands keeps no table of colours")
        bands = tuple(replace(band, palette=(), colour="undefined") if band.palette else band for band in bands)
    return replace(header, bands=bands, flags=tuple(flags))


def _told(band: Band, wish: Wish) -> Band:
    rule = told_values(wish.values, band.name, str(band.index))
    values = band.values if rule == "auto" else rule
    if values == "continuous" and band.palette:
        raise SourceError(
            f"{band.path}: pixels are indices of a colour table",
            "values: continuous",
            "take that out, or expand it: gdal_translate -expand rgb IN OUT",
            code="BAD_SETTING",
        )
    if values != "continuous":
        return replace(band, values=values, valid_range=(None, None))
    low, high = zip(band.valid_range, wish.valid_range or (None, None), strict=True)
    least = max((end for end in low if end is not None), default=None)
    most = min((end for end in high if end is not None), default=None)
    return replace(band, values=values, valid_range=(least, most))
