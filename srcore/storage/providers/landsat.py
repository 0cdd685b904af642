"""Landsat Collection 2, levels 1 and 2: *_MTL.json or *_MTL.txt, and a GeoTIFF a band beside it.

Numbers: value = DN x MULT + ADD of the metadata (reflectance; kelvin of ST_B10), 0 is nothing. The files come one by
one, so a folder without some of its bands is no damaged product.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from srcore.errors import plain
from srcore.storage.header import Taken
from srcore.storage.providers.granule import BandFile, Granule, Missing, between, gain, metadata_error, number, times

DOCUMENT = re.compile(r"L[COTEM]0\d_.+_MTL\.(json|txt)", re.IGNORECASE)
MAX_BYTES = 2**20
OLI = {
    "1": "coastal",
    "2": "blue",
    "3": "green",
    "4": "red",
    "5": "nir08",
    "6": "swir16",
    "7": "swir22",
    "8": "pan",
    "9": "cirrus",
    "10": "lwir11",
    "11": "lwir12",
    "ST_B10": "lwir11",
}
"""Bands of Landsat 8 and 9, as the metadata number them, to their names in STAC."""
TM = {"1": "blue", "2": "green", "3": "red", "4": "nir08", "5": "swir16", "6": "lwir", "7": "swir22", "8": "pan"}
TM |= {"ST_B6": "lwir", "6_VCID_1": "", "6_VCID_2": ""}
"""Of Landsat 4, 5 and 7."""
PAN_M, REFLECTIVE_M = 15.0, 30.0
_BAND_FILE = re.compile(r"FILE_NAME_BAND_(\w+)")
_PRODUCT = re.compile(r"L[COTEM]0\d_(L\d\w\w)_\d{6}_\d{8}_\d{8}_\d\d_(T1|T2|RT)", re.IGNORECASE)
_LINE = re.compile(r'\s*(\w+)\s*=\s*"?(.*?)"?\s*')

Facts = Mapping[str, str]
"""Keys of the groups that say something of this product; those of the level-1 product behind a level 2 do not."""
OWN = ("PRODUCT_CONTENTS", "IMAGE_ATTRIBUTES", "PROJECTION_ATTRIBUTES")
LEVEL_1 = ("LEVEL1_RADIOMETRIC_RESCALING",)
LEVEL_2 = ("LEVEL2_SURFACE_REFLECTANCE_PARAMETERS", "LEVEL2_SURFACE_TEMPERATURE_PARAMETERS")
TEMPERATURE: tuple[tuple[str, str | None], ...] = (("TEMPERATURE", "kelvin"),)
REFLECTIVE: tuple[tuple[str, str | None], ...] = (("REFLECTANCE", None), ("RADIANCE", "W/(m2 sr um)"))
"""Numbers that the metadata give of a band, the first choice first, with their units."""


def find_document(folder: Path) -> Path | None:
    """The metadata of the product in a folder, JSON before text; None where there is none, or there are several."""
    names = sorted(path.name for path in folder.iterdir() if DOCUMENT.fullmatch(path.name))
    found = [name for name in names if name.lower().endswith(".json")] or names
    several = len({name.rpartition("_MTL")[0] for name in names}) > 1
    return folder / found[0] if found and not several else None


def read_granule(document: Path) -> Granule:
    """The product that an MTL file describes; SourceError BAD_METADATA where it does not."""
    facts = _facts(document)
    level, product = facts.get("PROCESSING_LEVEL", ""), _name_of(document, facts)
    named = {match[1]: name for key, name in facts.items() if (match := _BAND_FILE.fullmatch(key)) is not None}
    twice = [name for name, count in Counter(named.values()).items() if count > 1]
    if twice:
        raise metadata_error(document, f"{twice[0]!r} is the file of several bands")
    bands, common = tuple(_bands(document, facts, named)), _names(facts)
    there = {band.path.name for band in bands}
    quality = facts.get("FILE_NAME_QUALITY_L1_PIXEL")
    layer = None if quality is None else _beside(document, quality)
    return Granule(
        product=f"Landsat C{facts.get('COLLECTION_NUMBER', '?').lstrip('0')} {level}",
        id=product,
        bands=bands,
        missing=tuple(_lost(key, common[key]) for key, name in named.items() if name not in there and key in common),
        layers={"QA_PIXEL": (layer,)} if layer is not None and layer.is_file() else {},
        documents=(document,),
        taken=_taken(document, facts),
        hidden=0.0,
        crs=_crs(document, facts),
        tags=_tags(facts),
        properties=_properties(document, facts),
        flags=() if layer is not None and layer.is_file() else ("no quality layer (QA_PIXEL)",),
        whole=False,
    )


def _facts(document: Path) -> Facts:
    """What the metadata say of this product."""
    try:
        with document.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"more than {MAX_BYTES} bytes")
        text = data.decode("utf-8-sig")
        groups = _json_groups(text) if document.suffix.lower() == ".json" else _text_groups(text)
    except (OSError, ValueError, RecursionError) as error:
        raise metadata_error(document, str(error)) from error
    if "PRODUCT_CONTENTS" not in groups:
        raise metadata_error(document, "no group PRODUCT_CONTENTS", "give a product of Collection 2")
    level_2 = groups["PRODUCT_CONTENTS"].get("PROCESSING_LEVEL", "").startswith("L2")
    wanted = (*OWN, *(LEVEL_2 if level_2 else LEVEL_1))
    return {key: plain(value) for name in wanted for key, value in groups.get(name, {}).items()}


def _name_of(document: Path, facts: Facts) -> str:
    """The product's own; SourceError BAD_METADATA where it is that of another product or level than they are beside."""
    there, level = document.name.split("_MTL")[0], facts.get("PROCESSING_LEVEL", "")
    told = facts.get("LANDSAT_PRODUCT_ID", there)
    here, other = _PRODUCT.fullmatch(there), _PRODUCT.fullmatch(told)
    if here and other and there.casefold() != told.casefold():
        raise metadata_error(document, f"the metadata of {told}", "put each product's files back into its own folder")
    if level[:2] not in ("L1", "L2") or (other and other[1].casefold() != level.casefold()):
        raise metadata_error(document, f"PROCESSING_LEVEL {level!r} of {told}")
    return told


