"""Harmonized Landsat Sentinel-2 (HLS v2): a folder of HLS.S30.* or HLS.L30.*, a GeoTIFF a band, and Fmask.

Numbers, by the user guide: reflectance = DN x 0.0001, brightness temperature in degrees Celsius = DN x 0.01. Nodata and
date stand in the files and their names.
"""

from __future__ import annotations

import re
from pathlib import Path

from srcore.errors import SourceError
from srcore.storage.providers.granule import BandFile, Granule
from srcore.storage.providers.sentinel2 import COMMON as S30

DOCUMENT = re.compile(r"(?P<id>HLS\.(?P<sensor>[SL]30)\.T\w{5}\.\d{7}T\d{6}\.v\d\.\d)\.(?P<layer>B\w\w|Fmask)\.tiff?")
"""Any file of a product: it has no other metadata."""
L30 = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "nir08",
    "B06": "swir16",
    "B07": "swir22",
    "B09": "cirrus",
    "B10": "lwir11",
    "B11": "lwir12",
}
GSD_M = 30.0
REFLECTANCE, CELSIUS = 0.0001, 0.01


def find_document(folder: Path) -> Path | None:
    """The first file of the product in a folder; None where there is none."""
    found = sorted(path for path in folder.iterdir() if DOCUMENT.fullmatch(path.name))
    return found[0] if found else None


def read_granule(first: Path) -> Granule:
    """The product that a folder's files are; SourceError where they are of several."""
    files = {path: match for path in sorted(first.parent.iterdir()) if (match := DOCUMENT.fullmatch(path.name))}
    ids = {match["id"] for match in files.values()}
    if len(ids) > 1:
        raise SourceError(
            f"{first.parent.name}: several HLS products in one folder",
            ", ".join(sorted(ids)[:3]),
            "name the files of one: '.../HLS.S30...v2.0.{band}.tif' --bands B04,B03,B02",
            code="BAD_METADATA",
        )
    sensor = files[first]["sensor"]
    common = S30 if sensor == "S30" else L30
    layers = {path: match["layer"] for path, match in files.items()}
    fmask = tuple(path for path, layer in layers.items() if layer == "Fmask")
    return Granule(
        product=f"HLS {sensor}",
        id=ids.pop(),
        bands=tuple(_band(path, layer, common[layer]) for path, layer in layers.items() if layer in common),
        missing=(),
        layers={"Fmask": fmask} if fmask else {},
        documents=(),
        properties={"constellation": "hls"},
        flags=() if fmask else ("no quality layer (Fmask)",),
        whole=False,
    )


def _band(path: Path, name: str, common: str) -> BandFile:
    thermal = common.startswith("lwir")
    return BandFile(
        name, common, path, GSD_M, GSD_M, CELSIUS if thermal else REFLECTANCE, 0.0, "Celsius" if thermal else None
    )
