"""Which products a map shows, from receipts and STAC items: outlines in the square of the web's maps."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from srcore.errors import SRError, StoreError
from srcore.layout import SAFE_ID, DatasetPaths, ProductPaths
from srcore.regular import read_regular
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.real_file import has_no_link
from srcore.storage.disk.records import parse_json

MOST = 1000
"""Products on a map, the newest."""
MOST_POINTS = 24
"""Of an outline: a page holds a thousand of them."""
CORNERS = 3
"""Of a ring at least."""
MAX_ITEM_BYTES = 2**22
MAX_LATITUDE = 85.0
"""Beyond it Web Mercator has no place."""

Rings = tuple[tuple[tuple[float, float], ...], ...]


@dataclass(frozen=True)
class Mapped:
    """A product on the map."""

    scene: str
    verdict: str
    rings: Rings
    """Outlines in the square, whose sides are 1; none where the scene has no place in it."""


@dataclass(frozen=True)
class Listed:
    """The products of a dataset that its map shows."""

    scenes: tuple[Mapped, ...]
    """The newest first."""
    older: int
    """Products that are not shown: so many are newer."""


def read_scenes(places: DatasetPaths) -> Listed:
    """The newest public products of a dataset that have a COG."""
    names = _newest_first(places.products)
    return Listed(tuple(_mapped(places, names[:MOST])), max(0, len(names) - MOST))


def receipt_of(places: DatasetPaths, scene: str) -> Receipt | None:
    """The receipt of a product that may be shown, tiles and all; None of any other."""
    if not SAFE_ID.fullmatch(scene):
        return None
    path = ProductPaths(places.products / scene, f"{scene}.tif").receipt
    try:
        receipt = Receipt.load(path) if has_no_link(path, places.root.parent) else None
    except SRError:
        return None
    return None if receipt is None or receipt.is_private or data_of(receipt) is None else receipt


def data_of(receipt: Receipt) -> str | None:
    """The name of its COG; None where it has none."""
    name = f"{receipt.scene}.tif"
    return name if any(output.name == name for output in receipt.outputs) else None


def _newest_first(products: Path) -> list[str]:
    try:
        with os.scandir(products) as entries:
            found = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in entries if _is_one(entry)]
    except OSError:
        return []  # nothing is published yet
    return [name for _, name in sorted(found, reverse=True)]


def _is_one(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and SAFE_ID.fullmatch(entry.name) is not None


def _mapped(places: DatasetPaths, names: Sequence[str]) -> Iterator[Mapped]:
    for name in names:
        receipt = receipt_of(places, name)
        if receipt is not None and receipt.scene == name:
            yield Mapped(name, receipt.verdict, _outline(places, receipt))


def _outline(places: DatasetPaths, receipt: Receipt) -> Rings:
    """By its STAC item, where it has one that can be read."""
    path = places.products / receipt.scene / f"{receipt.scene}.json"
    if not any(output.name == path.name for output in receipt.outputs) or not has_no_link(path, places.root.parent):
        return ()
    try:
        return rings_of(parse_json(read_regular(path, MAX_ITEM_BYTES), path.name).get("geometry"))
    except (OSError, StoreError, LookupError, TypeError, ValueError, AttributeError):
        return ()  # an audit tells of it


def rings_of(geometry: Mapping[str, Any] | None) -> Rings:
    """Outer rings of a (Multi)Polygon in longitude and latitude, in the square; none for what is beyond its edges."""
    if geometry is None:
        return ()
    found = geometry["coordinates"] if geometry["type"] == "MultiPolygon" else [geometry["coordinates"]]
    rings = [[(float(point[0]), float(point[1])) for point in polygon[0]] for polygon in found]
    if not rings or min(map(len, rings)) < CORNERS:
        return ()
    flat = [value for ring in rings for point in ring for value in point]
    if not all(map(math.isfinite, flat)) or any(abs(y) > MAX_LATITUDE for ring in rings for _, y in ring):
        return ()
    return tuple(tuple(_in_square(*point) for point in _thinned(ring)) for ring in rings)


def _thinned(ring: list[tuple[float, float]]) -> list[tuple[float, float]]:
    return ring[:: max(1, math.ceil(len(ring) / MOST_POINTS))]


def _in_square(longitude: float, latitude: float) -> tuple[float, float]:
    up = math.asinh(math.tan(math.radians(latitude))) / math.pi
    return round((longitude + 180) / 360, 9), round((1 - up) / 2, 9)
