"""Who may ask what of a served machine: only its own catalogs are run, only its own pages and names are answered.

A page of another site that is open in the same browser can send requests to this machine; it cannot choose their
Origin, nor, under a name of its own that leads here, their Host.
"""

from __future__ import annotations

import ipaddress
import json
import os
from collections.abc import Awaitable, Callable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from srcore.errors import CatalogError

SERVED = "SRCORE_SERVED_CATALOGS"
"""JSON list of the catalogs that `srcore serve` was started with; not set where a user runs a flow by hand."""

IN_FORCE = "SRCORE_CATALOG_IN_FORCE"
"""The copy of the catalog that the service last found good; not set where a user runs a flow by hand."""
AUTH = "PREFECT_SERVER_API_AUTH_STRING"
"""user:password of the server's API, and of the pages beside it."""
PAGES = "SRCORE_PAGES"
"""Where the service shows the pages of its store; not set where a user runs a flow by hand."""
POOL = "SRCORE_POOL"
"""The work pool of a service on a Prefect server that others use, too; not set where the server is its own."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def refuse_unserved(catalog: str, environ: Mapping[str, str] = os.environ) -> None:
    """CatalogError NOT_SERVED for a catalog that the service around this run was not started with; by identity."""
    if SERVED not in environ:
        return
    served = json.loads(environ[SERVED])
    if not any(_is_same(Path(catalog), Path(one)) for one in served):
        raise CatalogError(
            f"{catalog} is no catalog of this service",
            ", ".join(served),
            "serve it, or run it by hand",
            code="NOT_SERVED",
        )


def in_force(catalog: str, environ: Mapping[str, str] = os.environ) -> str:
    """The catalog that a run reads: while somebody breaks `catalog`, the last good one stays in force."""
    copy = environ.get(IN_FORCE, "")
    return copy if copy and os.path.isfile(copy) else catalog


def _is_same(a: Path, b: Path) -> bool:
    try:
        return os.path.samefile(a, b)
    except OSError:
        return False


def names_of(host: str, port: int) -> frozenset[str] | None:
    """What a Host header may say of a server at a loopback address; None, anything, where a password guards it."""
    if not is_loopback(host):
        return None
    own = f"[{host}]" if ":" in host else host
    return frozenset(f"{name}:{port}" for name in (own, "127.0.0.1", "localhost", "[::1]"))


def is_loopback(host: str) -> bool:
    """True for an address that only this machine can reach."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def guarded(app: App, names: frozenset[str] | None) -> App:
    """`app`, which hears only of requests for one of `names` that come from no page of another site."""

    async def guard(scope: Scope, receive: Receive, send: Send) -> None:
        if names is None or scope["type"] == "lifespan" or _is_welcome(scope["headers"], names):
            await app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            await send({"type": "http.response.start", "status": 403, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"not a name or a page of this server\n"})

    return guard


def _is_welcome(headers: Sequence[tuple[bytes, bytes]], names: frozenset[str]) -> bool:
    asked = {key.decode("latin-1").lower(): value.decode("latin-1").lower() for key, value in headers}
    origin = asked.get("origin")
    return asked.get("host") in names and (origin is None or urlsplit(origin).netloc in names)
