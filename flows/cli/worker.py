"""The command worker: Dask workers as srcore wants them, at a scheduler that is already there."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer


def worker(
    address: Annotated[str, typer.Argument(help="Of the Dask scheduler: tls://HOST:PORT, or tcp:// on this machine.")],
    count: Annotated[int | None, typer.Option(min=1, help="Processes, a core each. Default: all cores.")] = None,
    seconds: Annotated[int, typer.Option(min=1, help="End where no scheduler answers for so long.")] = 60,
) -> None:
    """Start workers for tiles on this machine, until Ctrl-C: one thread a process, and the memory settings of srcore.

    They read the same store under the same path as the run that asks them, and show first that their code is the same.
    TLS comes from Dask's own settings (distributed.comm.tls).
    """
    from srcore.dispatch.cluster import ALLOCATOR, THREADS, Workers, refuse_open_scheduler

    refuse_open_scheduler(Workers(scheduler=address))
    processes = count or len(os.sched_getaffinity(0))
    typer.echo(f"{processes} workers for {address}, until Ctrl-C", err=True)
    arguments = ["worker", address, "--nworkers", str(processes), "--nthreads", "1", "--memory-limit", "0"]
    arguments += ["--no-dashboard", "--death-timeout", str(seconds)]
    # Both are read when a process starts; Dask's nannies hand them on.
    os.execve(sys.executable, [sys.executable, "-m", "dask", *arguments], {**os.environ, **THREADS, **ALLOCATOR})
