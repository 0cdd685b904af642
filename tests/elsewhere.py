"""A server on loopback that files are fetched from: by parts, a small S3, a STAC API; it fails as it is told to."""

from __future__ import annotations

import hashlib
import json
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import format_datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

WHEN = datetime(2024, 6, 1, 12, tzinfo=UTC)


@dataclass
class File:
    """A file of the server."""

    content: bytes
    when: datetime = WHEN

    @property
    def etag(self) -> str:
        return f'"{hashlib.md5(self.content).hexdigest()}"'


@dataclass
class Elsewhere:
    """What the server has, what it was asked, and what it does wrong."""

    files: dict[str, File] = field(default_factory=dict)
    """By path, with the / in front; of a bucket /BUCKET/KEY."""
    asked: Counter[str] = field(default_factory=Counter)
    """'GET /path' to how often."""
    ranges: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    faults: dict[str, list[int | str]] = field(default_factory=dict)
    """By path, for the next GETs: a status; cut, after half; slow; drip, a byte now and then;
    changed, another content when half is sent; ok."""
    parts: bool = True
    """Whether it knows Range."""
    marks: bool = True
    """Whether it tells ETags."""
    items: list[dict[str, Any]] = field(default_factory=list)
    """Of the STAC API at /api."""
    more: dict[str, dict[str, str]] = field(default_factory=dict)
    """By path, headers more of the answer; of a redirection its Location."""
    token: str = ""
    """Without it every file is refused."""
    address: str = ""
    posts: list[dict[str, Any]] = field(default_factory=list)

    def put(self, path: str, content: bytes, when: datetime = WHEN) -> str:
        """A file; gives its address."""
        self.files[path] = File(content, when)
        return self.address + path

    def bytes_asked(self, path: str) -> int:
        return self.asked[f"GET {path}"]


