"""What is known of a dataset's nights: STORE/DATASET/night.json, the one that runs, and nights.json, those that ended.

Views for people and for the next night's forecast: what cannot be read is begun anew, what cannot be written is told in
the log, and no night fails by either. Sizes are LR pixels times bands.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from srcore.catalog.object_stores import shown
from srcore.errors import SRError, StoreError
from srcore.layout import DatasetPaths
from srcore.storage.disk.leases import holder, is_alive
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import exists, store_at

log = logging.getLogger(__name__)

T = TypeVar("T")

KEPT = 90
"""Nights that are remembered, the last."""
PACED = 50
"""Scenes whose time is remembered, the last."""


@dataclass(frozen=True)
class Running:
    """How far a night is."""

    dataset: str
    began: str
    """UTC, ISO 8601; so are all times."""
    updated: str
    scenes: int
    """That were due."""
    done: int = 0
    published: int = 0
    """Part of `done`, degraded ones included."""
    failed: int = 0
    """Part of `done`."""
    pixels: int = 0
    """Of all that were due."""
    pixels_done: int = 0
    """Parts of scenes that are worked on count."""
    working: tuple[str, ...] = ()
    """Scenes that are worked on, with their stage: 'T32: upscale 43 of 512'."""
    eta: str = ""
    """When it will end by its pace so far; '' before there is one."""
    until: str = ""
    """When its dataset says that it has to end; '' where it does not."""
    timezone: str = "UTC"
    """Of the clock in `words`."""

    @property
    def percent(self) -> float:
        """By pixels; by scenes where no size is known."""
        done, of = (self.pixels_done, self.pixels) if self.pixels else (self.done, self.scenes)
        return 100.0 * done / of if of else 100.0

    @property
    def words(self) -> str:
        """'37 of 120 scenes, 14 published, 1 failed, 812 of 2,300 MP, ETA 02:41 CET'."""
        told = [f"{self.done} of {self.scenes} scenes", f"{self.published} published", f"{self.failed} failed"]
        if self.pixels:
            told.append(f"{megapixels(self.pixels_done)} of {megapixels(self.pixels)} MP")
        return ", ".join([*told, *([f"ETA {clock(self.eta, self.timezone)}"] if self.eta else [])])


def megapixels(pixels: int) -> str:
    """In words: whole ones where there are many."""
    if pixels >= 1e8:
        return f"{pixels / 1e6:,.0f}"
    return f"{pixels / 1e6:.1f}" if pixels >= 1e6 else f"{pixels / 1e6:.4f}".rstrip("0").rstrip(".")


def clock(when: str, timezone: str) -> str:
    """Hours and minutes of a time in a time zone, and the zone: who reads it may be in another."""
    return datetime.fromisoformat(when).astimezone(ZoneInfo(timezone)).strftime("%H:%M %Z")


@dataclass(frozen=True)
class Night:
    """A night that ended."""

    began: str
    seconds: float
    scenes: int
    """That were due."""
    published: int = 0
    failed: int = 0
    """Among them what had failed so before."""
    new_failures: tuple[str, ...] = ()
    """Scenes that failed, and had not failed so before, the first of them; '' is the dataset itself."""
    left: int = 0
    """Due, and left to the next night."""
    pixels: int = 0
    """Of what was published."""
    free_bytes: int = 0
    """On the store's disk, at its end."""
    interrupted: bool = False
    """It did not end: its process was killed, or its machine stopped."""

    @property
    def megapixels_a_second(self) -> float:
        return self.pixels / 1e6 / self.seconds if self.seconds else 0.0

    @property
    def seconds_a_scene(self) -> float:
        done = self.published + self.failed
        return self.seconds / done if done else 0.0


@dataclass(frozen=True)
class Nights:
    """The last nights of a dataset, the newest last, and how long its last scenes took."""

    nights: tuple[Night, ...] = ()
    paces: tuple[tuple[int, float], ...] = ()
    """(pixels, seconds) of scenes that were published, the newest last."""

    def with_night(self, night: Night, paces: tuple[tuple[int, float], ...]) -> Nights:
        return Nights((*self.nights, night)[-KEPT:], (*self.paces, *paces)[-PACED:])

    def with_interrupted(self, was: Running) -> Nights:
        """The same with a night that left the record of a running one behind."""
        began, last = datetime.fromisoformat(was.began), datetime.fromisoformat(was.updated)
        seconds = (last - began).total_seconds()
        night = Night(
            was.began,
            seconds,
            was.scenes,
            was.published,
            was.failed,
            pixels=was.pixels_done,
            interrupted=True,
        )
        return self.with_night(night, ())

    @property
    def last(self) -> Night | None:
        return self.nights[-1] if self.nights else None


def read_nights(places: DatasetPaths) -> Nights:
    """The nights of a dataset; none where the record is damaged, which is told."""
    return _read(places.nights, _nights) or Nights()


def read_running(places: DatasetPaths) -> Running | None:
    """The night that runs, or that was interrupted: `is_running` says which."""
    return _read(places.night, lambda found: Running(**{**found, "working": tuple(found["working"])}))


def is_running(places: DatasetPaths) -> bool:
    """True while the process of a night lives."""
    lease = places.night_lease
    owner = holder(lease)
    return owner is not None and is_alive(lease, owner)


def save_running(places: DatasetPaths, night: Running) -> bool:
    """Write it down; False where that cannot be done, which is told."""
    return _saved(places.night, asdict(night))


def end_night(places: DatasetPaths, nights: Nights) -> None:
    """Write the nights down, and that none runs."""
    if _saved(places.nights, asdict(nights)):
        store_at(places.root).delete(places.night.name)


def settled(places: DatasetPaths) -> Nights:
    """The nights of a dataset, with one that was interrupted; for who holds the lease of the next."""
    nights, was = read_nights(places), read_running(places)
    return nights if was is None else nights.with_interrupted(was)


def _nights(found: dict[str, Any]) -> Nights:
    nights = tuple(Night(**{**one, "new_failures": tuple(one["new_failures"])}) for one in found["nights"])
    return Nights(nights, tuple((int(pixels), float(seconds)) for pixels, seconds in found["paces"]))


def _read(path: Path, parse: Callable[[dict[str, Any]], T]) -> T | None:
    if not exists(path):
        return None
    try:
        return parse(read_sealed(path))
    except (StoreError, KeyError, TypeError, ValueError) as error:
        log.warning("%s is begun anew: %s", shown(path), error)
        return None


def _saved(path: Path, value: dict[str, Any]) -> bool:
    try:
        write_sealed(path, value)
    except (SRError, OSError) as error:
        log.warning("%s was not written: %s", shown(path), error)
        return False
    return True
