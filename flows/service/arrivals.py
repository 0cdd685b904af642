"""Files that arrive below a watched dataset's source, or below what its pairs are of: by looking, and once each."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from srcore.catalog import Catalog
from srcore.catalog.dataset import Dataset
from srcore.errors import StoreError
from srcore.storage.archive.sources import Scene, find_hr, find_scenes, hidden_id
from srcore.storage.disk.records import read_json, write_json
from srcore.storage.disk.watch import Stamp, stamp_if_there

Found = Mapping[str, str]
"""Complete scenes to what their files look like: sizes and times, as a digest."""


@dataclass(frozen=True)
class Arrival:
    """A scene whose files are all there and have not changed for as long as its dataset says."""

    scene: str
    looks: str
    """Of this very state of its files: with the scene's name what a run of it is known by."""


class Arrivals:
    """What of a dataset was there, or was started, before: the file `memory` keeps it over restarts.

    What is there at the very first look is a night's work, as in an archive that gets the key `watch`.
    """

    def __init__(
        self, memory: Path, keep_days: int, today: Callable[[], date] = lambda: datetime.now(UTC).date()
    ) -> None:
        self.memory, self.keep_days, self.today = memory, keep_days, today
        self.pending: dict[str, tuple[str, float]] = {}
        """Scenes to how they look, and since when, in seconds of the caller's clock."""
        self.known = _load(memory)
        self.there: frozenset[str] = frozenset()
        """Scenes of the last look."""

    def look(self, found: Found, now: float, settle_s: float) -> list[Arrival]:
        """The scenes that have arrived; each again at every look until `started` is told of it."""
        self.there = frozenset(found)
        if self.known is None:
            self._remember(found)
            return []
        new = {scene: looks for scene, looks in found.items() if self.known.get(scene, ("",))[0] != looks}
        self.pending = {
            scene: before if (before := self.pending.get(scene, ("", now)))[0] == looks else (looks, now)
            for scene, looks in new.items()
        }
        return [Arrival(scene, looks) for scene, (looks, since) in self.pending.items() if now - since >= settle_s]

    def started(self, arrivals: Sequence[Arrival]) -> None:
        """These are not told of again, unless their files change."""
        if arrivals:
            self._remember({one.scene: one.looks for one in arrivals})

    def _remember(self, found: Found) -> None:
        """A scene whose files are away for a while (a share that is not mounted) has not arrived when they are back."""
        today, oldest = self.today().isoformat(), (self.today() - timedelta(days=self.keep_days)).isoformat()
        last = {
            scene: (looks, today if scene in self.there else day) for scene, (looks, day) in (self.known or {}).items()
        }
        kept = {scene: value for scene, value in last.items() if value[1] >= oldest}
        self.known = {**kept, **{scene: (looks, today) for scene, looks in found.items()}}
        write_json(self.memory, {"scenes": {scene: list(value) for scene, value in self.known.items()}})


def complete_scenes(entry: Dataset, base: Path) -> dict[str, str]:
    """The scenes of a dataset of which every file is there, and how they look; one scan a folder.

    CatalogError when the source cannot be used.
    """
    return _complete(find_scenes(entry, base))


def _complete(scenes: Iterable[Scene]) -> dict[str, str]:
    found = {}
    for scene in scenes:
        stamps = [stamp_if_there(file) for path in scene.paths for file in _files(path)]
        if all(stamps):
            found[scene.id] = _looks([one for one in stamps if one is not None])
    return found


def pair_files(catalog: Catalog, name: str) -> dict[str, str]:
    """The scenes of a dataset and those of its HR that are complete, and how they look: `lr/SCENE`, `hr/SCENE`.

    What is fetched is not looked for. CatalogError when a source cannot be used.
    """
    entry, other = catalog.dataset(name), catalog.hr_of(name)
    found = {"lr": {} if entry.is_remote else complete_scenes(entry, catalog.base)}
    if other is None:
        hr = find_hr(entry, catalog.base).values()
        found["hr"] = _complete(replace(one, id=hidden_id(one.id)) if one.private else one for one in hr)
    elif not other.is_remote:
        found["hr"] = complete_scenes(other, catalog.base)
    return {f"{part}/{scene}": looks for part, scenes in found.items() for scene, looks in scenes.items()}


def _files(path: Path) -> list[Path]:
    """The path, and all that lies in it where it is a folder: a provider's product grows inside."""
    if not path.is_dir():
        return [path]
    return [path, *sorted(Path(folder, name) for folder, _, names in os.walk(path) for name in names)]


def _looks(stamps: Sequence[Stamp]) -> str:
    text = "\n".join(f"{one.path} {one.size_bytes} {one.mtime_ns}" for one in stamps)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _load(memory: Path) -> dict[str, tuple[str, str]] | None:
    """None when nothing is remembered, or not so that it can be read: then all that is there is a night's work."""
    try:
        return {scene: (str(looks), str(day)) for scene, (looks, day) in read_json(memory)["scenes"].items()}
    except (StoreError, OSError, KeyError, TypeError, ValueError):
        return None
