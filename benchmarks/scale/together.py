"""What fetching results of Dask's workers together is worth: `python -m benchmarks.scale.together [--workers 16]`.

The same tasks that only wait, by turns one result a request and up to as many as srcore.dispatch takes: seconds of the
clock, and CPU milliseconds of the flow's process a task.
"""

from __future__ import annotations

import argparse
import os
import time
from unittest import mock

from benchmarks.scale.simulated import cluster_of
from srcore import dispatch

PAUSE_S = 0.2
ROUNDS = 12


def pause(tile: int) -> int:
    """A task in which no core works."""
    time.sleep(PAUSE_S)
    return tile


def passed(address: str, tasks: int, together: int) -> tuple[float, float]:
    """Seconds of the clock and CPU seconds of this process, of so many tasks."""
    done: list[int] = []
    wall, cpu = time.monotonic(), time.process_time()
    with mock.patch.object(dispatch, "TOGETHER", together):
        dispatch.run_tiles(dispatch.each(pause), range(tasks), dispatch.Workers(scheduler=address), done.append)
    if sorted(done) != list(range(tasks)):
        raise SystemExit(f"{len(done)} of {tasks} tasks came")
    return time.monotonic() - wall, time.process_time() - cpu


def main() -> None:
    """Print a line a pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scale.together")
    parser.add_argument("--workers", type=int, default=16)
    parser.add_argument("--passes", type=int, default=3)
    given = parser.parse_args()
    tasks = ROUNDS * given.workers
    with cluster_of(given.workers) as cluster:
        passed(cluster.address, given.workers, 1)  # imports
        for together in (1, dispatch.TOGETHER) * given.passes:
            wall, cpu = passed(cluster.address, tasks, together)
            told = f"{wall:.1f} s, {1e3 * cpu / tasks:.1f} CPU ms a task, load {os.getloadavg()[0]:.0f}"
            print(f"{tasks} tasks of {PAUSE_S} s on {given.workers} workers, {together} results a request: {told}")


if __name__ == "__main__":
    main()
