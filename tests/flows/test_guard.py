from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from flows.guard import SERVED, guarded, names_of, refuse_unserved
from srcore.errors import CatalogError

HERE = b"127.0.0.1:4200"


def answer(headers: dict[bytes, bytes], kind: str = "http", host: str = "127.0.0.1") -> list[dict[str, Any]]:
    """What a guarded server sends for a request with these headers; the server itself sends b'served'."""
    sent: list[dict[str, Any]] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "served"})

    async def receive() -> dict[str, Any]:
        return {"type": "websocket.connect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": kind, "headers": list(headers.items())}
    asyncio.run(guarded(app, names_of(host, 4200))(scope, receive, send))
    return sent


@pytest.mark.parametrize(
    "headers",
    [
        {b"host": HERE},
        {b"host": b"localhost:4200"},
        {b"host": HERE, b"origin": b"http://127.0.0.1:4200"},
        {b"Host": b"[::1]:4200", b"Origin": b"http://localhost:4200"},
    ],
)
def test_its_own_pages_and_programs_are_answered(headers: dict[bytes, bytes]) -> None:
    assert answer(headers) == [{"type": "served"}]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"host": b"attacker.example:4200"},
        {b"host": b"127.0.0.1"},
        {b"host": HERE, b"origin": b"https://attacker.example"},
        {b"host": HERE, b"origin": b"null"},
        {b"host": HERE, b"origin": b"http://127.0.0.1:9999"},
    ],
)
def test_other_names_and_other_sites_are_not(headers: dict[bytes, bytes]) -> None:
    assert answer(headers)[0]["status"] == 403
    assert answer(headers, "websocket") == [{"type": "websocket.close", "code": 1008}]


def test_an_open_host_is_guarded_by_its_password_alone() -> None:
    assert answer({b"host": b"archive.example"}, host="0.0.0.0") == [{"type": "served"}]


def test_only_a_served_catalog_is_run_whatever_it_is_called(tmp_path: Path) -> None:
    catalog, other = tmp_path / "catalog.yaml", tmp_path / "other.yaml"
    catalog.write_text("a")
    other.write_text("a")
    os.symlink(catalog, tmp_path / "link.yaml")
    served = {SERVED: json.dumps([str(catalog)])}
    refuse_unserved(str(tmp_path / "link.yaml"), served)
    refuse_unserved(str(other), {})  # by hand
    for wrong in (other, tmp_path / "absent.yaml"):
        with pytest.raises(CatalogError) as caught:
            refuse_unserved(str(wrong), served)
        assert caught.value.code == "NOT_SERVED"
