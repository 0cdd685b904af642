"""An object store for each test: a bucket of its own on a server of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srcore.catalog.object_stores import place_of
from tests.emulators import Emulator, azurite
from tests.s3 import address, reopened, server

__all__ = ["address", "server"]


@pytest.fixture(scope="session")
def azure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """Azure's emulator, where there is one."""
    with azurite(tmp_path_factory.mktemp("azurite")) as found:
        yield found


@pytest.fixture
def azure_address(azure: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of an empty store on it."""
    for name, value in {**azure.environment, "SRCORE_SCRATCH": str(tmp_path / "stores")}.items():
        monkeypatch.setenv(name, value)
    reopened()
    yield f"{azure.new_bucket()}/archive"
    reopened()


@pytest.fixture
def place(address: str) -> Path:
    """What stands for it here."""
    return place_of(address)
