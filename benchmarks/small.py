"""What a small scene costs in a night without Prefect, room by room: CPU seconds of the process, all threads.

    python -m benchmarks.small [--scenes 50] [--model srcore-x2-fast nearest-x2] [--side 64] [--json FILE]
    python -m benchmarks.nights --due 100 1000      the same scenes in nights, with Prefect and without

Every figure is exclusive: what is verified inside EXPORT counts as verify, not as export. The first scenes, which
import and open what the others share, are told apart. Scenes run in this process, without workers.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from benchmarks import out
from benchmarks.due import make_due
from benchmarks.meter import Meter, metered
from flows import WAITING

WARM = 5
"""Scenes before the first that counts."""
ROOMS = {
    "plan": ("srcore.run.scene:begin",),
    "ingest": ("srcore.run.scene:_ingest",),
    "network": ("srcore.run.scene:_upscale",),
    "export": ("srcore.run.scene:_export",),
    "verify": ("srcore.storage.cog:verify_cog", "srcore.run.scene:check_verified"),
    "validate": ("srcore.run.scene:_validate",),
    "report": ("srcore.run.scene:_write_page", "srcore.stages.export:paint"),
    "STAC": (
        "srcore.storage.stac.item:build_item",
        "srcore.storage.stac.document:write_item",
        "srcore.storage.stac.document:tag_item",
        "srcore.storage.stac.document:validate_item",
    ),
    "publish": ("srcore.run.scene:publish", "srcore.run.scene:clear_scratch"),
}
"""A room, and the functions that it is."""


def measured(catalog: Path) -> dict[str, Any]:
    """Seconds a scene of a night in which all is due, by room; in a process of its own."""
    from srcore.dispatch import Workers
    from srcore.run.dataset import run_dataset
    from srcore.run.scene import run_scene

    meter, begun = Meter(), list[tuple[float, float]]()

    def run(job: Any) -> Any:
        begun.append((time.process_time(), time.monotonic()))
        if len(begun) == WARM + 1:
            meter.cpu.clear()
            meter.wall.clear()
        return run_scene(job, Workers(0))

    with metered(meter, ROOMS):
        ended = run_dataset(catalog, "many", run)
        now = (time.process_time(), time.monotonic())
    if bad := [one for one in ended if not one.ok]:
        raise SystemExit(bad[0].message)
    count = len(begun) - WARM
    cpu, wall = ((now[axis] - begun[WARM][axis]) / count for axis in (0, 1))
    rooms = {room: meter.cpu[room] / count for room in ROOMS}
    first = begun[WARM][0] / WARM
    rooms["rest"] = cpu - sum(rooms.values())
    return {"scenes": count, "cpu_s": cpu, "wall_s": wall, "first_cpu_s": first, "rooms": rooms}


def run(models: Sequence[str], scenes: int = 50, side: int = 64) -> list[dict[str, Any]]:
    """The figures of each model, in a process of its own each."""
    found = []
    for model in models:
        with tempfile.TemporaryDirectory() as name:
            catalog = make_due(Path(name).resolve(), scenes + WARM, (1, side, side), model)
            command = [sys.executable, "-m", "benchmarks.small", "--one", str(catalog)]
            env = {**WAITING, **os.environ}  # as any process of the command line or of a flow has it
            told = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=env).stdout
        found.append({"model": model, "side": side, **json.loads(told.splitlines()[-1])})
    return found


def table(figures: Sequence[dict[str, Any]]) -> Table:
    """For people: CPU ms."""
    result = Table("CPU ms a scene", *[one["model"] for one in figures])
    for room in (*ROOMS, "rest"):
        result.add_row(room, *[f"{1e3 * one['rooms'][room]:.1f}" for one in figures])
    result.add_row("all in", *[f"{1e3 * one['cpu_s']:.1f}" for one in figures])
    result.add_row("wall", *[f"{1e3 * one['wall_s']:.1f}" for one in figures])
    result.add_row(f"each of the first {WARM}, imports", *[f"{1e3 * one['first_cpu_s']:.0f}" for one in figures])
    return result


def main() -> None:
    """Print the table; write the figures where asked."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.small", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=50)
    parser.add_argument("--model", nargs="+", default=["srcore-x2-fast", "nearest-x2"])
    parser.add_argument("--side", type=int, default=64)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(measured(given.one)) + "\n")
        return
    figures = run(given.model, given.scenes, given.side)
    out.print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores", table(figures))
    if given.json:
        given.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
