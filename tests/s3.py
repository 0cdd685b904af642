"""An S3 server on loopback, and a proxy before it that does what networks and stores do wrong."""

from __future__ import annotations

import http.client
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from srcore.storage.objects import client, store

NUMBERS = count(1)
KEY = "AKIATESTTESTTESTTEST"


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server without a bucket."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    try:
        yield f"http://{host}:{port}"
    finally:
        server.stop()


def environment(endpoint: str) -> dict[str, str]:
    """What a user sets."""
    return {
        "AWS_ACCESS_KEY_ID": KEY,
        "AWS_SECRET_ACCESS_KEY": "very-secret",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }


def new_bucket(endpoint: str) -> str:
    """The address of an empty bucket."""
    name = f"bucket-{next(NUMBERS)}"
    parts = urlsplit(endpoint)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
    connection.request("PUT", f"/{name}")
    assert connection.getresponse().status == 200
    connection.close()
    return f"s3://{name}"


def reopened() -> None:
    """Forget all connections, as a new process would."""
    client._opened.cache_clear()


@contextmanager
def counted() -> Iterator[list[str]]:
    """Every request to stores of products while it is entered, as 'GET fields/...'; a listing is one."""
    seen: list[str] = []

    class Counted:
        def __init__(self, opened: Any) -> None:
            self.opened = opened

        def __getattr__(self, name: str) -> Any:
            call = getattr(self.opened, name)

            def asked(*args: Any, **options: Any) -> Any:
                seen.append(f"{name.upper()} {(args or [options.get('prefix')])[0]}")
                return call(*args, **options)

            return asked

    with pytest.MonkeyPatch.context() as patch:
        opened = store.client
        patch.setattr(store, "client", lambda address: Counted(opened(address)))
        yield seen


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """A server of this process."""
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def address(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store on it."""
    for name, value in {**environment(server), "SRCORE_SCRATCH": str(tmp_path / "stores")}.items():
        monkeypatch.setenv(name, value)
    reopened()
    yield f"{new_bucket(server)}/archive"
    reopened()


@dataclass
class Proxy:
    """Passes requests on, but for what `fault` says of one: 'cut', 'lose', 'spoil', 'slow', a status, perhaps with
    S3's code ('400 ExpiredToken'), or a header to leave out."""

    behind: str
    fault: Callable[[str, str], str] = lambda method, path: ""
    seen: list[str] = field(default_factory=list)
    lists: dict[str, tuple[int, list[tuple[str, str]], bytes]] = field(default_factory=dict)
    """Answers that a stale list gives again."""


@contextmanager
def proxied(proxy: Proxy) -> Iterator[str]:
    """Its address."""
    handler = type("Handler", (_Handler,), {"proxy": proxy})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    proxy: Proxy
    protocol_version = "HTTP/1.1"

    def __getattr__(self, name: str) -> Callable[[], None]:
        if name.startswith("do_"):
            return self._pass
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _pass(self) -> None:
        fault = self.proxy.fault(self.command, self.path)
        self.proxy.seen.append(f"{self.command} {self.path}")
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        status, _, code = fault.partition(" ")
        if status.isdigit():
            code = code or ("AccessDenied" if status == "403" else "SlowDown")
            self._answer(int(status), [], f"<Error><Code>{code}</Code><Key>{KEY}</Key></Error>".encode())
            return
        if fault == "slow":
            time.sleep(2)  # and then nothing
        if fault in ("slow", "cut"):
            self.close_connection = True
            return
        if fault in self.headers:
            del self.headers[fault]
        answer, headers, data = self._asked(bytes([*body[:-1], body[-1] ^ 1]) if fault == "spoil" else body)
        if fault == "stale":
            answer, headers, data = self.proxy.lists.setdefault(self.path, (answer, headers, data))
        if fault == "lose":
            self.close_connection = True
            return
        self._answer(answer, headers, data)

    def _asked(self, body: bytes) -> tuple[int, list[tuple[str, str]], bytes]:
        parts = urlsplit(self.proxy.behind)
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port)
        connection.request(self.command, self.path, body, dict(self.headers))
        answer = connection.getresponse()
        data = answer.read()
        connection.close()
        return answer.status, answer.getheaders(), data

    def _answer(self, status: int, headers: list[tuple[str, str]], data: bytes) -> None:
        self.send_response(status)
        kept = [(name, value) for name, value in headers if name.lower() not in ("content-length", "connection")]
        length = [value for name, value in headers if name.lower() == "content-length"]
        for name, value in kept:
            if name.lower() not in ("transfer-encoding", "date", "server"):
                self.send_header(name, value)
        self.send_header("Content-Length", length[0] if self.command == "HEAD" and length else str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)
