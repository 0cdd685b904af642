"""The book of a night: how far it is, for who watches, and what it came to, for the next one and for trends.

A dataset has one night at a time: its lease is held while the book is open. The book is a view: a night whose book
cannot be written goes on without.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from srcore.catalog import Catalog
from srcore.errors import LeaseError, SRError
from srcore.layout import DatasetPaths
from srcore.run.night.turns import Turns
from srcore.storage.archive.nights import Night, Nights, Running, end_night, read_nights, save_running, settled
from srcore.storage.disk.files import free_bytes
from srcore.storage.disk.leases import held
from srcore.storage.disk.outlive import outlive

if TYPE_CHECKING:
    from srcore.run.outcome import Outcome

log = logging.getLogger(__name__)

SECONDS = 5.0
"""Between two records of a running night: one costs two syncs."""
LINE_SECONDS = 600.0
"""Between two lines of the log, where a tenth of the night lasts longer."""
NAMED = 20
"""New failures that the record names."""

Tell = Callable[[Running], None]
PUBLISHED = ("published", "degraded")
FAILED = ("failed", "damaged", "quarantined")


class Book:
    """How far a night of a dataset is; `tell` hears of it every SECONDS, and of its end."""

    def __init__(self, places: DatasetPaths, nights: Nights, timezone: str, tell: Sequence[Tell] = ()) -> None:
        self.places, self.nights, self.timezone, self.tell = places, nights, timezone, tell
        self.began, self.heard_at = datetime.now(UTC), float("-inf")
        self.turns: Turns | None = None

    def follow(self, turns: Turns) -> None:
        """Hear of a queue from now on."""
        self.turns, turns.hear = turns, self.heard

    def heard(self, turns: Turns) -> None:
        """The queue changed: write it down, if it is time."""
        last = not turns.queue and not turns.working
        if not last and time.monotonic() - self.heard_at < SECONDS:
            return
        self.heard_at = time.monotonic()
        running = self._running(turns, datetime.now(UTC))
        save_running(self.places, running)
        for tell in self.tell:
            tell(running)

    def end(self, outcomes: Sequence[Outcome]) -> None:
        """Write down what the night came to."""
        now, paces = datetime.now(UTC), self._paces()
        night = Night(
            began=_iso(self.began),
            seconds=round((now - self.began).total_seconds(), 1),
            scenes=self.turns.scenes if self.turns else 0,
            published=sum(one.result in PUBLISHED for one in outcomes),
            failed=sum(one.result in FAILED for one in outcomes),
            new_failures=tuple(one.scene for one in outcomes if one.fails)[:NAMED],
            left=len(self.turns.left) if self.turns else 0,
            pixels=sum(pixels for pixels, _ in paces),
            free_bytes=free_bytes(self.places.root),
        )
        self.nights = self.nights.with_night(night, paces)
        end_night(self.places, self.nights)

    def _paces(self) -> tuple[tuple[int, float], ...]:
        """How long each product took."""
        done = self.turns.outcomes if self.turns else []
        return tuple(
            (turn.pixels, round(one.seconds, 3)) for turn, one in done if one.result in PUBLISHED and turn.pixels
        )

    def _running(self, turns: Turns, now: datetime) -> Running:
        parts = sum(round(turn.pixels * step.part) for turn, step in turns.working.values())
        running = Running(
            dataset=self.places.root.name,
            began=_iso(self.began),
            updated=_iso(now),
            scenes=turns.scenes,
            done=len(turns.outcomes),
            published=sum(turns.results[one] for one in PUBLISHED),
            failed=sum(turns.results[one] for one in FAILED),
            pixels=turns.pixels,
            pixels_done=turns.pixels_done + parts,
            working=tuple(f"{scene}: {step}" for scene, (_, step) in turns.working.items()),
            until=_iso(turns.deadline) if turns.deadline else "",
            timezone=self.timezone,
        )
        return Running(**{**vars(running), "eta": _eta(self.began, now, running.percent)})


def _eta(began: datetime, now: datetime, percent: float) -> str:
    """By the pace so far; '' before a hundredth is done, and at the end."""
    if not 1 <= percent < 100:
        return ""
    return _iso(now + timedelta(seconds=(now - began).total_seconds() * (100 - percent) / percent))


def _iso(when: datetime) -> str:
    return when.isoformat(timespec="seconds")


@contextmanager
def open_book(catalog: Catalog, dataset: str, tell: Sequence[Tell] = (), *, patient: bool = False) -> Iterator[Book]:
    """The book of a night that begins; LeaseError when another night of the dataset goes on.

    `patient`: one that may be dead, of another machine or container, is waited for until that is known.
    """
    places, timezone = DatasetPaths(Path(catalog.store) / dataset), catalog.dataset(dataset).timezone
    with ExitStack() as stack:
        try:
            if patient:
                outlive(places.night_lease, log.warning)
            stack.enter_context(held(places.night_lease))
            nights = settled(places)
        except LeaseError as error:
            raise LeaseError(f"another night of {dataset} goes on", error.found, "let it finish") from error
        except SRError as error:  # its scenes will say so, each with its code
            log.warning("the night of %s goes unrecorded: %s", dataset, error)
            nights = read_nights(places)
        yield Book(places, nights, timezone, tell)


@contextmanager
def open_book_if_free(catalog: Catalog, dataset: str) -> Iterator[Book | None]:
    """As `open_book`, for a run by hand; None, which is said, while a night of the dataset goes on: it has the book."""
    with ExitStack() as stack:
        try:
            book = stack.enter_context(open_book(catalog, dataset))
        except LeaseError as error:
            log.warning("%s; this run goes on beside it, and is in no book", error.what)
            book = None
        yield book


class Lines:
    """Says how far a night is in lines a tenth apart, and at least every LINE_SECONDS."""

    def __init__(self, say: Callable[[str], None], now: Callable[[], float] = time.monotonic) -> None:
        self.say, self.now = say, now
        self.tenth, self.said_at = -1, float("-inf")

    def __call__(self, running: Running) -> None:
        """Say it, if it is time."""
        tenth = int(running.percent // 10)
        if tenth != self.tenth or self.now() - self.said_at >= LINE_SECONDS:
            self.tenth, self.said_at = tenth, self.now()
            self.say(f"{running.dataset}: {running.words}")
