"""Bands of rasters that say nothing of them, by the name that the provider gave the file.

Sources: NAIP's four-band imagery (USDA: red, green, blue, near infrared); PlanetScope's product specification (Planet,
2023: analytic products of four and of eight bands).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

from srcore.storage.header import Header

PRODUCTS: tuple[tuple[str, re.Pattern[str], Mapping[int, tuple[str, ...]]], ...] = (
    (
        "NAIP",
        re.compile(r"m_\d{7}_(?:ne|nw|se|sw)_\d\d?_(?:\d{1,3}|h)_\d{8}(?:_\d{8})?\.tiff?", re.IGNORECASE),
        {4: ("red", "green", "blue", "nir")},
    ),
    (
        "PlanetScope",
        re.compile(r"\d{8}_\w+_3B_AnalyticMS(?!_SR_8b|_8b)\w*\.tiff?", re.IGNORECASE),
        {4: ("blue", "green", "red", "nir")},
    ),
    (
        "PlanetScope",
        re.compile(r"\d{8}_\w+_3B_AnalyticMS(?:_SR)?_8b\w*\.tiff?", re.IGNORECASE),
        {8: ("coastal", "blue", "green05", "green", "yellow", "red", "rededge", "nir")},
    ),
)
"""Product, what its files are called, and how many bands are which, as STAC calls them (eo:common_name)."""


def with_known_bands(header: Header, file_name: str) -> Header:
    """A file's header with the names of its bands where it has none and is called as a known product's; that is said.

    A file whose colour interpretation says otherwise keeps its numbers for names.
    """
    if any(band.name != f"band {band.index}" for band in header.bands):
        return header
    for product, pattern, known in PRODUCTS:
        names = known.get(len(header.bands), ())
        if not names or not pattern.fullmatch(file_name):
            continue
        coloured = zip(header.bands, names, strict=True)
        if any(band.colour in ("red", "green", "blue") and band.colour != name for band, name in coloured):
            continue
        bands = tuple(replace(b, name=name, common=name) for b, name in zip(header.bands, names, strict=True))
        told = f"bands are taken for {', '.join(names)}, as in a {product} product of that name"
        return replace(header, bands=bands, flags=(*header.flags, told))
    return header
