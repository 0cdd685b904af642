"""The simulation: many workers of a Dask scheduler that do null tiles for srcore's dispatcher, against the model.

Scheduler and workers are processes of their own, as on a cluster: the flow asks them what they run, and binds tasks to
them. A worker's machine is played by one process with several workers. A tile is a real one (read, nearest, written,
marked) that takes `pause` seconds longer, in which no core works, or nothing but that pause: so two cores play many
workers. What workers do when they do nothing is slowed (QUIET), but for their heartbeats, and taken off.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import astuple, dataclass
from functools import partial
from math import ceil
from pathlib import Path
from typing import Any

from benchmarks.due import make_due
from benchmarks.scale.units import free_port, planned
from srcore.overlap import Done

WORKERS_A_PROCESS = 8
TILE = 32
STARTED_S = 300
IDLE_S = 5.0
"""How long it is looked at what a cluster costs that does nothing."""
_DASK = "DASK_DISTRIBUTED__"
QUIET = {
    f"{_DASK}WORKER__PROFILE__ENABLED": "False",
    f"{_DASK}ADMIN__TICK__INTERVAL": "5s",
    f"{_DASK}ADMIN__TICK__CYCLE": "60s",
    f"{_DASK}ADMIN__TICK__LIMIT": "1h",
    f"{_DASK}ADMIN__SYSTEM_MONITOR__INTERVAL": "60s",
    f"{_DASK}ADMIN__SYSTEM_MONITOR__GIL__ENABLED": "False",
}
"""Of one process with many workers: by Dask's defaults each of them looks at itself 50 times a second."""


@dataclass(frozen=True)
class Cost:
    """Seconds of a pass: of the clock, and CPU of the flow's process, of the scheduler, and of all workers."""

    wall: float
    flow: float
    scheduler: float
    workers: float

    def __sub__(self, other: Cost) -> Cost:
        return Cost(*(end - start for end, start in zip(astuple(self), astuple(other), strict=True)))

    def without(self, idle: Cost) -> Cost:
        """The same without what the cluster costs anyway, `idle` a second."""
        of = (max(0.0, cpu - rate * self.wall) for cpu, rate in zip(astuple(self)[1:], astuple(idle)[1:], strict=True))
        return Cost(self.wall, *of)


@dataclass(frozen=True)
class Run:
    """What one simulated scene took."""

    workers: int
    tiles: int
    pause: float
    idle: Cost
    """Of a second in which nothing is to be done: heartbeats. It is taken off from what follows."""
    start: Cost
    """Of a scene of one tile: the connection, the question to two workers, and the tile."""
    ask: Cost
    """Of the question to all workers."""
    quick: Cost
    """Of the scene without pauses: what its tasks cost."""
    all: Cost
    """Of the scene."""
    load: float

    @property
    def task(self) -> Cost:
        """Of a tile, a task each, beyond the start."""
        return Cost(*(max(0.0, of) / self.tiles for of in astuple(self.quick - self.start)))

    @property
    def cores(self) -> float:
        """Of the machine, that the pass without pauses got: others work there, too."""
        spent = self.quick.flow + self.quick.scheduler + self.quick.workers
        return spent / self.quick.wall

    def predicted(self, units: Run) -> float:
        """Seconds of the clock that the model has for it: tasks cost what they do in `units`, another run."""
        task = units.task
        core_s = (task.flow + task.scheduler + task.workers) / self.cores
        return self.start.wall + self.tiles / rate(self.workers, self.pause, core_s)


def rate(workers: int, pause: float, core_s: float) -> float:
    """Tiles a second of so many workers who pause, and then wait for one station that has `core_s` for each.

    The model's two bounds with the queue between them: exact mean value analysis of a closed network.
    """
    found = waiting = 0.0
    for there in range(1, workers + 1):
        answer_s = core_s * (1 + waiting)
        found = there / (pause + answer_s)
        waiting = found * answer_s
    return found


def slowly(pause: float, plan: Path, tiles: Sequence[int]) -> Iterator[Done[Any]]:
    """`upscale_tiles`, each tile so much longer."""
    from srcore.stages.upscale import upscale_tiles

    for done in upscale_tiles(plan, tiles):
        time.sleep(pause)
        yield done


def waits(pause: float, tiles: Sequence[int]) -> Iterator[Done[Any]]:
    """Null tiles: a pause each, and nothing else."""
    for tile in tiles:
        time.sleep(pause)
        yield Done(tile, result=tile)


