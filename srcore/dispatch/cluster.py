"""Where tiles run: this process, processes of this machine, or workers that somebody started at a scheduler."""

from __future__ import annotations

import ctypes
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING

from srcore.dispatch.tls import ENCRYPTED, refuse_open_scheduler, refuse_without_tls
from srcore.errors import PlanError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

CONNECT = "10s"
"""A scheduler that does not answer for so long is not there."""
THREADS = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GDAL_NUM_THREADS"), "1")
"""A worker is one core."""
ALLOCATOR = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**30), "MALLOC_TOP_PAD_": str(2**26)}
"""Measured: with glibc's defaults page faults slow tiles of 512 pixels 1.8 times. Read when a process starts."""
MALLOPT = {"MALLOC_MMAP_MAX_": -4, "MALLOC_TRIM_THRESHOLD_": -1, "MALLOC_TOP_PAD_": -2, "MALLOC_ARENA_MAX": -8}
"""The same for a process that runs: numbers of malloc.h."""
ONE_ARENA = {"MALLOC_ARENA_MAX": "1"}
"""For the process of a flow: with an arena for each thread of EXPORT or of VALIDATE a third more memory was kept. A
worker, which only computes, has 100 MiB less with several."""
SMALL_VALUES = 2**22
"""LR pixels times bands that are done before worker processes are up: 16 s of one core by the default model."""


@dataclass(frozen=True)
class Workers:
    """Where tiles run."""

    count: int | None = None
    """Processes of a local cluster; None is one a core, 0 is this process."""
    scheduler: str | None = None
    """Address of a running Dask scheduler; then `count` means nothing."""
    ours: bool = False
    """Whether this process started them: then they run what it runs."""

    @property
    def resolved(self) -> int:
        """Processes on this machine, or those that somebody started at the scheduler."""
        return len(os.sched_getaffinity(0)) if self.count is None else self.count

    @property
    def is_here(self) -> bool:
        """Whether tiles run in this process."""
        return self.scheduler is None and self.resolved == 0

    def worth(self, values: int) -> Workers:
        """These, for a scene of its own of so many `values`; for a small one this process, where nobody asked for any.

        Processes take 5 s to start, mostly the import of torch.
        """
        small = self.count is None and self.scheduler is None and values <= SMALL_VALUES
        return Workers(0) if small else self


@cache
def keep_memory() -> None:
    """Give this process the allocator of a worker, before tiles run in it; what its environment says of it stays.

    Freed memory is kept for the next tile instead of being given back and faulted in again: a fifth of the CPU. For
    processes of srcore's own: a library leaves its caller's allocator alone.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:  # musl has none
        for name, value in (ALLOCATOR | ONE_ARENA).items():
            if name not in os.environ:
                mallopt(MALLOPT[name], int(value))


@contextmanager
def cluster(workers: Workers) -> Iterator[Workers]:
    """Workers that stay for several scenes: a local cluster started once, on loopback, closed at the end.

    Single-threaded processes, one a core. Gives `workers` itself where there is a scheduler, or none is wanted.
    """
    if workers.scheduler is not None or workers.is_here:
        yield workers
        return
    import dask
    from distributed import LocalCluster

    settings = {
        "distributed.nanny.pre-spawn-environ": {**THREADS, **ALLOCATOR},
        "distributed.scheduler.allowed-failures": 1,
        "distributed.worker.memory.target": False,  # tiles are small and results are numbers: nothing to spill
        "distributed.worker.memory.spill": False,
        ENCRYPTED: False,  # on loopback, among processes of one user
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
            yield Workers(workers.resolved, local.scheduler_address, ours=True)
        finally:
            close_cluster(partial(local.__exit__, None, None, None))


def close_cluster(close: Callable[[], object]) -> None:
    """End a local cluster. On a busy machine a worker may take longer to die than Dask waits: that fails no run."""
    try:
        close()
    except TimeoutError as error:  # they are daemons of this process, and end with it
        log.warning("the workers did not end in time: %s", str(error) or "no answer")


@contextmanager
def client_of(workers: Workers, tasks: int) -> Iterator[tuple[Client, Workers]]:
    """A client of the running scheduler, or of a local cluster of no more workers than tasks; and those workers.

    PlanError NO_SCHEDULER, NO_TLS or OPEN_SCHEDULER.
    """
    from distributed import Client

    refuse_open_scheduler(workers.scheduler or "")
    refuse_without_tls(workers.scheduler or "")
    with cluster(replace(workers, count=min(workers.resolved, tasks))) as running:
        try:
            client = Client(running.scheduler, timeout=CONNECT, set_as_default=False)
        except (OSError, TimeoutError, ValueError) as error:
            raise PlanError(
                f"no Dask scheduler answers at {running.scheduler}",
                str(error).splitlines()[0] if str(error) else type(error).__name__,
                "start it, or leave --scheduler out; a scheduler with TLS answers at tls:// alone, and to "
                "certificates of its own authority",
                code="NO_SCHEDULER",
            ) from error
        with client:
            yield client, running
