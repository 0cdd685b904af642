"""Landsat Collection 2, levels 1 and 2: *_MTL.json or *_MTL.txt, and a GeoTIFF a band beside it.

Numbers: value = DN x MULT + ADD of the metadata (reflectance; kelvin of ST_B10), 0 is nothing. The files come one by
one, so a folder without some of its bands is no damaged product.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from srcore.storage.header import Taken
from srcore.storage.providers.granule import BandFile, Granule, Missing, metadata_error, number

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
    level = facts.get("PROCESSING_LEVEL", "")
    named = {match[1]: name for key, name in facts.items() if (match := _BAND_FILE.fullmatch(key)) is not None}
    bands, common = tuple(_bands(document, facts, named)), _names(facts)
    there = {band.path.name for band in bands}
    quality = facts.get("FILE_NAME_QUALITY_L1_PIXEL")
    layer = None if quality is None else _beside(document, quality)
    return Granule(
        product=f"Landsat C{facts.get('COLLECTION_NUMBER', '?').lstrip('0')} {level}",
        id=facts.get("LANDSAT_PRODUCT_ID", document.name.split("_MTL")[0]),
        bands=bands,
        missing=tuple(_lost(key, common[key]) for key, name in named.items() if name not in there and key in common),
        layers={"QA_PIXEL": (layer,)} if layer is not None and layer.is_file() else {},
        documents=(document,),
        taken=_taken(document, facts),
        hidden=0.0,
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
            raise metadata_error(document, f"more than {MAX_BYTES} bytes")
        text = data.decode()
        groups = _json_groups(text) if document.suffix.lower() == ".json" else _text_groups(text)
    except (OSError, ValueError, RecursionError) as error:
        raise metadata_error(document, str(error)) from error
    if "PRODUCT_CONTENTS" not in groups:
        raise metadata_error(document, "no group PRODUCT_CONTENTS", "give a product of Collection 2")
    level_2 = groups["PRODUCT_CONTENTS"].get("PROCESSING_LEVEL", "").startswith("L2")
    wanted = (*OWN, *(LEVEL_2 if level_2 else LEVEL_1))
    return {key: value for name in wanted for key, value in groups.get(name, {}).items()}


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
            gain, offset = (number(document, name, facts[name]) for name in names)
            return gain, offset, unit
    raise metadata_error(document, f"neither scale nor offset of band {key}")


def _taken(document: Path, facts: Facts) -> Taken | None:
    day, time = facts.get("DATE_ACQUIRED"), facts.get("SCENE_CENTER_TIME", "").rstrip("Z")
    if not day:
        return None
    try:
        moment = datetime.fromisoformat(f"{day}T{time[:15] or '12:00:00'}").replace(tzinfo=UTC)
    except ValueError as error:
        raise metadata_error(document, f"DATE_ACQUIRED {day!r}, SCENE_CENTER_TIME {time!r}") from error
    text = moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return Taken(text, text, document.name)


def _tags(facts: Facts) -> dict[str, str]:
    names = ("LANDSAT_PRODUCT_ID", "PROCESSING_LEVEL", "SPACECRAFT_ID", "SENSOR_ID", "WRS_PATH", "WRS_ROW")
    return {name: facts[name] for name in names if name in facts}


def _properties(document: Path, facts: Facts) -> dict[str, Any]:
    found: dict[str, Any] = {"constellation": "landsat"}
    if "SPACECRAFT_ID" in facts:
        found["platform"] = facts["SPACECRAFT_ID"].lower().replace("_", "-")
    if "SENSOR_ID" in facts:
        found["instruments"] = facts["SENSOR_ID"].lower().split("_")
    for key, name in (
        ("CLOUD_COVER", "eo:cloud_cover"),
        ("SUN_AZIMUTH", "view:sun_azimuth"),
        ("SUN_ELEVATION", "view:sun_elevation"),
    ):
        value = number(document, key, facts[key]) if key in facts else -1.0
        if key in facts and not (key == "CLOUD_COVER" and value < 0):  # -1: was not looked at
            found[name] = value
    for key, name in (("WRS_PATH", "landsat:wrs_path"), ("WRS_ROW", "landsat:wrs_row")):
        if key in facts:
            found[name] = facts[key].rjust(3, "0")
    return found
