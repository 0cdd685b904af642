"""The map of a dataset by HTTP: its page, and tiles of one product or of the LR that it was made of, read-only.

    /store/DATASET/map.html?scene=SCENE
    /store/DATASET/tiles/SCENE/sr/Z/X/Y.png, .../lr/Z/X/Y.png

Only of what `flows.service.pages` would show: a product that a receipt names, of a public dataset. A tile reads a
window of bounded size; two are drawn at a time, each in a thread, so that the server answers meanwhile.

A page without an origin of its own gets no password for its pictures: browsers send none. So the page of a scene has a
key, which is good for the tiles of that scene alone, while the service runs.
"""

from __future__ import annotations

import hmac
import re
from pathlib import Path
from secrets import compare_digest, token_bytes
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from srcore.catalog import Catalog
from srcore.errors import SRError
from srcore.layout import DatasetPaths
from srcore.storage.archive.publish import Receipt
from srcore.storage.disk.real_file import has_no_link

if TYPE_CHECKING:
    from srcore.report.map.page import Chosen
    from srcore.storage.view.frame import Place

PAGE = "map.html"
ADDRESS = re.compile(r"([^/]+)/(?:map\.html|tiles/.*)")
TILE = re.compile(r"tiles/([^/]+)/(sr|lr)/(\d{1,2})/(\d{1,8})/(\d{1,8})\.png", re.ASCII)
KEPT = "private, max-age=300"
"""Tiles are the browser's for some minutes; another product has other addresses."""
_SECRET = token_bytes(32)
NONE = "no map of this store, or of a dataset that is restricted\n"


def is_map(address: str) -> bool:
    """Whether an address below /store/ is one of a map."""
    return ADDRESS.fullmatch(address) is not None


def has_key(request: Request, address: str) -> bool:
    """Whether a request for a tile has the key of its scene."""
    dataset, _, rest = address.partition("/")
    found = TILE.fullmatch(rest)
    given = request.query_params.get("key", "").encode()
    return found is not None and compare_digest(given, _key(dataset, found[1]).encode())


def _key(dataset: str, scene: str) -> str:
    return hmac.new(_SECRET, f"{dataset}/{scene}".encode(), "sha256").hexdigest()


def answer_map(request: Request, catalog: Catalog, address: str) -> Response:
    """What is answered to a GET or HEAD of such an address; of a store on a disk."""
    dataset, _, rest = address.partition("/")
    entry = catalog.datasets.get(dataset)
    if entry is None or entry.privacy != "public":
        return PlainTextResponse(NONE, 404)
    if entry.kind != "raster":
        return PlainTextResponse("a dataset of volumes has no map\n", 404)
    places = DatasetPaths(Path(catalog.store) / dataset)
    if rest == PAGE:
        return _page(catalog, places, request.query_params.get("scene", ""))
    return _tile(request, catalog, places, rest)


def _page(catalog: Catalog, places: DatasetPaths, scene: str) -> Response:
    from srcore.report.map.page import map_page
    from srcore.report.map.scenes import read_scenes, receipt_of

    listed, name = read_scenes(places), places.root.name
    receipt = receipt_of(places, scene) if scene else None
    if receipt is None:
        note = "The scene that was asked for has no product that can be shown." if scene else ""
        return HTMLResponse(map_page(name, listed, None, note), 404 if scene else 200)
    try:
        return HTMLResponse(map_page(name, listed, _chosen(catalog, places, receipt)))
    except SRError as error:
        return HTMLResponse(map_page(name, listed, None, f"Its product cannot be shown ({error.code})."), 404)


def _chosen(catalog: Catalog, places: DatasetPaths, receipt: Receipt) -> Chosen:
    from srcore.report.map.lr import lr_of
    from srcore.report.map.page import Chosen
    from srcore.report.map.tiles import look
    from srcore.storage.view.source import first_level

    path, digest = _data(places, receipt)
    _, _, frame = look(path, digest)
    lr = lr_of(catalog.datasets[places.root.name], catalog.base, receipt)
    first = None if lr.header is None else first_level(frame, lr.header)
    return Chosen(receipt.scene, frame, digest[:12], _key(places.root.name, receipt.scene), first, lr.why)


def _tile(request: Request, catalog: Catalog, places: DatasetPaths, rest: str) -> Response:
    found = TILE.fullmatch(rest)
    if found is None:
        return PlainTextResponse("no tile: tiles/SCENE/sr/LEVEL/COLUMN/ROW.png, or lr, in whole numbers\n", 400)
    from srcore.report.map.scenes import receipt_of
    from srcore.storage.view.frame import Place

    place = Place(*map(int, found.groups()[2:]))
    if not place.exists:
        return PlainTextResponse("no such tile: that level has fewer, or there is no such level\n", 400)
    receipt = receipt_of(places, found[1])
    if receipt is None:
        return PlainTextResponse(NONE, 404)
    tag = f'"{_data(places, receipt)[1][:16]}-{found[2]}"'
    if request.headers.get("if-none-match") == tag:
        return Response(None, 304, {"ETag": tag, "Cache-Control": KEPT})
    try:
        drawn, why = _drawn(catalog, places, receipt, found[2], place)
    except SRError as error:
        return PlainTextResponse(f"{error.code}: the scene cannot be shown\n", 404)
    if drawn is None:
        return PlainTextResponse(f"{why}\n", 404)
    return Response(drawn, 200, {"ETag": tag, "Cache-Control": KEPT}, "image/png")


def _drawn(
    catalog: Catalog, places: DatasetPaths, receipt: Receipt, which: str, place: Place
) -> tuple[bytes | None, str]:
    """A tile, or why there is none."""
    from srcore.report.map.lr import lr_of
    from srcore.report.map.tiles import lr_tile, product_tile

    path, digest = _data(places, receipt)
    if not has_no_link(path, places.root.parent):
        return None, "no product that can be shown"
    if which == "sr":
        return product_tile(path, digest, place), "that tile lies beside the product"
    lr = lr_of(catalog.datasets[places.root.name], catalog.base, receipt)
    if lr.header is None:
        return None, lr.why
    return lr_tile(path, digest, lr.header, place), "that tile lies beside the input, or would take too much of it"


def _data(places: DatasetPaths, receipt: Receipt) -> tuple[Path, str]:
    """The product's COG, and its sha256."""
    name = f"{receipt.scene}.tif"
    return places.products / receipt.scene / name, next(one.sha256 for one in receipt.outputs if one.name == name)
