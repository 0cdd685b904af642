"""The LR of a product: the files that it was made of, where they are still those."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from srcore.catalog.dataset import Dataset
from srcore.errors import SRError
from srcore.storage.archive.publish import Receipt
from srcore.storage.archive.sources import Scene, find_scenes
from srcore.storage.disk.watch import stamp_if_there
from srcore.storage.header import Header
from srcore.storage.scene import read_header

KEPT_S = 60
"""A list of the source's scenes, and a header, serve for so long; sizes and times of files are looked at each time."""


@dataclass(frozen=True)
class Lr:
    """What an LR can be read by, or why it is not shown."""

    header: Header | None
    why: str = ""


def lr_of(entry: Dataset, base: Path, receipt: Receipt) -> Lr:
    """The LR of a product of a dataset."""
    if entry.is_remote:
        return Lr(None, "its input lies elsewhere, and is not fetched for a map")
    found = _read(_Key(entry.model_dump_json(), entry, base), receipt.scene, int(time.time() / KEPT_S))
    if found.header is None:
        return found
    header = found.header
    now, then = [stamp_if_there(path) for path in header.paths], [source.stamp for source in receipt.sources]
    if None in now:
        return Lr(None, "its input is gone")
    if set(now) != set(then):
        return Lr(None, "its input is another one now than it was made of")
    return Lr(_part(header, receipt))


def _part(header: Header, receipt: Receipt) -> Header:
    window = receipt.parameters.get("window")
    if window is None:
        return header
    column, row, columns, rows = map(int, window)
    return header.window((row, column), (rows, columns))


@dataclass(frozen=True)
class _Key:
    """An entry of the catalog, by its text: pydantic's models have no hash where a field has none."""

    text: str
    entry: Dataset
    base: Path

    def __hash__(self) -> int:
        return hash((self.text, self.base))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and (self.text, self.base) == (other.text, other.base)


@lru_cache(maxsize=4)
def _scenes(key: _Key, _minute: int) -> dict[str, Scene]:
    return {scene.id: scene for scene in find_scenes(key.entry, key.base)}


@lru_cache(maxsize=32)
def _read(key: _Key, scene: str, minute: int) -> Lr:
    try:
        found = _scenes(key, minute).get(scene)
        if found is None:
            return Lr(None, "its input is gone")
        wishes = key.entry.treatment.of_files
        header = read_header(found.paths, key.entry.kind, bands=found.bands, roots=found.roots, **wishes)
    except SRError as error:
        return Lr(None, f"its input cannot be read ({error.code})")
    if header.packed:
        return Lr(None, "its input is packed, and is not unpacked for a map")
    return Lr(header)