async def _work(address: str, count: int) -> None:
    from distributed import Worker

    alone: dict[str, Any] = {"nthreads": 1, "memory_limit": 0, "dashboard": False, "host": "127.0.0.1"}
    there = await asyncio.gather(*[Worker(address, **alone) for _ in range(count)])
    await asyncio.gather(*[worker.finished() for worker in there])


@dataclass(frozen=True)
class Cluster:
    """A scheduler with workers, on loopback."""

    workers: int
    address: str
    scheduler: subprocess.Popen[bytes]
    hosts: Sequence[subprocess.Popen[bytes]]
    """The processes of the workers."""

    def cost(self, call: Callable[[], None]) -> Cost:
        """What everybody spends while `call` runs."""
        before = self._now()
        call()
        return self._now() - before

    def _now(self) -> Cost:
        return Cost(time.monotonic(), time.process_time(), _cpu_s(self.scheduler), sum(map(_cpu_s, self.hosts)))


@contextmanager
def cluster_of(workers: int, a_process: int = WORKERS_A_PROCESS) -> Iterator[Cluster]:
    """A scheduler with so many workers, several a process."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    with ExitStack() as ended:
        scheduler = _begin("dask", "scheduler", "--host", "127.0.0.1", "--port", str(port), "--no-dashboard")
        ended.callback(_end, scheduler)
        hosts = []
        for start in range(0, workers, a_process):
            count = min(a_process, workers - start)
            hosts.append(_begin("benchmarks.scale.simulated", address, str(count)))
            ended.callback(_end, hosts[-1])
        _wait_for(address, workers)
        yield Cluster(workers, address, scheduler, hosts)


def _begin(*module: str) -> subprocess.Popen[bytes]:
    """A process of a module and its arguments, that says nothing."""
    quiet = subprocess.DEVNULL
    single = {**os.environ, **QUIET, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-m", *module], stdout=quiet, stderr=quiet, env=single)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for(address: str, workers: int) -> None:
    from distributed import Client

    ends = time.monotonic() + STARTED_S
    while True:
        try:
            client = Client(address, timeout="5s", set_as_default=False)  # type: ignore[no-untyped-call]
        except (OSError, TimeoutError):
            if time.monotonic() > ends:
                raise
            continue
        with client:
            client.wait_for_workers(workers, timeout=STARTED_S)
        return


def _cpu_s(process: subprocess.Popen[bytes]) -> float:
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def simulate(cluster: Cluster, rounds: int, pause: float, *, null: bool = False) -> Run:
    """One scene of `rounds` tiles a worker; `null`: tiles that only wait."""
    workers, address, cost = cluster.workers, cluster.address, cluster.cost
    side = ceil((workers * rounds) ** 0.5) * TILE
    with tempfile.TemporaryDirectory() as name:
        plan = planned(make_due(Path(name).resolve(), 1, (1, side, side), "nearest-x2"), TILE)

        def scene(tiles: Sequence[int], pause: float) -> None:
            _pass(partial(waits, pause) if null else partial(slowly, pause, plan), plan, address, tiles)

        scene(range(workers), 0.0)  # imports, the engine
        slept = cost(lambda: time.sleep(IDLE_S))
        idle = Cost(*(of / slept.wall for of in astuple(slept)))
        start = cost(lambda: scene(range(1), 0.0)).without(idle)
        ask = cost(lambda: _ask(plan, address, workers)).without(idle)
        tiles = range(workers * rounds)
        quick = cost(lambda: scene(tiles, 0.0)).without(idle)
        took = cost(lambda: scene(tiles, pause)).without(idle)
    return Run(workers, len(tiles), pause, idle, start, ask, quick, took, os.getloadavg()[0])


def _ask(plan: Path, address: str, workers: int) -> None:
    from distributed import Client

    from srcore.dispatch.crew import Crew

    with Client(address, set_as_default=False) as client:  # type: ignore[no-untyped-call]
        there = Crew(client, ours=False, shared=plan, most=workers).look()
    if len(there) != workers:
        raise SystemExit(f"{len(there)} of {workers} workers may do tiles")


def _pass(work: Callable[[Sequence[int]], Iterator[Done[Any]]], plan: Path, address: str, tiles: Sequence[int]) -> None:
    from srcore.dispatch import Workers, run_tiles

    done: list[Any] = []
    run_tiles(work, tiles, Workers(scheduler=address), done.append, shared=plan)
    if len(done) != len(tiles):
        raise SystemExit(f"{len(done)} of {len(tiles)} tiles came")


if __name__ == "__main__":
    asyncio.run(_work(sys.argv[1], int(sys.argv[2])))
