"""The map of a dataset by HTTP: its page, and tiles of one product or of the LR that it was made of, read-only.

    /store/DATASET/map.html?scene=SCENE
    /store/DATASET/tiles/SCENE/sr/Z/X/Y.png, .../lr/Z/X/Y.png

Only of what `flows.service.pages` would show: a product that a receipt names, of a public dataset. A tile reads a
window of bounded size; two are drawn at a time, each in a thread, so that the server answers meanwhile.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from flows.service.keys import key_of
from srcore.catalog import Catalog
from srcore.errors import AwayError, SRError
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
NONE = "no map of this store, or of a dataset that is restricted\n"


def is_map(address: str) -> bool:
    """Whether an address below /store/ is one of a map."""
    return ADDRESS.fullmatch(address) is not None


def answer_map(request: Request, catalog: Catalog, address: str) -> Response:
    """What is answered to a GET or HEAD of such an address. AwayError of an object store."""
    dataset, _, rest = address.partition("/")
    entry = catalog.datasets.get(dataset)
    if entry is None or entry.privacy != "public":
        return PlainTextResponse(NONE, 404)
    places, scene = DatasetPaths(Path(catalog.store) / dataset), request.query_params.get("scene", "")
    if entry.kind != "raster":
        return _of_volumes(places, scene) if rest == PAGE else PlainTextResponse("volumes have no map\n", 404)
    if rest == PAGE:
        return _page(catalog, places, scene)
    return _tile(request, catalog, places, rest)


def _of_volumes(places: DatasetPaths, scene: str) -> Response:
    """That there is no map, and where the planes are."""
    from srcore.report.map.page import page_of_volumes
    from srcore.report.map.scenes import public_receipt

    receipt = public_receipt(places, scene) if scene else None
    pages = [one.name for one in receipt.outputs if one.name.endswith(".report.html")] if receipt else []
    planes = f"products/{scene}/{pages[0]}" if pages else ""
    return HTMLResponse(page_of_volumes(places.root.name, scene if planes else "", planes), 404)


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
    except AwayError:
        raise
    except SRError as error:
        return HTMLResponse(map_page(name, listed, None, f"Its product cannot be shown ({error.code})."), 404)


def _chosen(catalog: Catalog, places: DatasetPaths, receipt: Receipt) -> Chosen:
    from srcore.report.map.lr import lr_of
    from srcore.report.map.page import Chosen
    from srcore.report.map.tiles import look
    from srcore.storage.view.near import near
    from srcore.storage.view.source import first_level

    path, digest = _data(places, receipt)
    with near(path, digest) as here:
        _, _, frame = look(here, digest)
    lr = lr_of(catalog.datasets[places.root.name], catalog.base, receipt)
    first = None if lr.header is None else first_level(frame, lr.header)
    return Chosen(receipt.scene, frame, digest[:12], key_of(places.root.name, receipt.scene), first, lr.why)


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
    except AwayError:
        raise
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
    from srcore.storage.view.near import near

    path, digest = _data(places, receipt)
    if not has_no_link(path, places.root.parent):
        return None, "no product that can be shown"
    lr = lr_of(catalog.datasets[places.root.name], catalog.base, receipt) if which == "lr" else None
    if lr is not None and lr.header is None:
        return None, lr.why
    with near(path, digest) as here:
        if lr is None or lr.header is None:
            return product_tile(here, digest, place), "that tile lies beside the product"
        tile = lr_tile(here, digest, lr.header, place)
        return tile, "that tile lies beside the input, or would take too much of it"


def _data(places: DatasetPaths, receipt: Receipt) -> tuple[Path, str]:
    """The product's COG, and its sha256."""
    from srcore.report.map.scenes import data_of

    data = data_of(receipt)
    assert data is not None, "of a receipt that may be shown"
    return places.products / receipt.scene / data.name, data.sha256
