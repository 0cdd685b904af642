"""Dispatch: tile tasks on Dask workers, a bounded window of them at a time, results in order of arrival."""

from __future__ import annotations

import logging
import os
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from ipaddress import ip_address
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from srcore.errors import PlanError, SRError, TileError
from srcore.overlap import Done

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
log = logging.getLogger(__name__)

RETRIES = 2
LOOK_SECONDS = 2.0
"""How often, while nothing arrives, a look is taken at the cluster."""
LOST_SECONDS = 30.0
"""A scheduler that does not answer for so long is gone."""
IDLE_SECONDS = 300.0
"""A cluster without any worker for so long gets no more patience."""
WINDOW = 4
"""Futures in flight a worker: enough to hide the scheduler, few enough to forget."""

ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
"""Measured: with glibc's defaults page faults slow tiles of 512 pixels 1.8 times. Read when a process starts."""


@dataclass(frozen=True)
class Workers:
    """Where tiles run."""

    count: int | None = None
    """Processes of a local cluster; None is one a core, 0 is this process."""
    scheduler: str | None = None
    """Address of a running Dask scheduler; then `count` means nothing."""

    @property
    def resolved(self) -> int:
        """Processes on this machine, or those that somebody started at the scheduler."""
        return len(os.sched_getaffinity(0)) if self.count is None else self.count


Work = Callable[[Sequence[int]], Iterator[Done[T]]]
"""Several tiles of one task, in any way that suits them; one Done each."""


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
    work: Work[T], tiles: Sequence[int], workers: Workers, arrived: Callable[[T], None], batch: int = 1
) -> None:
    """Do `work` for every tile and hand each result to `arrived`, here, as it comes.

    Tasks hold `batch` tiles. A failing tile is tried again, alone, up to RETRIES times. When all others are
    done, TileError names those that failed for good, with the last error of the first. A full disk, and
    whatever else `ends_scene`, ends the run at once. TileError NO_SCHEDULER or NO_WORKERS when the cluster goes away;
    what arrived stays done.
    """
    if not tiles:
        return
    ledger = _Ledger(tiles, batch, arrived)
    if workers.scheduler is None and workers.resolved == 0:
        while (several := ledger.next()) is not None:
            ledger.settle(_attempt(work, several))
    else:
        with _client(workers, tasks=len(ledger.queue)) as client:
            _drain(client, work, ledger)
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

    def __init__(self, tiles: Sequence[int], batch: int, arrived: Callable[[T], None]) -> None:
        self.queue: deque[Sequence[int]] = deque(tiles[i : i + batch] for i in range(0, len(tiles), batch))
        self.attempts = dict.fromkeys(tiles, 0)
        self.suspects: deque[int] = deque()
        """Tiles that lay on a worker when it ended."""
        self.failed: dict[int, SRError] = {}
        self.arrived = arrived

    def next(self) -> Sequence[int] | None:
        return self.queue.popleft() if self.queue else None

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
                self.queue.append([outcome.tile])
            else:
                self.failed[outcome.tile] = outcome.error
            if outcome.error.reason.ends_scene:
                self.queue.clear()
                self.suspects.clear()
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


def _attempt_all(work: Work[T], tiles: Sequence[int]) -> list[Answer[T]]:
    """`_attempt` as a task of a worker."""
    return list(_attempt(work, tiles))


def _own(error: Exception) -> SRError:
    return error if isinstance(error, SRError) else _foreign(error)


def _foreign(error: BaseException) -> TileError:
    """An error from outside srcore, in a form that can be pickled and told in one line."""
    return TileError("a tile failed", f"{type(error).__name__}: {error}", "")


def _drain(client: Client, work: Work[T], ledger: _Ledger[T]) -> None:
    """Keep a bounded window of futures running until the queue is empty, then try the suspects one at a time."""
    arrivals: SimpleQueue[Any] = SimpleQueue()
    running: dict[Any, Sequence[int]] = {}
    window = WINDOW * max(1, len(client.nthreads()))

    def submit(several: Sequence[int]) -> None:
        # pure=False: a second attempt is a new task, not the remembered failure.
        future = client.submit(_attempt_all, work, several, pure=False)
        running[future] = several
        future.add_done_callback(arrivals.put)

    while True:
        while len(running) < window and (several := ledger.next()) is not None:
            submit(several)
        trial = not running and bool(ledger.suspects)
        if trial:
            submit([ledger.suspects.popleft()])
        if not running:
            return
        future = _next(arrivals, client)
        _settle(ledger, future, running.pop(future), alone=trial)


