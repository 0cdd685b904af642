"""Which products a map shows, from receipts and STAC items: outlines in the square of the web's maps."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import on_object_store
from srcore.errors import StoreError
from srcore.layout import SAFE_ID, DatasetPaths, ProductPaths
from srcore.storage.archive.publish import Output, Receipt, find_receipts
from srcore.storage.archive.runs import run_of
from srcore.storage.disk.real_file import has_no_link
from srcore.storage.disk.records import parse_json
from srcore.storage.disk.store import store_at

MOST = 1000
"""Products on a map, the newest."""
MOST_POINTS = 24
"""Of an outline: a page holds a thousand of them."""
KEPT_S = 60
"""The outlines of a store on an object store serve for so long."""
AT_ONCE = 8
"""Products that are looked at at once."""
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
    """The newest public products of a dataset that have a COG. AwayError of an object store."""
    if on_object_store(places.root):
        return _listed(places, int(time.time() / KEPT_S))
    return _read_listed(places, _newest_first(places.products))


@lru_cache(maxsize=8)
def _listed(places: DatasetPaths, _minute: int) -> Listed:
    """On an object store: a request for 1000 objects, and two a product."""
    found = find_receipts(places.products)
    names = [path.parent.name for path, _ in sorted(found, key=lambda one: one[1], reverse=True)]
    return _read_listed(places, [name for name in names if SAFE_ID.fullmatch(name)])


def _read_listed(places: DatasetPaths, names: Sequence[str]) -> Listed:
    with ThreadPoolExecutor(AT_ONCE) as readers:
        found = readers.map(lambda name: _mapped(places, name), names[:MOST])
        return Listed(tuple(one for one in found if one is not None), max(0, len(names) - MOST))


def public_receipt(places: DatasetPaths, scene: str) -> Receipt | None:
    """The receipt of a product that is nobody's; None of any other."""
    if not SAFE_ID.fullmatch(scene):
        return None
    path = ProductPaths(places.products / scene, f"{scene}.tif").receipt
    try:
        receipt = Receipt.load(path) if has_no_link(path, places.root.parent) else None
    except StoreError:
        return None
    return None if receipt is None or receipt.is_private else receipt


def receipt_of(places: DatasetPaths, scene: str) -> Receipt | None:
    """The receipt of a product that may be shown, tiles and all; None of any other."""
    receipt = public_receipt(places, scene)
    return None if receipt is None or data_of(receipt) is None else receipt


def data_of(receipt: Receipt) -> Output | None:
    """Its COG, in the folder of its run where that is so; None where it has none."""
    return _output(receipt, ".tif")


def _output(receipt: Receipt, suffix: str) -> Output | None:
    name = "/".join(filter(None, (run_of(receipt), receipt.scene + suffix)))
    return next((output for output in receipt.outputs if output.name == name), None)


def _newest_first(products: Path) -> list[str]:
    try:
        with os.scandir(products) as entries:
            found = [(entry.stat(follow_symlinks=False).st_mtime_ns, entry.name) for entry in entries if _is_one(entry)]
    except OSError:
        return []  # nothing is published yet
    return [name for _, name in sorted(found, reverse=True)]


def _is_one(entry: os.DirEntry[str]) -> bool:
    return entry.is_dir(follow_symlinks=False) and SAFE_ID.fullmatch(entry.name) is not None


def _mapped(places: DatasetPaths, name: str) -> Mapped | None:
    receipt = receipt_of(places, name)
    if receipt is None or receipt.scene != name:
        return None
    return Mapped(name, receipt.verdict, _outline(places, receipt))


def _outline(places: DatasetPaths, receipt: Receipt) -> Rings:
    """By its STAC item, where it has one that can be read."""
    item = _output(receipt, ".json")
    path = places.products / receipt.scene / (item.name if item else "")
    if item is None or item.size_bytes > MAX_ITEM_BYTES or not has_no_link(path, places.root.parent):
        return ()
    try:
        return rings_of(parse_json(store_at(path.parent).get(path.name) or b"", path.name).get("geometry"))
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
