"""The whole path on large scenes: wall time of each stage and the peak RSS of every process.

    python -m benchmarks.pipeline            memory: 8,192 x 8,192 x 2 against 2,048 x 2,048 x 2, null generator
    python -m benchmarks.pipeline --workers  one worker against two, srcore-x2, 4,096 x 4,096, and two cores against one

Every run is a process of its own (`srcore upscale`), watched from outside.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from statistics import median
from typing import Any

import psutil
from rich.table import Table

from benchmarks import out
from srcore.samples import make_large

POLL_S = 0.02
PASSES = 60
"""Convolutions of 48 channels over 512 x 512 pixels, 0.6 TFLOP in all: what a core's own speed is measured by."""


def watch(command: list[str], environment: dict[str, str] | None = None) -> tuple[float, dict[int, tuple[str, int]]]:
    """Run a command; gives its wall time in seconds and the peak RSS in bytes of every process of it, by pid.

    The peak is the kernel's own high-water mark, read while the process lives.
    """
    started = time.monotonic()
    process = psutil.Popen(command, stdout=subprocess.DEVNULL, env={**os.environ, **(environment or {})})
    peaks: dict[int, tuple[str, int]] = {}
    while process.poll() is None:
        for one in [process, *_children(process)]:
            peak = _high_water(one.pid)
            if peak > peaks.get(one.pid, ("", 0))[1]:
                peaks[one.pid] = (_role(one), peak)
        time.sleep(POLL_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    return time.monotonic() - started, peaks


def _children(process: psutil.Process) -> list[psutil.Process]:
    try:
        return list(process.children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _high_water(pid: int) -> int:
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


def _role(process: psutil.Process) -> str:
    try:
        command = " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "gone"
    if "spawn_main" in command:
        return "worker"
    return "main" if "flows.cli" in command else "helper"


def upscale(source: Path, output: Path, *options: str) -> tuple[float, dict[str, int], dict[str, float]]:
    """`srcore upscale`: wall seconds, largest peak RSS in bytes by role, and seconds of every stage."""
    seconds, peaks = watch([sys.executable, "-m", "flows.cli", "upscale", str(source), str(output), *options])
    largest: dict[str, int] = defaultdict(int)
    for role, peak in peaks.values():
        largest[role] = max(largest[role], peak)
    receipt = json.loads((output.parent / f"{output.stem}.receipt.json").read_text())
    return seconds, dict(largest), receipt["seconds"]


def memory(sides: tuple[int, ...] = (2048, 8192)) -> list[dict[str, Any]]:
    """One row a side: peak RSS of the process that runs all stages, and the time of each."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for side in sides:
            source = Path(folder) / f"large-{side}.tif"
            make_large(source, side, bands=2)
            # in one process: with workers a scene of four tiles never has them all busy, a large one does
            options = ("--model", "nearest-x2", "--workers", "0", "--tile", "512")
            seconds, peaks, stages = upscale(source, Path(folder) / f"sr-{side}.tif", *options)
            rows.append({"side": side, "seconds": seconds, "peak_bytes": peaks, "stages_s": stages})
            source.unlink()
    return rows


def workers(side: int = 4096, rounds: int = 2) -> dict[str, Any]:
    """Seconds of UPSCALE and of all stages with one worker and with two, and of one convolution on as many cores.

    In turns; workers are up, as in a night: processes start and load torch and the model for the first scene, which is
    not measured. The convolution is timed before and behind each night: a machine that others share has slow minutes.
    """
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_large(Path(folder) / "first.tif", 512, bands=1)
        make_large(Path(folder) / "scene.tif", side, bands=1)
        for count in (1, 2) * rounds:
            command = [sys.executable, "-m", "benchmarks.pipeline", "--night", str(count), folder]
            before = convolve_at_once(count)
            found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout.splitlines()[-1])
            rows.append({"workers": count, "convolution_s": (before + convolve_at_once(count)) / 2, **found})
    return {"side": side, "rows": rows}


def convolve_at_once(count: int) -> float:
    """Seconds that so many processes of one thread need for the same convolutions each, begun at once; the slowest."""
    context = multiprocessing.get_context("spawn")
    begin, taken = context.Barrier(count), context.SimpleQueue()
    processes = [context.Process(target=_convolve, args=(begin, taken)) for _ in range(count)]
    for process in processes:
        process.start()
    slowest = max(taken.get() for _ in processes)
    for process in processes:
        process.join()
    return float(slowest)


def _convolve(begin: Barrier, taken: SimpleQueue[float]) -> None:
    import torch

    torch.set_num_threads(1)
    weights, image = torch.rand(48, 48, 3, 3), torch.rand(1, 48, 512, 512)
    with torch.inference_mode():
        torch.nn.functional.conv2d(image, weights)
        begin.wait()
        started = time.monotonic()
        for _ in range(PASSES):
            torch.nn.functional.conv2d(image, weights)
        taken.put(time.monotonic() - started)


def night(count: int, folder: Path) -> dict[str, float]:
    """Two scenes through one cluster of so many workers; seconds of the second, and how long the first one took."""
    from srcore.dispatch import Workers, cluster
    from srcore.run.direct import direct_job
    from srcore.run.scene import run_scene

    taken = []
    with cluster(Workers(count)) as running:
        for scene, tile in (("first", 128), ("scene", None)):
            started = time.monotonic()
            job = direct_job(str(folder / f"{scene}.tif"), folder / f"{scene}-sr.tif", tile=tile, overwrite=True)
            receipt = run_scene(job, running)
            taken.append(time.monotonic() - started)
    assert receipt is not None
    return {"first_s": taken[0], "seconds": taken[1], "upscale_s": receipt.seconds["upscale"]}


def memory_table(rows: list[dict[str, Any]]) -> Table:
    """For people; the last row is the ratio of the largest to the smallest scene."""
    stages = list(rows[0]["stages_s"])
    result = Table(
        "scene",
        "peak MiB",
        "wall s",
        *(f"{stage} s" for stage in stages),
        title="null generator, 2 bands uint16, one process",
    )
    for row in rows:
        result.add_row(
            f"{row['side']}^2",
            f"{row['peak_bytes']['main'] / 2**20:.0f}",
            f"{row['seconds']:.1f}",
            *(f"{row['stages_s'][stage]:.1f}" for stage in stages),
        )
    result.add_row("ratio", f"{rows[-1]['peak_bytes']['main'] / rows[0]['peak_bytes']['main']:.2f}")
    return result


def workers_table(figures: dict[str, Any]) -> Table:
    """For people; the last row is what two workers do of what two cores can."""
    side = f"{figures['side']:,}"
    keys = ("convolution_s", "upscale_s", "seconds")
    title = f"srcore-x2, one band of {side} x {side}, workers up"
    result = Table("workers", "convolution alone s", "upscale s", "all stages s", title=title)
    for row in figures["rows"]:
        result.add_row(str(row["workers"]), *(f"{row[key]:.1f}" for key in keys))
    one, two = ([row for row in figures["rows"] if row["workers"] == count] for count in (1, 2))
    once, upscale, stages = (median(row[key] for row in one) / median(row[key] for row in two) for key in keys)
    machine = 2 * once
    result.add_row("2 against 1", *(f"{ratio:.2f}" for ratio in (machine, upscale, stages)))
    result.add_row("of the machine's own", "1", *(f"{ratio / machine:.2f}" for ratio in (upscale, stages)))
    return result


if __name__ == "__main__":
    if "--night" in sys.argv:
        print(json.dumps(night(int(sys.argv[2]), Path(sys.argv[3]))))
    elif "--workers" in sys.argv:
        out.print(workers_table(workers()))
    else:
        out.print(memory_table(memory()))
