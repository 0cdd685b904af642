"""An object store for each test: a bucket of its own on a server of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srcore.catalog.remote import place_of
from tests.s3 import environment, new_bucket, reopened, s3_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    with s3_server() as endpoint:
        yield endpoint


@pytest.fixture
def address(server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store."""
    for name, value in {**environment(server), "SRCORE_SCRATCH": str(tmp_path / "stores")}.items():
        monkeypatch.setenv(name, value)
    reopened()
    yield f"{new_bucket(server)}/archive"
    reopened()


@pytest.fixture
def place(address: str) -> Path:
    """What stands for it here."""
    return place_of(address)