def _settle(ledger: _Ledger[T], future: Any, tiles: Sequence[int], *, alone: bool) -> None:
    from distributed import KilledWorker

    try:
        outcomes: list[Answer[T]] = future.result()
    except CancelledError:  # the scheduler went away, and may come back: see _next
        ledger.queue.append(tiles)
    except KilledWorker as error:
        ledger.lost(tiles, error, alone=alone)
    except Exception as error:  # whatever the cluster says of a task, its tiles are tried again
        ledger.settle([Answer(tile, error=_foreign(error)) for tile in tiles])
    else:
        ledger.settle(outcomes)


def _next(arrivals: SimpleQueue[Any], client: Client) -> Any:
    """The next future that is done; TileError when the cluster is not there any more to finish one."""
    waiting = time.monotonic()
    while True:
        answers = client.status == "running"
        try:
            if answers:
                return arrivals.get(timeout=LOOK_SECONDS)
            time.sleep(LOOK_SECONDS / 4)
        except Empty:
            answers = client.status == "running"
        waited = time.monotonic() - waiting
        if client.status == "closed" or (not answers and waited > LOST_SECONDS):
            raise TileError(
                "the Dask scheduler is gone",
                client.status,
                "start it and run again: done tiles are kept",
                code="NO_SCHEDULER",
            )
        if answers and _count_workers(client) > 0:
            waiting = time.monotonic()
        elif answers and waited > IDLE_SECONDS:
            raise TileError(
                "no worker is left", f"none for {waited:.0f} s", "start some and run again", code="NO_WORKERS"
            )


def _count_workers(client: Client) -> int:
    try:
        return len(client.nthreads())
    except (OSError, TimeoutError, RuntimeError):
        return 0


@contextmanager
def cluster(workers: Workers) -> Iterator[Workers]:
    """Workers that stay for several scenes: a local cluster started once, on loopback, closed at the end.

    Single-threaded processes, one a core. Gives `workers` itself where there is a scheduler, or none is wanted.
    """
    if workers.scheduler is not None or workers.resolved == 0:
        yield workers
        return
    import dask
    from distributed import LocalCluster

    threads = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS"), "1")
    settings = {
        "distributed.nanny.pre-spawn-environ": {**threads, **ALLOCATOR},
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.target": False,  # tiles are small and results are numbers: nothing to spill
        "distributed.worker.memory.spill": False,
    }
    with dask.config.set(settings):
        local = LocalCluster(
            n_workers=workers.resolved,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
            memory_limit=0,
        )
        try:
            yield Workers(workers.resolved, local.scheduler_address)
        finally:
            close_cluster(partial(local.__exit__, None, None, None))


def close_cluster(close: Callable[[], object]) -> None:
    """End a local cluster. On a busy machine a worker may take longer to die than Dask waits: that fails no run."""
    try:
        close()
    except TimeoutError as error:  # they are daemons of this process, and end with it
        log.warning("the workers did not end in time: %s", str(error) or "no answer")


def refuse_open_scheduler(workers: Workers) -> None:
    """PlanError for a scheduler beyond this machine without TLS: whoever reaches it can run any code on it."""
    address = urlsplit(workers.scheduler or "")
    if address.scheme in ("", "inproc", "tls") or _is_loopback(address.hostname or ""):
        return
    raise PlanError(
        "a Dask scheduler beyond this machine needs TLS",
        workers.scheduler or "",
        "start it with TLS, set distributed.comm.tls here and use tls://HOST:PORT",
        code="OPEN_SCHEDULER",
    )


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


@contextmanager
def _client(workers: Workers, tasks: int) -> Iterator[Client]:
    """A client of the running scheduler, or of a local cluster of no more workers than tasks."""
    from distributed import Client

    refuse_open_scheduler(workers)
    with cluster(replace(workers, count=min(workers.resolved, tasks))) as running:
        try:
            client = Client(running.scheduler, timeout="10s", set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise PlanError(
                f"no Dask scheduler answers at {running.scheduler}",
                str(error),
                "start it or leave --scheduler out",
                code="NO_SCHEDULER",
            ) from error
        with client:
            yield client


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