def _crs(document: Path, facts: Facts) -> str | None:
    """Of UTM, whose zones Landsat counts from the equator to the north, south of it too; None of anything else."""
    if facts.get("MAP_PROJECTION") != "UTM" or "UTM_ZONE" not in facts:
        return None
    return f"EPSG:{32600 + int(number(document, 'UTM_ZONE', facts['UTM_ZONE']))}"


def _json_groups(text: str) -> dict[str, dict[str, str]]:
    document = json.loads(text)
    root = document.get("LANDSAT_METADATA_FILE") if isinstance(document, dict) else None
    if not isinstance(root, dict):
        raise ValueError("no LANDSAT_METADATA_FILE")
    return {
        name: {key: str(value) for key, value in group.items()}
        for name, group in root.items()
        if isinstance(group, dict)
    }


def _text_groups(text: str) -> dict[str, dict[str, str]]:
    if text.rstrip("\0 \r\n").rpartition("\n")[2].strip() != "END":
        raise ValueError("it is cut short: no END")
    found: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line)
        if match is not None and match[1] == "GROUP":
            group = found.setdefault(match[2], {})
        elif match is not None and match[1] != "END_GROUP":
            group[match[1]] = match[2]
    return found


def _names(facts: Facts) -> Mapping[str, str]:
    return OLI if facts.get("SENSOR_ID", "OLI").startswith("OLI") or "8" in facts.get("SPACECRAFT_ID", "") else TM


def _name(number_: str) -> str:
    """ST_B10 is called so; 4 is B4."""
    return number_ if number_.startswith("ST_") else f"B{number_}"


def _lost(key: str, common: str) -> Missing:
    return Missing(_name(key), common, PAN_M if common == "pan" else REFLECTIVE_M)


def _bands(document: Path, facts: Facts, named: Mapping[str, str]) -> Iterator[BandFile]:
    common = _names(facts)
    for key, name in named.items():
        path = _beside(document, name)
        if key not in common or not path.is_file():
            continue
        scale, offset, unit = _numbers(document, facts, key)
        gsd = PAN_M if common[key] == "pan" else REFLECTIVE_M
        yield BandFile(_name(key), common[key], path, gsd, gsd, scale, offset, unit)


def _beside(document: Path, name: str) -> Path:
    if Path(name).name != name or name.startswith("."):
        raise metadata_error(document, f"a file name of {name!r}")
    return document.parent / name


def _numbers(document: Path, facts: Facts, key: str) -> tuple[float, float, str | None]:
    """Gain, offset and unit: temperature, else reflectance, else (thermal bands of level 1) radiance."""
    for way, unit in TEMPERATURE if key.startswith("ST_") else REFLECTIVE:
        names = [f"{way}_{what}_BAND_{key}" for what in ("MULT", "ADD")]
        if all(name in facts for name in names):
            return gain(document, names[0], facts[names[0]]), number(document, names[1], facts[names[1]]), unit
    raise metadata_error(document, f"neither scale nor offset of band {key}")


def _taken(document: Path, facts: Facts) -> Taken | None:
    day, time = facts.get("DATE_ACQUIRED"), facts.get("SCENE_CENTER_TIME", "").rstrip("Z")
    if not day:
        return None
    moment = f"{day}T{time[:15] or '12:00:00'}"
    return times(document, "DATE_ACQUIRED and SCENE_CENTER_TIME", moment, moment)


def _tags(facts: Facts) -> dict[str, str]:
    names = ("LANDSAT_PRODUCT_ID", "PROCESSING_LEVEL", "SPACECRAFT_ID", "SENSOR_ID", "WRS_PATH", "WRS_ROW")
    return {name: facts[name] for name in names if name in facts}


def _properties(document: Path, facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"constellation": "landsat"}
    if "SPACECRAFT_ID" in facts:
        found["platform"] = facts["SPACECRAFT_ID"].lower().replace("_", "-")
    if "SENSOR_ID" in facts:
        found["instruments"] = facts["SENSOR_ID"].lower().split("_")
    if "CLOUD_COVER" in facts and number(document, "CLOUD_COVER", facts["CLOUD_COVER"]) != -1:  # -1: was not looked at
        found["eo:cloud_cover"] = between(0, 100, document, "CLOUD_COVER", facts["CLOUD_COVER"])
    if "SUN_AZIMUTH" in facts:  # of STAC 0 to 360
        found["view:sun_azimuth"] = between(-180, 360, document, "SUN_AZIMUTH", facts["SUN_AZIMUTH"]) % 360
    if "SUN_ELEVATION" in facts:
        found["view:sun_elevation"] = between(-90, 90, document, "SUN_ELEVATION", facts["SUN_ELEVATION"])
    for key, name in (("WRS_PATH", "landsat:wrs_path"), ("WRS_ROW", "landsat:wrs_row")):
        if key in facts:
            found[name] = facts[key].rjust(3, "0")
    return found
