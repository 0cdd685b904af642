"""The command worker: Dask workers as srcore wants them, at a scheduler that is already there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

VISIBLE = "CUDA_VISIBLE_DEVICES"


def worker(
    address: Annotated[str, typer.Argument(help="Of the Dask scheduler: tls://HOST:PORT, or tcp:// on this machine.")],
    count: Annotated[
        int | None, typer.Option(min=1, help="Processes, a core each. Default: all cores, or one on a GPU.")
    ] = None,
    device: Annotated[
        str, typer.Option(metavar="auto|cpu|cuda:N", help="auto: the first GPU, or the cores where there is none.")
    ] = "auto",
    seconds: Annotated[int, typer.Option(min=1, help="End where no scheduler answers for so long.")] = 60,
) -> None:
    """Start workers for tiles on this machine, until Ctrl-C: one thread a process, and the memory settings of srcore.

    They read the same store under the same path as the run that asks them, and show first that their code is the same.
    TLS comes from Dask's own settings (distributed.comm.tls). Of several GPUs each has a command of its own.
    """
    from srcore.dispatch.cluster import ALLOCATOR, THREADS
    from srcore.dispatch.tls import refuse_open_scheduler, refuse_without_tls

    refuse_open_scheduler(address)
    refuse_without_tls(address, "worker")
    gpu = chosen_gpu(device, os.environ)
    processes = count or (len(os.sched_getaffinity(0)) if gpu is None else 1)
    typer.echo(f"{processes} workers on {'CPU' if gpu is None else f'GPU {gpu}'} for {address}, until Ctrl-C", err=True)
    arguments = ["worker", address, "--nworkers", str(processes), "--nthreads", "1", "--memory-limit", "0"]
    # without an address of its own its pages of logs are open to all, also where there is no dashboard
    arguments += ["--no-dashboard", "--dashboard-address", "127.0.0.1:0", "--death-timeout", str(seconds)]
    arguments += [] if gpu is None else ["--resources", "GPU=1"]
    # All are read when a process starts; Dask's nannies hand them on.
    environment = {**os.environ, **THREADS, **ALLOCATOR, VISIBLE: gpu or ""}
    os.execve(sys.executable, [sys.executable, "-m", "dask", *arguments], environment)


def chosen_gpu(device: str, environ: Mapping[str, str], dev: Path = Path("/dev")) -> str | None:
    """The GPU as CUDA names it, among those that this process may see; None: the cores. Bad usage where it is none."""
    if device == "cpu":
        return None
    wanted = re.fullmatch(r"cuda(?::(\d{1,3}))?", device)
    if device != "auto" and wanted is None:
        raise typer.BadParameter(f"{device!r} is none of auto, cpu, cuda and cuda:N", param_hint="--device")
    seen = visible_gpus(environ, dev)
    number = int(wanted[1] or 0) if wanted else 0
    if number < len(seen):
        return seen[number]
    if wanted is None:
        return None
    raise typer.BadParameter(f"{device} is not there: found {len(seen)} GPUs", param_hint="--device")


def visible_gpus(environ: Mapping[str, str], dev: Path) -> list[str]:
    """What CUDA would find, without asking it: that takes seconds."""
    there = sorted((path.name[6:] for path in dev.glob("nvidia*") if path.name[6:].isdigit()), key=int)
    if environ.get(VISIBLE) is None:
        return there
    return [name.strip() for name in environ[VISIBLE].split(",") if name.strip() not in ("", "-1")] if there else []
