"""A product on this machine, for who reads files: of an object store a copy in the bounded cache of fetched files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from srcore.catalog.object_stores import on_object_store, shown
from srcore.storage.remote.cache import kept_for
from srcore.storage.remote.card import CardFile
from srcore.storage.remote.fetch import fetch

SHA256 = "1220"
"""Begins a multihash of it."""


@contextmanager
def near(path: Path, sha256: str) -> Iterator[Path]:
    """A published file whose sha256 is known: itself, or its copy, which stays while the block lasts.

    SourceError as `fetch`: REMOTE_GONE where it was replaced meanwhile, REMOTE_DAMAGED where it is not what was
    published, CACHE_FULL; StoreError when the cache cannot be written.
    """
    if not on_object_store(path):
        yield path
        return
    with ExitStack() as run:
        with kept_for(run):
            kept = fetch(CardFile(shown(path), checksum=SHA256 + sha256))
        yield kept.path
