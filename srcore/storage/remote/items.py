"""From an item of STAC to a card: its files, its bands, its time. What an item says is a stranger's word."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from itertools import zip_longest
from typing import Any, TypeAlias
from urllib.parse import unquote, urlsplit

from srcore.errors import SourceError, plain, printable, shortened
from srcore.layout import safe_id
from srcore.storage.dates.moment import CLOCKS, EARLIEST, written
from srcore.storage.remote.address import is_signed, joined, leads_inward, shown, told_apart
from srcore.storage.remote.card import UPDATED, Card, CardBand, CardFile
from srcore.storage.remote.fetch import remember_signed

RASTER = re.compile(r"image/(tiff|jp2|jpx)|application/(x-)?(tar|zip|gzip|nifti)", re.IGNORECASE)
SUFFIX = re.compile(r".*\.(tiff?|jp2|nii|nii\.gz|zip|tar)", re.IGNORECASE)
SAFE = re.compile(r"(?P<folder>.*?[^/]\.SAFE)(/|/manifest\.safe|/MTD_MSIL(1C|2A)\.xml)?", re.IGNORECASE)
"""What leads to a whole product of Sentinel-2: its folder, or what describes it."""
NO_DATA = frozenset({"thumbnail", "overview", "metadata", "visual", "date", "index"})
"""Roles of assets that are no scene."""
PREFIXES = ("eo:", "view:", "sat:", "grid:")
CAN_BE: Mapping[str, tuple[float, float]] = {
    **dict.fromkeys(("eo:cloud_cover", "eo:snow_cover"), (0, 100)),
    **dict.fromkeys(("view:off_nadir", "view:incidence_angle"), (0, 90)),
    **dict.fromkeys(("view:azimuth", "view:sun_azimuth"), (0, 360)),
    "view:sun_elevation": (-90, 90),
}
"""Numbers of an item that another one may repeat: what cannot be is left out."""
PLAIN = ("platform", "constellation", "mission")
LONGEST = 200
CHECKSUM = re.compile(r"[0-9a-fA-F]{8,200}")
Box: TypeAlias = tuple[float, float, float, float]
"""West, south, east, north in degrees; west is east of east across the date line."""
_NOTHING: Mapping[str, Any] = {}
EPSG = re.compile(r"EPSG:\d{1,6}", re.IGNORECASE)


def card_of(item: Mapping[str, Any], base: str, assets: Sequence[str] | None = None) -> Card:
    """The card of an item that lies at `base`; its scene is refused when it is read, if nothing of it can be."""
    said = item.get("properties")
    properties: Mapping[str, Any] = said if isinstance(said, Mapping) else {}
    address = _address(item, base)
    mark = str(properties.get("updated") or properties.get("created") or "")[:60]
    files = tuple(_files(item, base, mark, assets))
    first, last = _taken(properties)
    return Card(
        address=address,
        id=safe_id(str(item.get("id") or "") or _last(address)),
        files=files,
        chosen=assets is not None,
        first=first,
        last=last,
        crs=_crs(properties),
        is_item=True,
        properties=_kept(properties),
        updated=mark,
    )


def box_of(item: Mapping[str, Any]) -> Box | None:
    """Where an item says that it lies; None where it says it not, or so that nobody can use it."""
    found = item.get("bbox")
    if not isinstance(found, (list, tuple)) or len(found) not in (4, 6):
        return None
    if not all(isinstance(one, (int, float)) and abs(one) < 1e6 for one in found):
        return None
    half = len(found) // 2
    west, south, east, north = (float(found[i]) for i in (0, 1, half, half + 1))
    return west, south, east, north


def _address(item: Mapping[str, Any], base: str) -> str:
    """What the item is called: its own address, else that of the document that it stands in, and its id."""
    place = _self(item, base)
    name = str(item.get("id") or "")
    return shown(place) if place != base or _last(base) == name else f"{shown(base)}#{printable(name)[:LONGEST]}"


def _self(item: Mapping[str, Any], base: str) -> str:
    """Where its relative links start."""
    for link in _dicts(item.get("links")):
        if link.get("rel") == "self" and isinstance(link.get("href"), str):
            with suppress(ValueError):
                return joined(base, link["href"])
    return base


def _last(address: str) -> str:
    return unquote(urlsplit(address).path).rstrip("/").rpartition("/")[2].removesuffix(".json")


def _files(item: Mapping[str, Any], base: str, mark: str, wanted: Sequence[str] | None) -> Iterable[CardFile]:
    assets = item.get("assets")
    assets = assets if isinstance(assets, Mapping) else {}
    keys = wanted if wanted is not None else _data(assets)
    for key in keys:
        asset = assets.get(key)
        if isinstance(asset, Mapping):
            if isinstance(asset.get("href"), str) and asset["href"]:
                yield _file(str(key), asset, item, base, mark)
        elif wanted is not None:
            yield CardFile("", str(key))  # reading it says that it is not there


def _data(assets: Mapping[str, Any]) -> list[str]:
    """The keys of rasters; of an item without any, that of the product folder that it links to."""
    there = {str(key): one for key, one in assets.items() if isinstance(one, Mapping)}
    found = [key for key, one in there.items() if _is_data(one)]
    return found or [key for key, one in there.items() if safe_folder(str(one.get("href") or ""))][:1]


def safe_folder(href: str) -> str:
    """The SAFE folder that a link leads to; '' for any other link."""
    match = SAFE.fullmatch(href)
    return "" if match is None else match["folder"]


def _is_data(asset: Mapping[str, Any]) -> bool:
    roles = asset.get("roles")
    roles = {str(role).lower() for role in roles} if isinstance(roles, (list, tuple)) else set()
    if roles & NO_DATA:
        return False
    form, path = str(asset.get("type") or ""), urlsplit(str(asset.get("href"))).path
    return bool(RASTER.match(form) if form else SUFFIX.fullmatch(path))


def _file(key: str, asset: Mapping[str, Any], item: Mapping[str, Any], base: str, mark: str) -> CardFile:
    try:
        href = joined(_self(item, base), asset["href"])
        inward, apart = leads_inward(base, href), told_apart(href)
        if is_signed(href):
            remember_signed(shown(href), href)
    except ValueError:  # no address: reading it says that nothing is there
        href, inward, apart = "", False, ""
    size, checksum = asset.get("file:size"), str(asset.get("file:checksum") or "")
    return CardFile(
        href="" if inward else shown(href) if "://" in href else href,
        key=shortened(key, LONGEST),
        size=size if isinstance(size, int) and not isinstance(size, bool) and size >= 0 else None,
        mark=f"{UPDATED}{mark}" if mark else "",
        checksum=checksum if CHECKSUM.fullmatch(checksum) else "",
        bands=_bands(asset, key),
        gsd_m=_number(asset.get("gsd")) or _resolution(asset),
        apart=apart,
        inward=inward,
    )


def _bands(asset: Mapping[str, Any], key: str) -> tuple[CardBand, ...]:
    """By `bands` of STAC 1.1, else by the extensions eo and raster; at least one that has the asset's key."""
    new, eo, raster = (_dicts(asset.get(name)) for name in ("bands", "eo:bands", "raster:bands"))
    count = max(len(new), len(eo), len(raster))
    if not count:
        return (_band({}, {}, {}, asset, key),)
    last = key if count == 1 else ""
    each = zip_longest(new, eo, raster, fillvalue=_NOTHING)
    return tuple(_band(one, of_eo, of_raster, asset, last) for one, of_eo, of_raster in each)


