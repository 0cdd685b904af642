"""The words of a raster: which of its tags stay true at another scale, and text in whatever encoding."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

UNTRUE = re.compile(
    r"STATISTICS_|OVR_RESAMPLING|RESAMPLING|TIFFTAG_([XY]RESOLUTION|RESOLUTIONUNIT|(MIN|MAX)SAMPLEVALUE|SOFTWARE)"
    r"|NODATA_VALUES|HISTOGRAM|CACHE_PATH|OVERVIEW_FILE|MASK_|DERIVED_|METADATATYPE"
)
"""Names of tags that say something of the LR pixels or of the file's inside: false for the product."""
OF_THE_GRID = re.compile(
    # size of a pixel
    r"\w*GSD|GROUNDSAMPL\w*|(SPATIAL|PIXEL|GROUND|HORIZONTAL|IMAGE|OUTPUT|NOMINAL|GEOSPATIAL(LAT|LON)|[XY])?RES(OLUTION)?"
    r"(X|Y|M|METERS|UNITS)?|\w*(PIXEL|CELL)(SIZE|SPACING|SCALE|WIDTH|HEIGHT)\w*|GRIDCELLSIZE\w*|[XY](DIM|SPACING|STEP|POSTING)"
    r"|(ROW|COL|COLUMN|LINE|SAMPLE|RANGE|AZIMUTH)(PIXEL)?SPACING"
    # numbers of pixels
    r"|(N|NUM|NUMBEROF|N?B|COUNT)?(ROWS?|COLS?|COLUMNS?|LINES?|SAMPLES|PIXELS)|(REFLECTIVE|THERMAL|PANCHROMATIC)(LINES|SAMPLES)"
    r"|(IMAGE|RASTER)?(WIDTH|HEIGHT|LENGTH|[XY]SIZE)|N[XY]|(IMAGE|RASTER)SIZE|(PROJ|IMAGE|RASTER|ARRAY)?SHAPE|DIMENSIONS?"
    r"|(TILE|BLOCK)(WIDTH|HEIGHT|LENGTH|[XY]?SIZE)"
    # corners, which many a provider gives as centres of pixels
    r"|(UPPER|LOWER)(LEFT|RIGHT)\w*|[UL][LR](CORNER)?([XY]|LAT(ITUDE)?|LONG?(ITUDE)?|EASTING|NORTHING|[XY]?MAP|CORNER)?"
    r"|CORNER(UL|UR|LL|LR|UPPER|LOWER)\w*|[XY]OFFSET|ORIGIN[XY]|[XY]ORIGIN"
    r"|(PROJ|CRS)?(GEO)?TRANSFORM|AFFINE|MAPINFO|MODEL(PIXELSCALE|TIEPOINT)|TIEPOINTS?"
    # the file itself
    r"|FILESIZE|(FILE)?(CHECKSUM|MD5|SHA\d*)(SUM)?"
)
"""The same, of names in capitals without signs: size of a pixel, how many there are, where the corners lie."""
OWN_DOMAINS = re.compile(r"(?!EXIF$|COLOR_PROFILE$|RPC$|GEOLOCATION$|TIFF$)[A-Za-z][A-Za-z0-9_.-]{0,63}")
"""Domains of tags that are kept: plain words, no documents (xml:, json:) and nothing that GDAL has a meaning for."""
NO_WORDS = re.compile(
    r"IMAGE_STRUCTURE|DERIVED_SUBDATASETS|SUBDATASETS|OVERVIEWS|RPC|GEOLOCATION|xml:(gml\.root-instance|BOX_\d+|CodeStream)"
)
"""Domains that GDAL makes up, or that other code reads: nothing is lost with them."""
NOT_WRITABLE = frozenset({"ns", "bidx"})
"""Arguments of rasterio's own, which takes tags as keywords."""
LAYOUT = re.compile(r"Aperio|ImageJ=|<\?xml|<OME|\{\"shape\"")
"""Image descriptions by which programs say how the file is laid out, and some also who made it."""
MAX_TAG = 4096
"""Characters of a tag that is kept."""


def text(ask: Callable[[], Any], otherwise: Any, flags: list[str]) -> Any:
    """What `ask` gives; `otherwise`, flagged, when the file's text is in no encoding that rasterio knows."""
    try:
        return ask()
    except UnicodeDecodeError:
        flags.append("dropped text that is not UTF-8")
        return otherwise


def true_tags(tags: Mapping[str, str], dropped: list[str]) -> dict[str, str]:
    """The tags that stay true at another scale; the names of the others go to `dropped`."""
    kept = {}
    for name, value in tags.items():
        if name == "AREA_OR_POINT":
            continue
        if (
            is_untrue(name)
            or name in NOT_WRITABLE
            or len(value) > MAX_TAG
            or (name == "TIFFTAG_IMAGEDESCRIPTION" and LAYOUT.match(value))
        ):
            dropped.append("STATISTICS_*" if name.startswith("STATISTICS_") else name)
        else:
            kept[name] = value
    return kept


def is_untrue(name: str) -> bool:
    """Whether a tag of that name says something that another scale makes false."""
    plain = re.sub(r"[^A-Z0-9]", "", name.rpartition("#")[2].upper())
    return bool(UNTRUE.match(name) or OF_THE_GRID.fullmatch(plain))


def own_domains(domains: Mapping[str, Mapping[str, str]], dropped: list[str]) -> dict[str, dict[str, str]]:
    """The tags, by domain, of those domains that are kept; what is not goes to `dropped`, as DOMAIN or DOMAIN:TAG."""
    kept = {}
    for domain, tags in domains.items():
        if NO_WORDS.fullmatch(domain):
            continue
        if not OWN_DOMAINS.fullmatch(domain):
            dropped.append(domain)
            continue
        lost: list[str] = []
        true = true_tags(tags, lost)
        dropped += [f"{domain}:{name}" for name in lost]
        if true:
            kept[domain] = true
    return kept
