"""GDAL's .aux.xml beside a raster: the few of its words that change what pixels mean or where they lie.

Nothing in it is followed: names of other files (overviews, geolocation arrays, masks) are not read, and what GDAL
would do with them is refused where it would matter.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from rasterio.crs import CRS
from rasterio.errors import CRSError

from srcore.storage.band import Band
from srcore.storage.disk.safe_xml import read_xml, text_of
from srcore.storage.header import GroundControlPoint
from srcore.storage.raster.beside import bad_sidecar

Affine = tuple[tuple[float, float, float], tuple[float, float, float]]
"""(x, y) of the corner of (row, column), as `srcore.grid.Grid` keeps it."""

WKT = re.compile(r"[A-Z][A-Z_]{3,24}\s*\[")
EPSG = re.compile(r"EPSG:\d{1,9}")
INFINITE = {"1.#inf": math.inf, "-1.#inf": -math.inf, "1.#qnan": math.nan, "-1.#ind": math.nan, "1.#ind": math.nan}
"""What Windows prints."""
TRANSFORM_ONLY_NAMED = "IdentityXform"
FOLD = "fold it into the raster: gdal_translate IN OUT"


@dataclass(frozen=True)
class BandWords:
    """What is said of one band; None: nothing."""

    nodata: float | None = None
    scale: float | None = None
    offset: float | None = None
    unit: str | None = None
    name: str | None = None
    colour: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    domains: dict[str, dict[str, str]] = field(default_factory=dict)
    """Tags in domains of their own."""
    has_classes: bool = False
    """Names of classes, their colours, or a table of what they are."""

    def applied(self, band: Band) -> Band:
        """The band with these words in place of its file's, as GDAL lets them win."""
        words = {name: getattr(self, name) for name in ("scale", "offset", "unit", "name", "colour")}
        return replace(band, **{name: word for name, word in words.items() if word is not None})

    @property
    def said(self) -> tuple[str, ...]:
        """Names of what is said."""
        names = ("nodata", "scale", "offset", "unit", "name", "colour")
        return tuple(name for name in names if getattr(self, name) is not None)


@dataclass(frozen=True)
class Pam:
    """What a .aux.xml says."""

    crs: str | None = None
    """WKT2."""
    affine: Affine | None = None
    points: tuple[GroundControlPoint, ...] = ()
    points_crs: str | None = None
    tags: dict[str, str] = field(default_factory=dict)
    domains: dict[str, dict[str, str]] = field(default_factory=dict)
    bands: dict[int, BandWords] = field(default_factory=dict)
    """By their 1-based index."""
    has_rpc: bool = False
    has_arrays: bool = False
    """Place by geolocation arrays in other files."""

    def band(self, index: int) -> BandWords:
        """What is said of a band."""
        return self.bands.get(index, BandWords())


def read_pam(path: Path) -> Pam:
    """The words of the .aux.xml `path`; SourceError SIDECAR when it cannot be understood."""
    try:
        return _read(path, read_xml(path))
    except (ValueError, OSError, struct.error) as error:
        raise bad_sidecar(path, str(error)) from error


def read_crs(text: str) -> str:
    """A CRS in words as WKT2; ValueError for what is neither WKT nor an EPSG code: nothing is looked up elsewhere."""
    text = text.strip()
    try:
        if EPSG.fullmatch(text):
            crs = CRS.from_epsg(int(text[5:]))
        elif WKT.match(text):
            crs = CRS.from_wkt(text, morph_from_esri_dialect=True)
        else:
            raise ValueError(f"a CRS that is no WKT: {text[:60]!r}")
        return str(crs.to_wkt(version="WKT2_2019"))
    except CRSError as error:
        raise ValueError(f"a CRS that cannot be understood: {text[:60]!r}") from error


