"""The items of a stac-geoparquet file, one after the other. The file is a stranger's: see `rows`."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Any

from srcore.errors import SourceError
from srcore.storage.remote import rows
from srcore.storage.remote.documents import read_content
from srcore.storage.remote.items import bad_item

SUFFIXES = (".parquet", ".geoparquet")
NAME = "items.parquet"
MEMORY_BYTES = 4 << 30
"""Of the process that decodes a file: some 100,000 items take 1 GiB."""
MOST_LINE_BYTES = 8 << 20
"""Of an item."""


def is_table(address: str) -> bool:
    """Whether an address or a path is that of a Parquet file."""
    return address.lower().endswith(SUFFIXES)


def read_table(address: str) -> Iterator[tuple[dict[str, Any], str]]:
    """Every item, and where its relative links start. SourceError NOT_INSTALLED, BAD_ITEM, those of fetching."""
    if find_spec("rustac") is None:
        what, do = "stac-geoparquet needs rustac", "pip install 'srcore[parquet]'"
        raise SourceError(what, "it is not installed", do, code="NOT_INSTALLED")
    content, base = read_content(address)
    with TemporaryDirectory() as folder:
        (Path(folder) / NAME).write_bytes(content)
        for line in _lines(folder, address):
            item = _told(json.loads(line))
            if not isinstance(item, dict):
                raise bad_item(address, "a row that is no item")
            yield item, base


def _told(value: Any) -> Any:
    """Without the fields that only other rows of a table have: null stands there."""
    if isinstance(value, dict):
        return {name: _told(one) for name, one in value.items() if one is not None}
    return [_told(one) for one in value] if isinstance(value, list) else value


def _lines(folder: str, address: str) -> Iterator[bytes]:
    program = [sys.executable, "-P", rows.__file__, folder, NAME, str(MEMORY_BYTES)]
    with TemporaryFile() as told, subprocess.Popen(program, stdout=subprocess.PIPE, stderr=told) as reader:
        try:
            assert reader.stdout is not None
            while line := reader.stdout.readline(MOST_LINE_BYTES):
                if not line.endswith(b"\n"):
                    raise bad_item(address, "an item that is too large, or cut")
                yield line
            if status := reader.wait():
                told.seek(0)
                last = told.read(1 << 16).decode(errors="replace").strip().rpartition("\n")[2]
                too_much = f"it needs more than {MEMORY_BYTES >> 30} GiB of memory"
                raise bad_item(address, f"not read as stac-geoparquet: {last if status == 1 else too_much}")
        finally:
            reader.kill()
