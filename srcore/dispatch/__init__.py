"""Dispatch: tile tasks on Dask workers, a bounded window of them at a time, results in order of arrival."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from math import ceil
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from srcore.dispatch.cluster import Workers, client_of, cluster
from srcore.dispatch.crew import LOOK_SECONDS, Crew
from srcore.dispatch.greeting import GPU, code
from srcore.dispatch.patience import Patience, wait_for_one
from srcore.dispatch.questions import gathered
from srcore.errors import SRError, TileError
from srcore.overlap import Done

__all__ = ["Workers", "cluster", "each", "run_tiles"]

T = TypeVar("T")
log = logging.getLogger(__name__)

RETRIES = 2
ANSWER_SECONDS = 10.0
"""A result that is not here so long after its task ended went with its worker: its tiles are tried again."""
WINDOW = 4
"""Futures in flight a worker: enough to hide the scheduler, few enough to forget."""

TOGETHER = 64
"""Results that are fetched in one request, at most."""
SPARE = 2
"""Workers that are asked, a tile, where there are more: some of them are busy with other scenes."""

Work = Callable[[Sequence[int]], Iterator[Done[T]]]
"""Several tiles of one task, in any way that suits them; one Done each."""


Batch = Callable[[int, int], int]
"""Tiles of the next task, of so many that are left and so many workers that are there; 0 workers: this process."""


def one(left: int, workers: int) -> int:
    """A task a tile."""
    return 1


def each(work: Callable[[int], T]) -> Work[T]:
    """Work that does one tile after the other."""
    return partial(_each, work)


def _each(work: Callable[[int], T], tiles: Sequence[int]) -> Iterator[Done[T]]:
    for tile in tiles:
        try:
            done = Done(tile, result=work(tile))
        except Exception as error:
            done = Done(tile, error=error)
        yield done


def run_tiles(
    work: Work[T],
    tiles: Sequence[int],
    workers: Workers,
    arrived: Callable[[T], None],
    batch: Batch = one,
    shared: Path | None = None,
) -> None:
    """Do `work` for every tile and hand each result to `arrived`, here, as it comes.

    Tasks hold as many tiles as `batch` says when they are handed out. A failing tile is tried again, alone, up to
    RETRIES times. When all others are done, TileError names those that failed for good, with the last error of the
    first. A full disk, and whatever else `ends_scene`, ends the run at once. TileError NO_SCHEDULER or NO_WORKERS when
    the cluster goes away; what arrived stays done. Workers that somebody else started show first what they run, and
    that they can read the file `shared`: WORKERS_REFUSED where none may. No more are asked than there is work for.
    """
    if not tiles:
        return
    ledger = _Ledger(tiles, batch, arrived)
    if workers.is_here:
        while (several := ledger.next(0)) is not None:
            ledger.settle(_attempt(work, several))
    else:
        tasks = ceil(len(tiles) / batch(len(tiles), workers.resolved))
        with client_of(workers, tasks) as (client, running):
            _drain(Crew(client, ours=running.ours, shared=shared, most=SPARE * len(tiles)), work, ledger)
    if ledger.failed:
        raise _verdict(ledger.failed)


@dataclass(frozen=True)
class Answer(Generic[T]):
    """What became of one tile in one attempt: a result, or an error."""

    tile: int
    result: T | None = None
    error: SRError | None = None


class _Ledger(Generic[T]):
    """Which tiles wait, how often each was tried, and which failed for good."""

    def __init__(self, tiles: Sequence[int], batch: Batch, arrived: Callable[[T], None]) -> None:
        self.queue, self.batch = deque(tiles), batch
        self.again: deque[Sequence[int]] = deque()
        """Tasks that are tried once more, behind all others."""
        self.attempts = dict.fromkeys(tiles, 0)
        self.suspects: deque[int] = deque()
        """Tiles that lay on a worker when it ended."""
        self.failed: dict[int, SRError] = {}
        self.arrived = arrived

    @property
    def waits(self) -> bool:
        """Whether anything is to be handed out."""
        return bool(self.queue or self.again or self.suspects)

    def next(self, workers: int) -> Sequence[int] | None:
        """The tiles of the next task: cut now, for workers that come late make it smaller."""
        if self.queue:
            count = max(1, self.batch(len(self.queue), workers))
            return [self.queue.popleft() for _ in range(min(count, len(self.queue)))]
        return self.again.popleft() if self.again else None

    def lost(self, tiles: Sequence[int], error: BaseException, *, alone: bool) -> None:
        """The worker of a task ended. A tile is guilty only when nothing else lay on that worker."""
        log.warning("a worker ended with tiles %s: %s", list(tiles), error)
        if not alone:
            self.suspects.extend(tiles)
            return
        for tile in tiles:
            self.failed[tile] = TileError(
                f"tile {tile} ends its worker, each time",
                f"{type(error).__name__}: {error}",
                "look for memory in the system log; a smaller --tile needs less",
                code="TILE_KILLED",
            )

    def settle(self, outcomes: Iterable[Answer[T]]) -> None:
        for outcome in outcomes:
            if outcome.error is None:
                self.arrived(outcome.result)  # type: ignore[arg-type]  # a result is there where no error is
                continue
            self.attempts[outcome.tile] += 1
            tried = self.attempts[outcome.tile]
            log.warning(
                "tile %d failed (attempt %d of %d): %s",
                outcome.tile,
                tried,
                RETRIES + 1,
                outcome.error,
                extra={"tile": outcome.tile, "attempt": tried, "reason": str(outcome.error)},
            )
            if outcome.error.reason.retry == "soon" and tried <= RETRIES and not outcome.error.reason.ends_scene:
                self.again.append([outcome.tile])
            else:
                self.failed[outcome.tile] = outcome.error
            if outcome.error.reason.ends_scene:
                for waiting in (self.queue, self.again, self.suspects):
                    waiting.clear()
                return


def _attempt(work: Work[T], tiles: Sequence[int]) -> Iterator[Answer[T]]:
    """One outcome a tile, so that a bad tile costs its neighbours nothing."""
    left = set(tiles)
    try:
        for done in work(tiles):
            left.discard(done.item)
            yield Answer(done.item, done.result, None if done.error is None else _own(done.error))
    except Exception as error:
        log.debug("tiles %s", sorted(left), exc_info=True)
        yield from (Answer(tile, error=_own(error)) for tile in sorted(left))


class _StrangerError(Exception):
    """A task came to a worker that was never asked: it is where one was that ended."""


def _attempt_all(work: Work[T], tiles: Sequence[int], wanted: str) -> list[Answer[T]]:
    """`_attempt` as a task of a worker, which runs the code `wanted`; '': whatever it runs."""
    if wanted and code() != wanted:
        raise _StrangerError(code())
    return list(_attempt(work, tiles))


def _own(error: Exception) -> SRError:
    return error if isinstance(error, SRError) else _foreign(error)


def _foreign(error: BaseException) -> TileError:
    """An error from outside srcore, in a form that can be pickled and told in one line."""
    return TileError("a tile failed", f"{type(error).__name__}: {error}", "")


@dataclass(frozen=True)
class _Task:
    """Tiles that one future stands for."""

    tiles: Sequence[int]
    bound: frozenset[str]
    """Addresses of the only workers that may do them; empty: any."""
    alone: bool
    """Nothing else runs meanwhile: whose worker ends is guilty."""


def _drain(crew: Crew, work: Work[T], ledger: _Ledger[T]) -> None:
    """Keep a bounded window of futures running until the queue is empty, then try the suspects one at a time."""
    arrivals: SimpleQueue[Any] = SimpleQueue()
    running: dict[Any, _Task] = {}

    def submit(several: Sequence[int], *, alone: bool = False) -> None:
        bound = frozenset() if crew.ours and not crew.silent else frozenset(crew.present)
        # pure=False: a second attempt is a new task, not the remembered failure.
        future = crew.client.submit(_attempt_all, work, several, crew.code, pure=False, **_only(crew, bound))
        running[future] = _Task(several, bound, alone)
        future.add_done_callback(arrivals.put)

    while True:
        present = crew.look()
        if crew.ours or present:  # a task that is bound to nobody would go to anybody
            there = max(1, len(present))
            while len(running) < WINDOW * there and (several := ledger.next(there)) is not None:
                submit(several)
            if not running and ledger.suspects:
                submit([ledger.suspects.popleft()], alone=True)
        if running:
            _settle_all(ledger, crew, _next(arrivals, crew, running), running)
        elif ledger.waits:
            wait_for_one(crew)
        else:
            return


def _only(crew: Crew, bound: frozenset[str]) -> dict[str, Any]:
    """By what Dask chooses the worker of a task."""
    if not bound:
        return {}
    only: dict[str, Any] = {"workers": sorted(bound), "allow_other_workers": False}
    return {**only, "resources": {GPU: 1}} if crew.on_gpu else only  # one task a GPU at a time, also of several runs


def _settle_all(ledger: _Ledger[T], crew: Crew, done: Sequence[Any], running: dict[Any, _Task]) -> None:
    there = _fetched(crew, done)
    for future in done:
        _settle(ledger, crew, future, running.pop(future), there)


def _fetched(crew: Crew, futures: Sequence[Any]) -> dict[Any, Any]:
    """What tasks that went well gave, in one request: each by itself is a journey that all tasks behind it wait for."""
    good = [future for future in futures if future.status == "finished"]
    try:
        return dict(zip(good, gathered(crew.client, good, ANSWER_SECONDS), strict=True)) if len(good) > 1 else {}
    except Exception as error:  # what is lost takes the others with it: each by itself, then
        log.debug("%d results did not come together: %s", len(good), error)
        return {}


def _settle(ledger: _Ledger[T], crew: Crew, future: Any, task: _Task, there: Mapping[Any, Any]) -> None:
    from distributed import KilledWorker

    try:
        outcomes: list[Answer[T]] = there[future] if future in there else future.result(timeout=ANSWER_SECONDS)
    except CancelledError:  # the scheduler went away, and may come back, or the workers did: see _next
        ledger.again.append(task.tiles)
    except _StrangerError:
        crew.look_at_once()
        ledger.again.append(task.tiles)
    except KilledWorker as error:
        ledger.lost(task.tiles, error, alone=task.alone)
    except Exception as error:  # whatever the cluster says of a task, its tiles are tried again
        ledger.settle([Answer(tile, error=_foreign(error)) for tile in task.tiles])
    else:
        ledger.settle(outcomes)


def _next(arrivals: SimpleQueue[Any], crew: Crew, running: Mapping[Any, _Task]) -> list[Any]:
    """The futures that are done, one at least.

    Tasks whose workers left or stand still are cancelled once others are there.
    """
    patience = Patience(crew)
    while True:
        if crew.client.status == "running":
            with suppress(Empty):
                first = arrivals.get(timeout=LOOK_SECONDS)
                return [first, *(arrivals.get_nowait() for _ in range(min(arrivals.qsize(), TOGETHER - 1)))]
        else:
            time.sleep(LOOK_SECONDS / 4)
        if patience.look():
            left = [
                future
                for future, task in running.items()
                if future.key in crew.stranded or (task.bound and task.bound.isdisjoint(crew.present))
            ]
            if left:
                crew.client.cancel(left)


def _verdict(failed: dict[int, SRError]) -> SRError:
    first = failed[min(failed)]
    for error in failed.values():
        if error.reason.ends_scene:
            return error
    tried = first.reason.retry == "soon"
    if not tried and not isinstance(first, TileError):
        return first
    named = ", ".join(str(index) for index in sorted(failed)[:8]) + (" ..." if len(failed) > 8 else "")
    what = f"tile {named} failed {RETRIES + 1} times" if tried else f"tile {named}: {first.what}"
    if first.code == "TILE_KILLED":
        what = f"tile {named} ends its worker, each time"
    do = "see the log; run again to redo these tiles only" if tried else first.do
    verdict = TileError(what, first.found or first.what, do, code=first.code)
    verdict.tiles = tuple(sorted(failed))
    verdict.__cause__ = first
    return verdict
