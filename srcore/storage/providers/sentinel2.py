"""Sentinel-2 L1C and L2A in the SAFE format: MTD_MSIL*.xml, MTD_TL.xml, and JPEG 2000 in GRANULE/*/IMG_DATA.

Numbers: reflectance = (DN + offset) / quantification, 0 is nothing. The offset came with baseline 04.00 (-1000) and
stands in the metadata; older products have none. One file has one tile since December 2016.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

from srcore.errors import plain
from srcore.storage.disk.safe_xml import read_xml
from srcore.storage.header import Taken
from srcore.storage.providers.granule import BandFile, Granule, Missing, between, gain, metadata_error, number, times

DOCUMENT = re.compile(r"MTD_MSIL(1C|2A)\.xml")
COMMON = {
    "B01": "coastal",
    "B02": "blue",
    "B03": "green",
    "B04": "red",
    "B05": "rededge071",
    "B06": "rededge075",
    "B07": "rededge078",
    "B08": "nir",
    "B8A": "nir08",
    "B09": "nir09",
    "B10": "cirrus",
    "B11": "swir16",
    "B12": "swir22",
}
"""Band to its name in STAC, in the order of its wavelength."""
NATIVE_M = {name: 10 if name in ("B02", "B03", "B04", "B08") else 20 for name in COMMON} | dict.fromkeys(
    ("B01", "B09", "B10"), 60
)
"""What the sensor sees: files of other resolutions are resampled ones."""
ORDER = tuple(COMMON)
"""Of band_id in the metadata, but that B8A comes behind B08 there, too."""
_SHAPE = ("NROWS", "NCOLS")
_IMAGE = re.compile(r"GRANULE/[^/]+/IMG_DATA/(?:R(?P<folder>\d\d)m/)?[^/]+?_(?P<band>B\d[\dA]|SCL)(?:_(?P<gsd>\d\d)m)?")
_PRODUCT = re.compile(r"S2[A-D]_MSIL(1C|2A)_\d{8}T\d{6}_N\d{4}_R\d{3}_T\w{5}_\d{8}T\d{6}")
_BASELINE = re.compile(r"\d\d\.\d\d")
WITH_OFFSET, BY_HAND = "04.00", "99.99"
"""The first baseline whose numbers have an offset, and the one of who runs the provider's software himself."""
_NO_BASELINE = "no offset, and no baseline that tells of one: the numbers are taken for those of before 04.00"
_NO_CLOUD_MASK = "no cloud mask: the product's is in a form that is not read (GML, before baseline 04.00)"


def find_document(folder: Path) -> Path | None:
    """The metadata of the product in a folder; None where it is no Sentinel-2 product."""
    for name in ("MTD_MSIL2A.xml", "MTD_MSIL1C.xml"):
        if (folder / name).is_file():
            return folder / name
    return None


def read_granule(document: Path) -> Granule:
    """The product that MTD_MSIL*.xml in its folder describes; SourceError BAD_METADATA where it does not."""
    folder, root = document.parent, _xml(document)
    level = "L2A" if "L2A" in document.name else "L1C"
    images = _images(document, root)
    tile = _tile_document(folder, images)
    facts = None if tile is None else _xml(tile)
    product = partial(_text, root, "General_Info/Product_Info")
    baseline, name = product("PROCESSING_BASELINE") or "unknown", _name(document, product, level)
    offsets = _offsets(document, root, baseline)
    bands = tuple(_bands(document, root, level, images, offsets))
    there = {band.name for band in bands if band.gsd_m <= band.native_m}
    named = {match["band"] for _, match in images}
    layers = {name: paths for name, paths in (_scl(folder, images), _classes(folder, images)) if paths}
    return Granule(
        product=f"Sentinel-2 {level}",
        id=name,
        bands=bands,
        missing=tuple(
            Missing(name, common, NATIVE_M[name])
            for name, common in COMMON.items()
            if name in named and name not in there
        ),
        layers=layers,
        documents=(document,) if tile is None else (document, tile),
        taken=_taken(document, product("PRODUCT_START_TIME"), product("PRODUCT_STOP_TIME")),
        hidden=0.0,
        **_place(tile, facts),
        tags=_tags(root, baseline),
        properties=_properties(document, root, facts, baseline),
        flags=tuple(_told(level, has_layer=bool(layers), sure=bool(offsets) or _is_told(baseline))),
    )


def _xml(path: Path) -> Element:
    try:
        root = read_xml(path)
    except (OSError, ValueError) as error:
        raise metadata_error(path, str(error)) from error
    for element in root.iter():  # the namespace differs from baseline to baseline, and says nothing
        element.tag = element.tag.rpartition(":")[2].rpartition("}")[2]
    return root


