"""Dispatch: tile tasks on Dask workers, a bounded window of them at a time, results in order of arrival."""

from __future__ import annotations

import logging
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any, Generic, TypeVar
from urllib.parse import urlsplit

from srcore.errors import PlanError, SRError, TileError

if TYPE_CHECKING:
    from distributed import Client

T = TypeVar("T")
log = logging.getLogger(__name__)

RETRIES = 2
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


def run_tiles(
    work: Callable[[int], T], tiles: Sequence[int], workers: Workers, arrived: Callable[[T], None], batch: int = 1
) -> None:
    """Call `work` for every tile and hand each result to `arrived`, here, as it comes.

    Tasks hold `batch` tiles. A failing tile is tried again, alone, up to RETRIES times. When all others are
    done, TileError names those that failed for good, with the last error of the first.
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
class Outcome(Generic[T]):
    """What became of one tile in one attempt: a result, or an error."""

    tile: int
    result: T | None = None
    error: SRError | None = None


class _Ledger(Generic[T]):
    """Which tiles wait, how often each was tried, and which failed for good."""

    def __init__(self, tiles: Sequence[int], batch: int, arrived: Callable[[T], None]) -> None:
        self.queue: deque[Sequence[int]] = deque(tiles[i : i + batch] for i in range(0, len(tiles), batch))
        self.attempts = dict.fromkeys(tiles, 0)
        self.failed: dict[int, SRError] = {}
        self.arrived = arrived

    def next(self) -> Sequence[int] | None:
        return self.queue.popleft() if self.queue else None

    def settle(self, outcomes: Sequence[Outcome[T]]) -> None:
        for outcome in outcomes:
            if outcome.error is None:
                self.arrived(outcome.result)  # type: ignore[arg-type]  # a result is there where no error is
                continue
            self.attempts[outcome.tile] += 1
            tried = self.attempts[outcome.tile]
            log.warning("tile %d failed (attempt %d of %d): %s", outcome.tile, tried, RETRIES + 1, outcome.error,
                        extra={"tile": outcome.tile, "attempt": tried, "reason": str(outcome.error)})  # fmt: skip
            if outcome.error.retryable and tried <= RETRIES:
                self.queue.append([outcome.tile])
            else:
                self.failed[outcome.tile] = outcome.error


def _attempt(work: Callable[[int], T], tiles: Sequence[int]) -> list[Outcome[T]]:
    """Run on a worker: one outcome a tile, so that a bad tile costs its neighbours nothing."""
    outcomes: list[Outcome[T]] = []
    for tile in tiles:
        try:
            outcomes.append(Outcome(tile, result=work(tile)))
        except SRError as error:
            outcomes.append(Outcome(tile, error=error))
        except Exception as error:
            log.debug("tile %d", tile, exc_info=True)
            outcomes.append(Outcome(tile, error=_foreign(error)))
    return outcomes


def _foreign(error: BaseException) -> TileError:
    """An error from outside srcore, in a form that can be pickled and told in one line."""
    return TileError("a tile failed", f"{type(error).__name__}: {error}", "")


def _drain(client: Client, work: Callable[[int], T], ledger: _Ledger[T]) -> None:
    """Keep a bounded window of futures running until the ledger's queue is empty."""
    from distributed import as_completed

    tiles_of: dict[Any, Sequence[int]] = {}
    window = WINDOW * max(1, len(client.nthreads()))
    # loop: inside a Prefect task the default would be the loop of another thread.
    running = as_completed(loop=client.loop)

    def refill() -> None:
        while len(tiles_of) < window and (several := ledger.next()) is not None:
            # pure=False: a second attempt is a new task, not the remembered failure.
            future = client.submit(_attempt, work, several, pure=False)
            tiles_of[future] = several
            running.add(future)

    refill()
    for future in running:
        several = tiles_of.pop(future)
        error = future.exception()  # the worker died, or the cluster lost the task: nobody in it is to blame yet
        outcomes = future.result() if error is None else [Outcome(tile, error=_foreign(error)) for tile in several]
        ledger.settle(outcomes)
        refill()


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
    with (
        dask.config.set(settings),
        LocalCluster(
            n_workers=workers.resolved, threads_per_worker=1, processes=True, host="127.0.0.1",
            dashboard_address="127.0.0.1:0", silence_logs=logging.ERROR, memory_limit=0,
        ) as local,
    ):  # fmt: skip
        yield Workers(workers.resolved, local.scheduler_address)


def refuse_open_scheduler(workers: Workers) -> None:
    """PlanError for a scheduler beyond this machine without TLS: whoever reaches it can run any code on it."""
    address = urlsplit(workers.scheduler or "")
    if address.scheme in ("", "inproc", "tls") or _is_loopback(address.hostname or ""):
        return
    raise PlanError("a Dask scheduler beyond this machine needs TLS", workers.scheduler or "",
                    "start it with TLS, set distributed.comm.tls here and use tls://HOST:PORT",
                    code="OPEN_SCHEDULER")  # fmt: skip


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
            raise PlanError(f"no Dask scheduler answers at {running.scheduler}", str(error),
                            "start it or leave --scheduler out", code="NO_SCHEDULER") from error  # fmt: skip
        with client:
            yield client


def _verdict(failed: dict[int, SRError]) -> SRError:
    error = failed[min(failed)]
    if not error.retryable:
        return error
    named = ", ".join(str(index) for index in sorted(failed)[:8]) + (" ..." if len(failed) > 8 else "")
    verdict = TileError(f"tile {named} failed {RETRIES + 1} times", error.found or error.what,
                        "see the log; run again to redo these tiles only", code=error.code)  # fmt: skip
    verdict.__cause__ = error
    return verdict