def _read(path: Path, root: Element) -> Pam:
    if root.tag != "PAMDataset":
        raise ValueError(f"<{root.tag[:60]}> where <PAMDataset> is known")
    if root.find(".//MaskBand") is not None:
        raise bad_sidecar(path, "a mask in another file", FOLD)
    domains = {item.get("domain") or "": item for item in root.findall("Metadata")}
    bands = {int(one.get("band", "0")): _band(one) for one in root.findall("PAMRasterBand")}
    points, points_crs = _points(root.find("GCPList"))
    srs, affine = text_of(root, "SRS"), text_of(root, "GeoTransform")
    esri = next(_esri_crs(path, root), None)
    return Pam(
        crs=read_crs(srs) if srs else esri,
        affine=_affine(affine) if affine else None,
        points=points,
        points_crs=points_crs,
        tags=_items(domains.get("")),
        domains={name: _items(item) for name, item in domains.items() if name},
        bands={index: words for index, words in bands.items() if index > 0},
        has_rpc="RPC" in domains,
        has_arrays="GEOLOCATION" in domains,
    )


def _band(one: Element) -> BandWords:
    nodata = one.find("NoDataValue")
    scale, offset = text_of(one, "Scale"), text_of(one, "Offset")
    colour = (text_of(one, "ColorInterp") or "").lower()
    return BandWords(
        nodata=None if nodata is None else _stored(nodata),
        scale=None if scale is None else _number(scale),
        offset=None if offset is None else _number(offset),
        unit=text_of(one, "UnitType") or None,
        name=text_of(one, "Description") or None,
        colour=colour if colour not in ("", "undefined") else None,
        tags=_items(next((item for item in one.findall("Metadata") if not item.get("domain")), None)),
        domains={name: _items(item) for item in one.findall("Metadata") if (name := item.get("domain"))},
        has_classes=_has_classes(one),
    )


def _has_classes(one: Element) -> bool:
    table = one.find("GDALRasterAttributeTable")
    named = any(one.find(name) is not None for name in ("ColorTable", "CategoryNames"))
    return named or (table is not None and table.get("tableType", "thematic") == "thematic")


def _stored(nodata: Element) -> float:
    """A nodata number: by its bytes where they are given, since text may have lost digits."""
    exact = nodata.get("le_hex_equiv")
    return float(struct.unpack("<d", bytes.fromhex(exact))[0]) if exact else _number(nodata.text or "")


def _number(text: str) -> float:
    known = INFINITE.get(text.strip().lower().rstrip("0"))
    return float(text) if known is None else known


def _affine(text: str) -> Affine:
    terms = [_number(term) for term in text.split(",")]
    if len(terms) != 6:
        raise ValueError(f"a transform of {len(terms)} terms")
    x, x_col, x_row, y, y_col, y_row = terms
    return (x_row, x_col, x), (y_row, y_col, y)


def _points(listed: Element | None) -> tuple[tuple[GroundControlPoint, ...], str | None]:
    if listed is None:
        return (), None
    points = tuple(
        GroundControlPoint(
            _number(one.get("Line", "")),
            _number(one.get("Pixel", "")),
            _number(one.get("X", "")),
            _number(one.get("Y", "")),
            _number(one.get("Z") or one.get("GCPZ") or "0"),
            one.get("Id", ""),
        )
        for one in listed.findall("GCP")
    )
    crs = listed.get("Projection")
    return points, read_crs(crs) if crs else None


def _items(metadata: Element | None) -> dict[str, str]:
    found: list[Any] = [] if metadata is None else metadata.findall("MDI")
    return {item.get("key"): item.text or "" for item in found if item.get("key")}


def _esri_crs(path: Path, root: Element) -> Iterator[str]:
    """The CRS that ArcGIS wrote; SourceError where it also placed the raster by a transform of its own."""
    for xform in root.iter("GeodataXform"):
        kind = next((value for name, value in xform.attrib.items() if name.endswith("type")), "")
        if not kind.endswith(TRANSFORM_ONLY_NAMED):
            raise bad_sidecar(path, f"a place by {kind.rpartition(':')[2][:60] or 'an ArcGIS transform'}", FOLD)
        wkt = xform.findtext("SpatialReference/WKT")
        if wkt:
            yield read_crs(wkt)
