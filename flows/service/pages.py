"""The store's pages by HTTP, read-only: what a receipt of ours names, and our index pages; nothing of restricted data.

    /store/DATASET/index.html, index-2.html ...
    /store/DATASET/products/SCENE/FILE          as the scene's receipt names it, or the receipt
    /store/DATASET/quarantine/SCENE.html        where a record of ours lies beside it
    /store/DATASET/pairs/pairs.html
    /store/DATASET/collection.json, stac/2024-06.json   the archive as a STAC catalog
    /store/index.html, /store/catalog.json      where no dataset is restricted
    /store/DATASET/map.html, tiles/SCENE/...    see `flows.service.map`

The addresses are those of the store, so the links of a page lead on. A page has an origin of its own (sandbox), so that
nothing in it can reach the API that answers beside it, and runs the scripts that ship with srcore and no others.
"""

from __future__ import annotations

import asyncio
import os
import re
import stat
from base64 import b64encode
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from secrets import compare_digest
from typing import BinaryIO

from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from flows.guard import App, Receive, Scope, Send
from flows.service.map import answer_map, has_key, is_map
from srcore.catalog import Catalog, load_catalog
from srcore.catalog.object_stores import on_object_store
from srcore.errors import SRError
from srcore.layout import SAFE_ID, DatasetPaths, ProductPaths
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.sources import HIDDEN_ID
from srcore.storage.disk.real_file import has_no_link
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
BLOCK_BYTES = 1 << 20
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
    if catalog is not None and on_object_store(Path(catalog.store)):
        return PlainTextResponse(f"these pages lie at {catalog.shown_store}: open them there\n", 404)
    if catalog is not None and is_map(address):
        return answer_map(request, catalog, address)
    path = None if catalog is None else find_page(catalog, address)
    file = None if catalog is None or path is None else _open(Path(catalog.store), path)
    if path is None or file is None:
        return PlainTextResponse("no page of this store, or of a dataset that is restricted\n", 404)
    head = {"Content-Length": str(os.fstat(file.fileno()).st_size)}
    kind = TYPES.get(path.suffix, "application/octet-stream")
    if request.method == "HEAD":
        file.close()
        return Response(None, 200, head, kind)
    return StreamingResponse(_blocks(file), 200, head, kind)


def find_page(catalog: Catalog, address: str) -> Path | None:
    """The file of the store at an address below PREFIX; None for all that is not to be shown."""
    parts, store = address.split("/"), Path(catalog.store)
    public = [name for name, entry in catalog.datasets.items() if entry.privacy == "public"]
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
        case ["quarantine", name] if name.endswith(".html") and places.quarantine(name[:-5]).is_file():
            return places.quarantine(name[:-5]).with_suffix(".html")
        case ["products", scene, name]:
            return _published(places, scene, name)
    return None


def _published(places: DatasetPaths, scene: str, name: str) -> Path | None:
    receipt_path = ProductPaths(places.products / scene, f"{scene}.tif").receipt
    try:
        receipt = Receipt.load(receipt_path)
    except SRError:
        return None
    known = {output.name for output in receipt.outputs} | {receipt_path.name} if receipt is not None else set()
    if receipt is not None and receipt.is_private:
        known &= {receipt_path.name, *(end for end in known if end.endswith(PLAIN))}
    return receipt_path.with_name(name) if name in known else None


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


def _open(store: Path, path: Path) -> BinaryIO | None:
    """The file, opened; None where it is none, or a link stands anywhere below the store."""
    if not has_no_link(path, store):
        return None
    try:
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb")
    except OSError:
        return None
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    file.close()
    return None


async def _blocks(file: BinaryIO) -> AsyncIterator[bytes]:
    with file:
        while block := file.read(BLOCK_BYTES):
            yield block


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