def _text(root: Element, where: str, name: str) -> str | None:
    found = root.find(f"{where}//{name}")
    return (plain(found.text or "") or None) if found is not None else None


def _name(document: Path, product: Callable[[str], str | None], level: str) -> str:
    """The product's own; SourceError BAD_METADATA where it is that of another one than the folder's."""
    there, processed = document.parent.name.removesuffix(".SAFE"), product("PROCESSING_LEVEL")
    told = (product("PRODUCT_URI") or there).removesuffix(".SAFE")
    if _PRODUCT.fullmatch(there) and _PRODUCT.fullmatch(told) and there != told:
        raise metadata_error(document, f"the metadata of {told}", "put each product's files back into its own folder")
    if processed and level[1:] not in processed:
        raise metadata_error(document, f"the metadata of {processed}")
    return told


def _is_told(baseline: str) -> bool:
    """Whether it says if there is an offset."""
    return _BASELINE.fullmatch(baseline) is not None and baseline != BY_HAND


def _told(level: str, *, has_layer: bool, sure: bool) -> Iterator[str]:
    """What a user should know of the product."""
    if not has_layer:
        yield _NO_CLOUD_MASK if level == "L1C" else "no scene classification (SCL)"
    if not sure:
        yield _NO_BASELINE


def _images(document: Path, root: Element) -> list[tuple[str, re.Match[str]]]:
    """Image files by the metadata, without their ending, and what their names say. One tile, inside the folder."""
    granules = root.findall(".//Granule") or root.findall(".//Granules")
    if len(granules) != 1:
        names = ", ".join(str(one.get("granuleIdentifier")) for one in granules[:3])
        raise metadata_error(document, f"{len(granules)} granules {names}", "give a product of one tile")
    texts = [(image.text or "").strip() for image in granules[0] if image.tag.startswith("IMAGE_FILE")]
    found = [(text, match) for text in texts if (match := _IMAGE.fullmatch(text)) is not None]
    outside = next((text for text in texts if ".." in Path(text).parts or Path(text).is_absolute()), None)
    if outside is not None or not found:
        raise metadata_error(
            document, f"an image file {outside!r}" if outside else "no image file in GRANULE/*/IMG_DATA"
        )
    return found


def _bands(
    document: Path,
    root: Element,
    level: str,
    images: list[tuple[str, re.Match[str]]],
    offsets: Mapping[str, float],
) -> Iterator[BandFile]:
    """In the order of wavelength; only files that are there."""
    quantification = _text(root, ".", "BOA_QUANTIFICATION_VALUE" if level == "L2A" else "QUANTIFICATION_VALUE")
    per = gain(document, "the quantification value", quantification)
    for text, match in sorted(images, key=lambda one: ORDER.index(one[1]["band"]) if one[1]["band"] in COMMON else 99):
        name, path = match["band"], _file(document.parent, text)
        if name not in COMMON or not path.is_file():
            continue
        native = NATIVE_M[name]
        gsd = float(match["gsd"] or match["folder"] or native)
        if offsets and name not in offsets:
            raise metadata_error(document, f"an offset of other bands, and none of {name}")
        yield BandFile(name, COMMON[name], path, gsd, native, 1 / per, offsets.get(name, 0.0) / per)


def _file(folder: Path, text: str) -> Path:
    return folder / f"{text.removesuffix('.jp2')}.jp2"


def _offsets(document: Path, root: Element, baseline: str) -> dict[str, float]:
    """Band to what is added to its numbers; SourceError BAD_METADATA where the baseline has an offset and they none."""
    names = {
        one.get("bandId"): f"B{(one.get('physicalBand') or 'B')[1:].rjust(2, '0')}"
        for one in root.iter("Spectral_Information")
    }
    names = names or {str(index): name for index, name in enumerate(ORDER)}
    found: dict[str, float] = {}
    for tag in ("BOA_ADD_OFFSET", "RADIO_ADD_OFFSET"):
        for one in root.iter(tag):
            name = names.get(one.get("band_id"))
            if name is None:
                raise metadata_error(document, f"{tag} of an unknown band, {one.get('band_id')!r}")
            value = number(document, tag, one.text)
            if found.setdefault(name, value) != value:
                raise metadata_error(document, f"{tag} of {name} is {found[name]:g} and {value:g}")
    if not found and _is_told(baseline) and baseline >= WITH_OFFSET:
        raise metadata_error(document, f"no offset, which baseline {baseline} has")
    return found


def _scl(folder: Path, images: list[tuple[str, re.Match[str]]]) -> tuple[str, tuple[Path, ...]]:
    """The scene classification in its resolutions, the finest first."""
    paths = sorted((int(match["gsd"] or 20), _file(folder, text)) for text, match in images if match["band"] == "SCL")
    return "SCL", tuple(path for _, path in paths if path.is_file())


def _classes(folder: Path, images: list[tuple[str, re.Match[str]]]) -> tuple[str, tuple[Path, ...]]:
    """Opaque clouds, cirrus and snow of an L1C product since baseline 04.00."""
    path = folder / "/".join(images[0][0].split("/")[:2]) / "QI_DATA" / "MSK_CLASSI_B00.jp2"
    return "CLASSI", (path,) if path.is_file() else ()


def _tile_document(folder: Path, images: list[tuple[str, re.Match[str]]]) -> Path | None:
    path = folder / "/".join(images[0][0].split("/")[:2]) / "MTD_TL.xml"
    return path if path.is_file() else None


def _place(document: Path | None, root: Element | None) -> dict[str, Any]:
    """CRS, corner and sizes by MTD_TL.xml."""
    if document is None or root is None:
        return {}
    x, y = (_text(root, ".//Geoposition", name) for name in ("ULX", "ULY"))
    corner = None if x is None or y is None else (number(document, "ULX", x), number(document, "ULY", y))
    sizes = {}
    for one in root.findall(".//Tile_Geocoding/Size"):
        gsd, *shape = (number(document, "Size", text) for text in (one.get("resolution"), *map(one.findtext, _SHAPE)))
        sizes[gsd] = (int(shape[0]), int(shape[1]))
    return {"crs": _text(root, ".", "HORIZONTAL_CS_CODE"), "corner": corner, "sizes": sizes}


def _taken(document: Path, first: str | None, last: str | None) -> Taken | None:
    if first is None:
        return None
    return times(document, "PRODUCT_START_TIME and PRODUCT_STOP_TIME", first, last or first)


def _tags(root: Element, baseline: str) -> dict[str, str]:
    names = ("PRODUCT_URI", "PROCESSING_LEVEL", "SPACECRAFT_NAME", "SENSING_ORBIT_NUMBER", "SENSING_ORBIT_DIRECTION")
    found = {name: _text(root, "General_Info", name) for name in names}
    return {name: text for name, text in found.items() if text} | {"PROCESSING_BASELINE": baseline}


def _properties(document: Path, root: Element, tile: Element | None, baseline: str) -> Mapping[str, Any]:
    found: dict[str, Any] = {"constellation": "sentinel-2", "instruments": ["msi"], "s2:processing_baseline": baseline}
    platform = _text(root, "General_Info", "SPACECRAFT_NAME")
    if platform:
        found["platform"] = platform.lower()
    cloud = _text(root, ".", "Cloud_Coverage_Assessment")
    if cloud:
        found["eo:cloud_cover"] = between(0, 100, document, "Cloud_Coverage_Assessment", cloud)
    orbit = _text(root, "General_Info", "SENSING_ORBIT_NUMBER")
    if orbit:
        found["sat:relative_orbit"] = int(number(document, "SENSING_ORBIT_NUMBER", orbit))
    name = re.search(r"_T(\d\d[C-X][A-Z]{2})_", f"{_text(root, 'General_Info', 'PRODUCT_URI')}")
    if name:
        found["grid:code"] = f"MGRS-{name[1]}"
    return found | ({} if tile is None else _angles(document, tile))


def _angles(document: Path, tile: Element) -> dict[str, float]:
    """Sun and view as STAC has them, in degrees: the means over the tile."""
    found: dict[str, float] = {}
    sun, view = tile.find(".//Mean_Sun_Angle"), tile.findall(".//Mean_Viewing_Incidence_Angle")
    if sun is not None:
        zenith = between(0, 180, document, "ZENITH_ANGLE", _text(sun, ".", "ZENITH_ANGLE"))
        azimuth = between(0, 360, document, "AZIMUTH_ANGLE", _text(sun, ".", "AZIMUTH_ANGLE"))
        found |= {"view:sun_azimuth": round(azimuth, 6), "view:sun_elevation": round(90 - zenith, 6)}
    zeniths = [between(0, 90, document, "ZENITH_ANGLE", _text(one, ".", "ZENITH_ANGLE")) for one in view]
    if zeniths:
        found["view:incidence_angle"] = round(sum(zeniths) / len(zeniths), 6)
    return found
