"""A folder of Zarr as one file: a ZIP without compression, with nothing of this moment in it; and read back."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from zarr.storage import ZipStore

from srcore.errors import StoreError
from srcore.storage.disk.files import fsync_file

NEVER = (1980, 1, 1, 0, 0, 0)
"""The first moment that a ZIP can name: the same product has the same bytes."""


def pack(root: Path, target: Path, comment: bytes = b"") -> None:
    """Write all files below `root` into a new ZIP, metadata first, as who reads it from afar wants it (RFC-9)."""
    with zipfile.ZipFile(target, "x", zipfile.ZIP_STORED) as packed:
        packed.comment = comment
        paths = (path for path in root.rglob("*") if path.is_file())
        for path in sorted(paths, key=lambda one: (one.name != "zarr.json", len(one.parts), one)):
            entry = zipfile.ZipInfo(path.relative_to(root).as_posix(), NEVER)
            entry.external_attr = 0o644 << 16
            entry.file_size = os.stat(path).st_size
            with path.open("rb") as source, packed.open(entry, "w") as file:
                while piece := source.read(1 << 20):
                    file.write(piece)
    fsync_file(target)


@contextmanager
def read_back(target: Path) -> Iterator[ZipStore]:
    """The file, whose checksums hold; StoreError VERIFY_FAILED where not, and where a reader stumbles."""
    try:
        with zipfile.ZipFile(target) as packed:
            if (broken := packed.testzip()) is not None:
                raise different(target, f"{broken} has another checksum")
        store = ZipStore(target, mode="r")
        try:
            yield store
        finally:
            store.close()
    except StoreError:
        raise
    except Exception as error:  # what a broken file makes zarr stumble over has no class of its own
        raise different(target, f"{type(error).__name__}: {error}") from error


def different(target: Path, found: str) -> StoreError:
    """Of a file that is not what was written."""
    return StoreError(
        f"{target.name} is not what was written", found, "look for a failing disk, and run again", code="VERIFY_FAILED"
    )
