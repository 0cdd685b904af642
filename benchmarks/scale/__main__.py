"""A night of 100,000 scenes, and a raster of a terapixel, on 200 workers: how long, and where it breaks first.

    python -m benchmarks.scale [--as-written] [--workers 8 32] [--rounds 4] [--pause 2] [--no-simulation] [--json FILE]
    python -m benchmarks.scale --as-written --workers 8 200 --process 20 --null --pause 8 --flows 20     200 workers

Scenes of tiles that take a pause longer (--null: that are nothing else) are done by so many workers of a Dask
scheduler, and compared with the model; --flows plays a night of so many flows on the last of them. Then units are
measured (a minute or two on a free machine; --as-written takes those that stand in the model), and it is printed.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.scale.model import Night, Units, busy_seconds, first, flows_wanted, memory_mb, seconds
from benchmarks.scale.played import Played, night_of, play
from benchmarks.scale.simulated import WORKERS_A_PROCESS, Cluster, Cost, Run, cluster_of, simulate

out = Console(soft_wrap=True, highlight=False, width=120)
WORKERS = (1, 20, 200)
SCENES = (1_000, 10_000, 100_000)
TILES = (1, 1_000, 1_000_000)
LARGE, SMALL_PX = 16, 64**2
"""Tiles of a large scene, 4096 x 4096; pixels of a small one."""
GRANULES, GRANULE_TILES = 8_293, 115
"""A terapixel of one band, cut as Sentinel-2's is: scenes of 10,980 x 10,980."""


def nights() -> dict[str, list[Night]]:
    """What the tables show."""
    large = [Night(scenes, LARGE, workers) for scenes in SCENES for workers in WORKERS]
    small = [Night(scenes, 1, workers, SMALL_PX) for scenes in SCENES for workers in WORKERS]
    raster = [Night(1, tiles, workers) for tiles in TILES for workers in WORKERS]
    granules = [Night(GRANULES, GRANULE_TILES, workers) for workers in WORKERS]
    return {
        "scenes of 16 tiles": large,
        "scenes of 64 x 64": small,
        "one raster": raster,
        "a terapixel in scenes of 115 tiles": granules,
    }


def cut(units: Units, night: Night) -> Night:
    """The same archive in as many flows as keep its workers busy, and in each of them two scenes at once."""
    flows = flows_wanted(units, night)
    return replace(night, flows=flows, beside=min(night.scenes, 2 * flows + 2 * night.workers // night.tiles))


def table(units: Units, title: str, shown: Sequence[Night]) -> Table:
    """For people."""
    heads = ("workers", "hours", "first", "workers busy", "flow's MB", "flows wanted", "hours then", "first then")
    result = Table("scenes", "tiles", *heads, title=title)
    for night in shown:
        took, busy, then = seconds(units, night), busy_seconds(units, night), cut(units, night)
        result.add_row(
            f"{night.scenes:,}",
            f"{night.tiles:,}",
            str(night.workers),
            _hours(took),
            first(units, night),
            f"{100 * busy['workers'] / took:.1f} %",
            f"{memory_mb(units, night):,.0f}",
            str(then.flows),
            _hours(seconds(units, then)),
            first(units, then),
        )
    return result


def _hours(took: float) -> str:
    return f"{took / 3600:.3g}"


def main() -> None:
    """Print the tables; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scale", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--as-written", action="store_true", help="measure no units")
    parser.add_argument("--workers", type=int, nargs="+", default=[8, 32])
    parser.add_argument("--rounds", type=int, default=4, help="tiles a worker")
    parser.add_argument("--pause", type=float, default=2.0, help="seconds of a tile in which no core works")
    parser.add_argument("--process", type=int, default=WORKERS_A_PROCESS, help="workers that one process plays")
    parser.add_argument("--null", action="store_true", help="tiles that only wait")
    parser.add_argument("--flows", type=int, default=0, help="play a night of so many flows; 0: none")
    parser.add_argument("--scenes", type=int, default=6, help=f"scenes of {LARGE} tiles, of each of these flows")
    parser.add_argument("--no-simulation", action="store_true")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    runs: list[Run] = []
    nights_played: list[Played] = []
    for count in [] if given.no_simulation else given.workers:
        with cluster_of(count, given.process) as cluster:
            # the first run gives the units that the others are predicted by
            runs.append(_simulated(cluster, given, runs[0] if runs else None))
            if given.flows and count == given.workers[-1]:
                nights_played = _played(cluster, given.flows, given.scenes)
    units = Units() if given.as_written else _measured()
    if runs:
        units = _with(units, runs[-1])
    out.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", asdict(units))
    for title, shown in nights().items():
        out.print(table(units, title, shown))
    if given.json:
        told = {"units": asdict(units), "simulated": [*map(asdict, runs)], "played": [*map(asdict, nights_played)]}
        given.json.write_text(json.dumps(told, indent=1) + "\n")


def _measured() -> Units:
    from benchmarks.scale.units import measured

    return measured(out.print)


def _simulated(cluster: Cluster, given: argparse.Namespace, units: Run | None) -> Run:
    run = simulate(cluster, given.rounds, given.pause, null=given.null)
    count, task, ask, model_s = run.workers, run.task, run.ask, run.predicted(units or run)
    out.print(
        f"{count} workers, {run.tiles} null tiles: {run.all.wall:.1f} s, model {model_s:.1f} s, "
        f"ratio {run.all.wall / model_s:.2f}; {run.tiles / run.quick.wall:.0f} tasks a second without pauses; "
        f"CPU ms a task: flow {1e3 * task.flow:.1f}, scheduler {1e3 * task.scheduler:.1f}, "
        f"worker {1e3 * task.workers:.1f}; idle: {_cores(run.idle)}; "
        f"start {run.start.wall:.2f} s (flow's CPU {run.start.flow:.2f}); "
        f"asked: scheduler {1e3 * ask.scheduler / count:.1f} ms a worker; {run.cores:.2f} cores, load {run.load:.0f}"
    )
    return run


def _played(cluster: Cluster, flows: int, scenes: int) -> list[Played]:
    """Nights of one flow, and of so many."""
    found = []
    for count in sorted({1, flows}):
        played = play(cluster, night_of(cluster.workers, count, scenes, LARGE), Units())
        found.append(played)
        night, cost = played.night, played.cost
        out.print(
            f"{count} flows, {night.scenes} scenes of {night.tiles} tiles, {night.workers} workers: {cost.wall:.0f} s, "
            f"model {played.model_s:.0f} s ({played.first} first), ratio {cost.wall / played.model_s:.2f}; workers "
            f"busy {100 * played.workers_busy:.0f} %; {_cores(cost)}; load {played.load:.0f}"
        )
    return found


def _cores(cost: Cost) -> str:
    """What everybody spends, as shares of a core."""
    of = {"scheduler": cost.scheduler, "flow": cost.flow, "workers": cost.workers}
    return ", ".join(f"{name} {100 * cpu / cost.wall:.0f} %" for name, cpu in of.items()) + " of a core"


def _with(units: Units, run: Run) -> Units:
    """The units of the dispatcher as they were found by a simulation."""
    return replace(
        units,
        task_flow_s=run.task.flow,
        task_scheduler_s=run.task.scheduler,
        start_s=run.start.flow,
        ask_s=run.ask.scheduler / run.workers,
    )


if __name__ == "__main__":
    main()