class _Quiet(ThreadingHTTPServer):
    """Says nothing of a client that hung up: a command that ends does so, and its test reads the terminal."""

    def handle_error(self, request: object, client_address: object) -> None:
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def serve() -> tuple[Elsewhere, Callable[[], None]]:
    """A server that is up, and what ends it."""
    world = Elsewhere()

    class Handler(_Handler):
        state = world

    server = _Quiet(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    world.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def end() -> None:
        server.shutdown()
        server.server_close()

    return world, end


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: Elsewhere

    def log_message(self, *_: Any) -> None:
        pass

    def do_HEAD(self) -> None:
        self._file(body=False)

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        if parts.path == "/api" or parts.path.startswith("/api/"):
            self._api(parts.path, parse_qs(parts.query))
        elif "list-type=2" in parts.query:
            self._list(parts.path.strip("/"), parse_qs(parts.query))
        elif parts.path == "/sign":
            self._json({"href": parse_qs(parts.query)["href"][0] + "?sig=SECRET"})
        else:
            self._file(body=True)

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.state.posts.append(body)
        self._api(urlsplit(self.path).path, {name: [str(value)] for name, value in body.items()})

    def _send(self, status: int, content: bytes, body: bool = True, **headers: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(content)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def _json(self, value: Any) -> None:
        self._send(200, json.dumps(value).encode(), Content_Type="application/json")

    def _file(self, body: bool) -> None:
        world, path = self.state, unquote(urlsplit(self.path).path)
        world.asked[f"{self.command} {path}"] += 1
        world.headers.append(dict(self.headers))
        waiting = world.faults.get(path) or []
        fault = waiting.pop(0) if body and waiting else "ok"
        if world.token and self.headers.get("Authorization") != f"Bearer {world.token}":
            fault = 401
        file = world.files.get(path)
        if isinstance(fault, int) or file is None:
            status = fault if isinstance(fault, int) else 404
            self._send(status, b"<Error><Code>no</Code></Error>", body, **world.more.get(path, {}))
            return
        content, told = file.content, self.headers.get("Range", "")
        headers = {"Last-Modified": format_datetime(file.when, usegmt=True)} | (
            {"ETag": file.etag} if world.marks else {}
        )
        headers |= world.more.get(path, {})
        first, last, status = 0, len(content) - 1, 200
        same = self.headers.get("If-Range") in (None, file.etag, headers["Last-Modified"])
        if (wanted := self.headers.get("If-Match")) and wanted.strip('"') != file.etag.strip('"'):
            self._send(412, b"", body)
            return
        if told and world.parts and same:
            world.ranges.append(told)
            start, _, end = told.removeprefix("bytes=").partition("-")
            if int(start) >= len(content):
                self._send(416, b"", body, Content_Range=f"bytes */{len(content)}")
                return
            first, last, status = int(start), min(int(end or last), last), 206
            headers["Content-Range"] = f"bytes {first}-{last}/{len(content)}"
        piece = content[first : last + 1]
        if not body or fault == "ok":
            self._send(status, piece, body, **headers)
            return
        self._wrong(str(fault), status, piece, headers, path)

    def _wrong(self, fault: str, status: int, piece: bytes, headers: dict[str, str], path: str) -> None:
        self.send_response(status)
        for name, value in {"Content-Length": str(len(piece)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        half = len(piece) // 2 if fault != "drip" else 0
        self.wfile.write(piece[:half])
        self.wfile.flush()
        for byte in piece[:20] if fault == "drip" else b"":
            time.sleep(0.05)
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
        if fault == "slow":
            time.sleep(1.5)
        if fault == "changed":  # written anew in place: the rest that comes is that of another content
            other = bytes(reversed(self.state.files[path].content))
            self.state.files[path] = File(other, datetime(2024, 6, 2, tzinfo=UTC))
            self.wfile.write(other[half : len(piece)])
        self.close_connection = True
        self.connection.close()

    def _list(self, bucket: str, query: dict[str, list[str]]) -> None:
        if not any(path.startswith(f"/{bucket}/") for path in self.state.files):
            self._send(404, b"<Error><Code>NoSuchBucket</Code></Error>")
            return
        start = f"/{bucket}/"
        under = start + query.get("prefix", [""])[0]
        keys = [path[len(start) :] for path in sorted(self.state.files) if path.startswith(under)]
        prefix, inside = query.get("prefix", [""])[0], query.get("delimiter", [""])[0]
        deeper = sorted({prefix + key[len(prefix) :].split("/")[0] + "/" for key in keys if "/" in key[len(prefix) :]})
        if inside:
            keys = [key for key in keys if "/" not in key[len(prefix) :]]
        self.state.asked[f"LIST {bucket} {prefix}{'' if inside else '**'}"] += 1
        rows = "".join(
            f"<Contents><Key>{key}</Key><LastModified>{file.when:%Y-%m-%dT%H:%M:%S.000Z}</LastModified>"
            f"<ETag>{file.etag.replace(chr(34), '&quot;')}</ETag><Size>{len(file.content)}</Size></Contents>"
            for key in keys
            for file in [self.state.files[start + key]]
        )
        if inside:
            rows += "".join(f"<CommonPrefixes><Prefix>{one}</Prefix></CommonPrefixes>" for one in deeper)
        text = f"<ListBucketResult><Name>{bucket}</Name><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>"
        self._send(200, text.encode(), Content_Type="application/xml")

    def _api(self, path: str, query: dict[str, list[str]]) -> None:
        world = self.state
        world.asked[f"{self.command} {path}"] += 1
        waiting = world.faults.get(path) or []
        if waiting and isinstance(fault := waiting.pop(0), int):
            self._send(fault, b"no")
            return
        if path == "/api":
            conforms = ["https://api.stacspec.org/v1.0.0/item-search"]
            search = {"rel": "search", "href": f"{world.address}/api/search", "method": "POST"}
            self._json({"type": "Catalog", "id": "api", "conformsTo": conforms, "links": [search]})
        elif path == "/api/search":
            page, size = int(query.get("page", ["0"])[0]), 2
            some = world.items[page * size : (page + 1) * size]
            following = {"rel": "next", "href": f"{world.address}/api/search", "method": "POST", "merge": True}
            more = [{**following, "body": {"page": page + 1}}] if len(world.items) > (page + 1) * size else []
            self._json({"type": "FeatureCollection", "features": some, "links": more})
        else:
            item = next((one for one in world.items if path.endswith(f"/items/{one['id']}")), None)
            self._json(item) if item else self._send(404, b"no")


def item(name: str, assets: dict[str, Any], address: str = "", **properties: Any) -> dict[str, Any]:
    """An item of STAC with what tests need of it."""
    links = [{"rel": "self", "href": f"{address}/api/collections/c/items/{name}"}] if address else []
    told = {"datetime": "2024-06-01T10:30:21Z", "updated": "2024-06-02T00:00:00Z", **properties}
    return {
        "type": "Feature",
        "stac_version": "1.1.0",
        "id": name,
        "collection": "c",
        "geometry": None,
        "bbox": [10.3, 46.9, 10.4, 47.0],
        "properties": told,
        "assets": assets,
        "links": links,
    }
