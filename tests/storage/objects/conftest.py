"""An object store for each test: a bucket of its own on a server of this machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from srcore.catalog.object_stores import place_of
from tests.s3 import address, server

__all__ = ["address", "server"]


@pytest.fixture
def place(address: str) -> Path:
    """What stands for it here."""
    return place_of(address)
