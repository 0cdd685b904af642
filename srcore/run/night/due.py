"""The due scenes of a dataset as a queue: in its order, by its deadline, and with those who ask by hand let first."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from srcore.catalog import Catalog
from srcore.layout import DatasetPaths
from srcore.run.night.pace import Deadline, next_time
from srcore.run.night.turns import Turn, Turns, in_order
from srcore.run.night.waiting import let_first
from srcore.storage.archive.history import History
from srcore.storage.archive.nights import megapixels, read_nights

if TYPE_CHECKING:
    from srcore.run.outcome import Outcome

NAMED = 8
"""Scenes that are left, by their names."""
WITHOUT_WORKERS = frozenset({"NO_SCHEDULER", "NO_WORKERS", "WORKERS_REFUSED"})
GIVE_UP = 3
"""Scenes in a row that found no workers: each of the others would wait as long for them, 5 minutes and more."""


def queue_of(catalog: Catalog, dataset: str, turns: list[Turn], history: History) -> Turns:
    """The queue of a run of the whole dataset. What it does becomes part of the history."""
    entry, places = catalog.dataset(dataset), DatasetPaths(Path(catalog.store) / dataset)
    beside = max(1, min(entry.concurrency.scenes, len(turns)))
    deadline = Deadline(next_time(entry.until, entry.timezone, datetime.now(UTC)) if entry.until else None)
    if deadline.end is not None:
        deadline.done.extend(read_nights(places).paces)

    def prepare(turn: Turn) -> Turn:
        job = replace(turn.state.job, before=history.before(turn.state.scene), beside=beside)
        return replace(turn, state=replace(turn.state, job=job))

    def settle(turn: Turn, outcome: Outcome) -> None:
        if outcome.receipt is not None:
            history.add(outcome.receipt)
            deadline.done.append((turn.pixels, outcome.seconds))

    queue = Turns(
        in_order(turns, entry.order),
        scenes=len(turns),
        pixels=sum(turn.pixels for turn in turns),
        beside=beside,
        deadline=deadline.end,
        before_each=lambda queue: let_first(places.waiting, lambda: queue.stopped),
        prepare=prepare,
        settle=settle,
    )
    queue.may_start = lambda turn: not gave_up(queue) and deadline.allows(turn.pixels, datetime.now(UTC))
    return queue


def gave_up(turns: Turns) -> str:
    """The reason code by which a run starts no more scenes, since the last found no workers; '' where it goes on."""
    last = [outcome.code for _, outcome in turns.outcomes[-GIVE_UP:]]
    return last[-1] if len(last) == GIVE_UP and WITHOUT_WORKERS.issuperset(last) else ""


def told_of_left(turns: Turns, until: str, timezone: str) -> str:
    """What is left to the next run, and why, in words."""
    left, code = turns.left, gave_up(turns)
    names = ", ".join(turn.state.scene for turn in left[:NAMED]) + (", ..." if len(left) > NAMED else "")
    size = megapixels(sum(turn.pixels for turn in left))
    why = (
        f"since the last {GIVE_UP} found no workers ({code})"
        if code
        else f"which would not be finished by {until} {timezone}"
    )
    return f"{len(left)} scenes ({size} MP) are left, {why}: {names}; the next run does them"
