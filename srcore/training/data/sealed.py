"""The split on disk: sealed, with the digests of every scene's files; what an older version left is taken over."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from srcore.catalog.object_stores import shown
from srcore.errors import StoreError
from srcore.storage.disk.files import sha256_file
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import exists
from srcore.storage.disk.veil import veiled_path
from srcore.storage.disk.watch import stamp
from srcore.training.data.split import Member, Split

log = logging.getLogger(__name__)

VERSION = 2


class Digests:
    """sha256 of files, each read once while its size and time stay; `hidden`: hashes stand for their paths."""

    def __init__(self, known: Mapping[str, Sequence[Any]], *, hidden: bool = False) -> None:
        self.known, self.hidden = known, hidden
        self.seen: dict[str, Sequence[Any]] = {}

    def of(self, paths: Sequence[Path]) -> tuple[str, ...]:
        """Of each file."""
        return tuple(self._one(path) for path in paths)

    def _one(self, path: Path) -> str:
        now = stamp(path)
        name = veiled_path(now.path) if self.hidden else now.path
        before = self.known.get(name, (0, 0, ""))
        same = [*before[:2]] == [now.size_bytes, now.mtime_ns]
        digest = str(before[2]) if same else sha256_file(path)
        self.seen[name] = (now.size_bytes, now.mtime_ns, digest)
        return digest


def read_split(path: Path, *, hidden: bool = False) -> tuple[dict[str, Member], Digests]:
    """What is remembered of scenes and of files, of `hidden` ones without their paths; empty before the first round.

    StoreError when it is damaged.
    """
    if not exists(path):
        return {}, Digests({}, hidden=hidden)
    try:
        found = read_sealed(path)
        if "version" not in found:  # by name alone
            return {scene: Member(None, (), held) for scene, held in found["held"].items()}, Digests({}, hidden=hidden)
        files = Digests(found["files"], hidden=hidden)
        return {scene: _member(**one) for scene, one in found["scenes"].items()}, files
    except (StoreError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"{shown(path)} is damaged",
            str(error),
            "restore it; without it, scenes are split anew, and some that were trained on would judge",
        ) from error


def write_split(path: Path, split: Split, digests: Digests) -> None:
    """Seal the split, and say what it left out."""
    for note in split.notes:
        log.warning("%s: %s", path.name, note)
    scenes = {scene: asdict(one) for scene, one in sorted(split.scenes.items())}
    write_sealed(path, {"version": VERSION, "scenes": scenes, "files": digests.seen or digests.known})


def _member(place: str | list[int] | None, digests: list[str], held: bool) -> Member:
    ground = place if place is None or isinstance(place, str) else (place[0], place[1], place[2], place[3])
    return Member(ground, tuple(digests), held)
