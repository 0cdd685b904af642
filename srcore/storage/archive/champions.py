"""What became of the scenes of each champion: STORE/DATASET/champions.json, and whether the last one stops more.

Counted are scenes that a night tried: published, or stopped by a gate. One that a gate stopped before, under whatever
model, is no news when it is stopped again, and is not counted. Two runs of a dataset at once may count one too few.
"""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from math import comb
from pathlib import Path

from srcore.catalog.object_stores import shown
from srcore.errors import StoreError
from srcore.storage.disk.records import read_sealed, write_sealed
from srcore.storage.disk.store import exists

log = logging.getLogger(__name__)

KEPT = 20
"""Champions that are remembered, the last."""
LEAST_STOPPED = 3
"""Scenes that a champion must have stopped before anything is proposed: one or two bad scenes come any night."""
LEVEL = 0.05
"""Chance, by Fisher's exact test, of as many stops without any difference between the champions."""


@dataclass(frozen=True)
class Tally:
    """The scenes of one champion."""

    digest: str
    version: str
    """In the registry; '' for the built-in model."""
    since: str = ""
    """Of its first scene; UTC."""
    tried: int = 0
    stopped: int = 0
    """By gates; part of `tried`."""

    @property
    def words(self) -> str:
        """How it is called."""
        return self.version or "the built-in model"


@dataclass(frozen=True)
class Champions:
    """All champions of a dataset that a night counted scenes of, in the order of their first scenes."""

    name: str = ""
    """Of the model."""
    now: str = ""
    """Digest of the champion at the last night."""
    tallies: tuple[Tally, ...] = ()

    def with_night(self, digest: str, version: str, tried: int, stopped: int) -> Champions:
        """The same with a night of a champion."""
        known = {one.digest: one for one in self.tallies}
        if tried:
            before = known.get(digest) or Tally(digest, version, datetime.now(UTC).isoformat(timespec="seconds"))
            known[digest] = replace(
                before,
                version=version or before.version,
                tried=before.tried + tried,
                stopped=before.stopped + stopped,
            )
        return replace(self, now=digest, tallies=tuple(known.values())[-KEPT:])

    @property
    def proposal(self) -> str:
        """That a rollback is worth a look, in words; '' where the champion stops no more than the one before it.

        The one before is the champion whose first scene came last before its own.
        """
        at = next((index for index, one in enumerate(self.tallies) if one.digest == self.now), 0)
        before, now = self.tallies[at - 1 : at + 1] if at else (None, None)
        if before is None or now is None or now.stopped < LEAST_STOPPED or chance_of(now, before) > LEVEL:
            return ""
        return (
            f"champion {now.words} stops more than {before.words} did: {now.stopped} of {now.tried} scenes against "
            f"{before.stopped} of {before.tried}; srcore models rollback {self.name}"
        )


def read_champions(path: Path) -> Champions:
    """What was counted of a dataset; nothing where the record is damaged, which is told."""
    if not exists(path):
        return Champions()
    try:
        found = read_sealed(path)
        return Champions(found["name"], found["now"], tuple(Tally(**one) for one in found["tallies"]))
    except (StoreError, KeyError, TypeError) as error:
        log.warning("%s is begun anew: %s", shown(path), error)
        return Champions()


def count_night(path: Path, name: str, tally: Tally) -> Champions:
    """Add a night's scenes to those of its champion; gives all. What changes nothing writes nothing."""
    before = read_champions(path)
    before = before if before.name == name else Champions(name)  # another model: its champions are none of these
    after = before.with_night(tally.digest, tally.version, tally.tried, tally.stopped)
    if after != before and after.tallies:
        write_sealed(path, asdict(after))
    return after


def chance_of(now: Tally, before: Tally) -> float:
    """That so many of all stops, or more, fall to `now` by chance: Fisher's exact test, one-sided."""
    every, stopped = now.tried + before.tried, now.stopped + before.stopped
    ways = range(now.stopped, min(stopped, now.tried) + 1)
    found = sum(comb(stopped, count) * comb(every - stopped, now.tried - count) for count in ways)
    return found / comb(every, now.tried)
