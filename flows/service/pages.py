"""The store's pages by HTTP, read-only: what a receipt of ours names, and our index pages; nothing of restricted data.

    /store/DATASET/index.html, index-2.html ...
    /store/DATASET/products/SCENE/FILE          as the scene's receipt names it (RUN/FILE), or the receipt
    /store/DATASET/quarantine/SCENE.html        where a record of ours lies beside it
    /store/DATASET/pairs/pairs.html
    /store/DATASET/collection.json, stac/2024-06.json   the archive as a STAC catalog
    /store/index.html                           the datasets that are not restricted
    /store/catalog.json                         where no dataset is restricted
    /store/DATASET/map.html, tiles/SCENE/...    see `flows.service.map`

The addresses are those of the store, so the links of a page lead on. A page has an origin of its own (sandbox), so that
nothing in it can reach the API that answers beside it, and runs the scripts that ship with srcore and no others.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from secrets import compare_digest

from starlette.concurrency import run_in_threadpool
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from flows.guard import App, Receive, Scope, Send
from flows.service.keys import has_key, with_keys
from flows.service.map import answer_map, is_map
from flows.service.sending import sent
from srcore.catalog import Catalog, load_catalog
from srcore.catalog.object_stores import on_object_store
from srcore.errors import AwayError, SRError, StoreError
from srcore.layout import SAFE_ID, DatasetPaths, ProductPaths
from srcore.regular import MAX_RECORD_BYTES
from srcore.report.store import store_page
from srcore.report.totals import INDEX as STORE_PAGE
from srcore.report.totals import find_totals
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.runs import run_of
from srcore.storage.archive.sources import HIDDEN_ID
from srcore.storage.disk.content import Content
from srcore.storage.disk.real_file import has_no_link
from srcore.storage.disk.store import store_at
from srcore.storage.stac.catalog import COLLECTION, PARTS, ROOT

PREFIX = "/store/"
PLAIN = (".report.json",)
"""Ends of what is shown of a private scene, beside its receipt: no volume, and no page, which has pictures of it."""
INDEX = re.compile(r"index(-[1-9]\d{0,5})?\.html")
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".svg": "image/svg+xml",
    ".tif": "image/tiff",
}
"""Of other files: application/octet-stream."""
TEXT, SMALL_BYTES = (".html", ".json", ".svg"), 1000
"""What is sent by gzip to who takes it, a tenth of its size; pictures and products are compressed already."""
NONE = "no page of this store, or of a dataset that is restricted\n"
DRAWN_AT_ONCE = 2
"""Tiles and maps."""


def with_pages(app: App, in_force: Path, password: str = "") -> App:
    """`app`, and beside it the pages of the store of the catalog in force; with `user:password` only to who has it."""
    catalogs, headers = _Catalogs(in_force), _headers()
    drawing = ThreadPoolExecutor(DRAWN_AT_ONCE, "srcore-map")

    async def pages(scope: Scope, receive: Receive, send: Send) -> None:
        asked, catalog = Request(scope), catalogs.now()
        if is_map(scope["path"].removeprefix(PREFIX)):  # drawn, not read: the server answers others meanwhile
            loop = asyncio.get_running_loop()
            response = await loop.run_in_executor(drawing, answer, asked, catalog, password)
        elif catalog is not None and on_object_store(Path(catalog.store)):  # it may take its time
            response = await run_in_threadpool(answer, asked, catalog, password)
        else:
            response = answer(asked, catalog, password)
        for name, value in headers.items():
            response.headers.setdefault(name, value)
        await response(scope, receive, send)

    squeezed = GZipMiddleware(pages, SMALL_BYTES)

    async def serve(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith(PREFIX):
            await app(scope, receive, send)
        elif scope["path"].endswith(TEXT):
            await squeezed(scope, receive, send)
        else:
            await pages(scope, receive, send)

    return serve


def answer(request: Request, catalog: Catalog | None, password: str = "") -> Response:
    """What is answered to a request below PREFIX."""
    address = request.scope["path"].removeprefix(PREFIX)
    if password and not _knows(request, password) and not has_key(request, address):
        return PlainTextResponse("a password is needed\n", 401, {"WWW-Authenticate": 'Basic realm="srcore"'})
    if request.method not in ("GET", "HEAD"):
        return PlainTextResponse("these pages can only be read\n", 405, {"Allow": "GET, HEAD"})
    if catalog is None:
        return PlainTextResponse(NONE, 404)
    try:
        if is_map(address):
            return answer_map(request, catalog, address)
        if address == STORE_PAGE and (shown := _public(catalog)) != set(catalog.datasets):
            return _page_of(request, Path(catalog.store), shown)
        return _file(request, catalog, address, keyed=bool(password))
    except AwayError as error:
        return PlainTextResponse(f"{error.code}: {error}\n", 503)


def _file(request: Request, catalog: Catalog, address: str, *, keyed: bool) -> Response:
    path = find_page(catalog, address)
    content = None if path is None else _open(Path(catalog.store), path)
    if path is None or content is None:
        return PlainTextResponse(NONE, 404)
    kind, dataset = TYPES.get(path.suffix, "application/octet-stream"), address.partition("/")[0]
    if keyed and INDEX.fullmatch(address.partition("/")[2]) and content.size_bytes <= MAX_RECORD_BYTES:
        page = with_keys(b"".join(content.pieces(0, content.size_bytes)), dataset)
        return Response(page if request.method == "GET" else None, 200, {"Content-Length": str(len(page))}, kind)
    return sent(request, content, kind, squeezed=path.name.endswith(TEXT))


def _public(catalog: Catalog) -> set[str]:
    return {name for name, entry in catalog.datasets.items() if entry.privacy == "public"}


def _page_of(request: Request, store: Path, shown: set[str]) -> Response:
    """The page of the store without what is restricted: that in the store names every dataset."""
    told, untold = find_totals(store)
    page = store_page([one for one in told if one.name in shown], [name for name in untold if name in shown])
    data = page.encode("utf-8", "backslashreplace")
    return Response(data if request.method == "GET" else None, 200, {"Content-Length": str(len(data))}, TYPES[".html"])


def find_page(catalog: Catalog, address: str) -> Path | None:
    """The file of the store at an address below PREFIX; None for all that is not to be shown."""
    parts, store, public = address.split("/"), Path(catalog.store), _public(catalog)
    if len(parts) == 1:
        shown = INDEX.fullmatch(parts[0]) or parts[0] == ROOT
        return store / parts[0] if shown and len(public) == len(catalog.datasets) else None
    dataset, *rest = parts
    if dataset not in public or not all(SAFE_ID.fullmatch(part) for part in rest):
        return None
    return _of_dataset(DatasetPaths(store / dataset), rest)


def _of_dataset(places: DatasetPaths, rest: list[str]) -> Path | None:
    match rest:
        case [name] if INDEX.fullmatch(name) or name == COLLECTION:
            return places.root / name
        case [folder, name] if folder == PARTS and name.endswith(".json"):
            return places.root / folder / name
        case ["pairs", name] if places.pairs_page.name == name:
            return places.pairs_page
        case ["quarantine", name] if HIDDEN_ID.fullmatch(name.removesuffix(".html")):
            return None  # of a private scene: a picture of somebody
        case ["quarantine", name] if name.endswith(".html") and _is_there(places.quarantine(name[:-5])):
            return places.quarantine(name[:-5]).with_suffix(".html")
        case ["products", scene, name] | ["products", scene, _, name]:
            return _published(places, scene, "/".join(rest[2:]))
    return None


def _is_there(path: Path) -> bool:
    return store_at(path.parent).find(path.name) is not None


def _published(places: DatasetPaths, scene: str, name: str) -> Path | None:
    product = ProductPaths(places.products / scene, f"{scene}.tif")
    try:
        receipt = Receipt.load(product.receipt)
    except StoreError:
        return None
    if receipt is None:
        return None
    known = {output.name for output in receipt.outputs} | {product.receipt.name}
    if f"{run_of(receipt)}/{product.stac.name}" in known:  # on an object store it stands beside the receipt, too
        known.add(product.stac.name)
    if receipt.is_private:
        known &= {product.receipt.name, *(end for end in known if end.endswith(PLAIN))}
    return product.folder / name if name in known else None


class _Catalogs:
    """The catalog in force, read again when it changed."""

    def __init__(self, path: Path) -> None:
        self.path, self.read_at = path, 0
        self.catalog: Catalog | None = None

    def now(self) -> Catalog | None:
        try:
            changed = self.path.stat().st_mtime_ns
            if changed != self.read_at:
                self.catalog, self.read_at = load_catalog(self.path), changed
        except (OSError, SRError):
            self.catalog = None  # nobody knows what is restricted
        return self.catalog


def _knows(request: Request, password: str) -> bool:
    given = request.headers.get("authorization", "").encode()
    return compare_digest(given, b"Basic " + b64encode(password.encode()))


def _open(store: Path, path: Path) -> Content | None:
    """The file, opened; None where it is none, or a link stands anywhere below the store."""
    return store_at(path.parent).open(path.name) if has_no_link(path, store) else None


def _headers() -> dict[str, str]:
    templates = files("srcore.report").joinpath("templates")
    scripts = [one.read_bytes() for one in templates.iterdir() if one.name.endswith(".js")]
    ours = " ".join(f"'sha256-{b64encode(sha256(script).digest()).decode()}'" for script in scripts)
    return {
        "Content-Security-Policy": (
            f"sandbox allow-scripts allow-popups allow-downloads; default-src 'none'; script-src {ours};"
            " style-src 'unsafe-inline'; img-src 'self' data:; base-uri 'none'; form-action 'none';"
            " frame-ancestors 'none'"
        ),
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }
