"""A server on loopback, and a cache of its own for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from srcore.storage.remote.listing import forget_lists
from tests.elsewhere import Elsewhere, serve


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """A server; buckets of s3:// are its folders."""
    found, end = serve()
    for name, value in {
        "SRCORE_CACHE": str(tmp_path / "cache"),
        "SRCORE_REMOTE_TRIES": "3",
        "AWS_ENDPOINT_URL": found.address,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "SECRET",
    }.items():
        monkeypatch.setenv(name, value)
    forget_lists()
    yield found
    end()