def _band(
    new: Mapping[str, Any], eo: Mapping[str, Any], raster: Mapping[str, Any], asset: Mapping[str, Any], key: str
) -> CardBand:
    def first(*names: str) -> Any:
        return next(
            (one[name] for one in (new, raster, eo, asset) for name in names if one.get(name) is not None), None
        )

    unit = first("unit")
    return CardBand(
        name=_text(new.get("name") or eo.get("name") or key),
        common=_text(new.get("eo:common_name") or eo.get("common_name") or asset.get("eo:common_name") or ""),
        nodata=_nodata(first("nodata")),
        scale=_number(first("raster:scale", "scale")),
        offset=_number(first("raster:offset", "offset")),
        unit=_text(unit) if isinstance(unit, str) else None,
    )


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, (list, tuple)) else []


def _text(value: Any) -> str:
    return plain(str(value), LONGEST)


def _number(value: Any) -> float | None:
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    with suppress(OverflowError):  # 1 and 400 zeros
        return float(value) if math.isfinite(value) else None
    return None


def _nodata(value: Any) -> float | None:
    return math.nan if value == "nan" else _number(value)


def _resolution(asset: Mapping[str, Any]) -> float | None:
    found = [*_dicts(asset.get("bands")), *_dicts(asset.get("raster:bands"))]
    told = (one.get("raster:spatial_resolution", one.get("spatial_resolution")) for one in found)
    return next((number for one in told if (number := _number(one))), None)


def _crs(properties: Mapping[str, Any]) -> str:
    code, epsg = properties.get("proj:code"), properties.get("proj:epsg")
    told = code if isinstance(code, str) else f"EPSG:{epsg}" if isinstance(epsg, int) else ""
    return told.upper() if EPSG.fullmatch(told) else ""


def _taken(properties: Mapping[str, Any]) -> tuple[str, str]:
    """First and last second; '' where the item does not say them, or such as no scene can have."""
    times = [properties.get(name) for name in ("datetime", "start_datetime", "end_datetime")]
    found = [moment(one) if isinstance(one, str) else None for one in times]
    first, last = found[1] or found[0], found[2] or found[0]
    if first is None or last is None or not EARLIEST <= first <= last <= datetime.now(UTC) + CLOCKS:
        return "", ""
    return written(first), written(last)


def moment(text: str) -> datetime | None:
    """A time of RFC 3339, without a zone in UTC; None for anything else."""
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).astimezone(UTC).replace(microsecond=0)
    except (ValueError, OverflowError):
        return None


def _kept(properties: Mapping[str, Any]) -> dict[str, Any]:
    """Plain words and numbers that an item of the product may repeat."""
    found: dict[str, Any] = {}
    for name, value in properties.items():
        words, told = isinstance(value, str) and name.startswith(("grid:", "sat:")), _number(value)
        least, most = CAN_BE.get(name, (-math.inf, math.inf))
        if name.startswith(PREFIXES) and (words or (told is not None and least <= told <= most)):
            found[name[:LONGEST]] = _text(value) if isinstance(value, str) else value
        elif name in PLAIN and isinstance(value, str) and value:
            found[name] = _text(value)
    names = properties.get("instruments")
    if isinstance(names, (list, tuple)) and names and all(isinstance(one, str) for one in names):
        found["instruments"] = [_text(one) for one in names]
    return json.loads(json.dumps(found, allow_nan=False))  # type: ignore[no-any-return]


def bad_item(address: str, found: str) -> SourceError:
    """The error for a document that is no item of STAC."""
    return SourceError(
        f"{shown(address)}: no item of STAC", printable(found)[:LONGEST], "give another", code="BAD_ITEM"
    )
