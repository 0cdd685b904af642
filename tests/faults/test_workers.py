"""kill -9 of what computes: a worker three times, the scheduler, the process of a poison tile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import psutil
import pytest

import srcore.stages.upscale
from srcore.dispatch import Workers, cluster, each, run_tiles
from srcore.errors import StoreError, TileError
from srcore.run.dataset import run_dataset
from srcore.run.direct import direct_job
from srcore.run.scene import run_scene, scene_runner
from tests.conftest import ROOT
from tests.faults import archive
from tests.faults.conftest import Injected


def work(folder: Path, poison: frozenset[int], tile: int) -> int:
    """Takes a while; a poison tile ends the process that computes it."""
    with open(folder / f"pid-{os.getpid()}", "a") as note:
        note.write(f"{tile}\n")
    if tile in poison:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.05)
    return tile


def test_a_worker_is_killed_three_times_in_one_run(tmp_path: Path, injected: Injected) -> None:
    results: list[int] = []
    killed: set[int] = set()

    def arrived(tile: int) -> None:
        results.append(tile)
        if len(results) % 12 == 0 and len(killed) < 3:
            living = [int(path.name[4:]) for path in tmp_path.glob("pid-*") if psutil.pid_exists(int(path.name[4:]))]
            victim = next(pid for pid in living if pid not in killed)
            killed.add(victim)
            os.kill(victim, signal.SIGKILL)

    run_tiles(each(partial(work, tmp_path, frozenset())), range(64), Workers(2), arrived)
    assert len(killed) == 3
    injected("Dask worker killed", 3, [] if sorted(results) == list(range(64)) else [f"tiles {results}"])


def test_a_poison_tile_is_named_and_its_neighbours_finish(tmp_path: Path, injected: Injected) -> None:
    results: list[int] = []
    with cluster(Workers(2)) as running:
        tiles = partial(work, tmp_path, frozenset({5, 11}))
        with pytest.raises(TileError, match=r"tile 5, 11 ends its worker, each time.*KilledWorker") as caught:
            run_tiles(each(tiles), range(24), running, results.append, batch=lambda left, there: 3)
    assert caught.value.code == "TILE_KILLED"
    assert caught.value.tiles == (5, 11)
    injected("poison tile", 2, [] if sorted(results) == sorted(set(range(24)) - {5, 11}) else [f"tiles {results}"])


def test_a_scene_with_a_poison_tile_is_quarantined_and_its_neighbours_are_done(
    catalog: Path, tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    poisoned = partial(_poisoned, srcore.stages.upscale.upscale_tiles, 3)
    monkeypatch.setattr(srcore.stages.upscale, "upscale_tiles", poisoned)
    archive.write_scene(tmp_path / "in" / "small.tif", shape=(24, 24))
    with scene_runner(Workers(1)) as run:
        in_blocks = lambda job: run(replace(job, block=archive.BLOCK))  # noqa: E731
        outcomes = {outcome.scene: outcome for outcome in run_dataset(catalog, archive.DATASET, in_blocks)}
    assert outcomes["small"].ok
    assert outcomes["scene"].code == "TILE_KILLED"
    record = json.loads((tmp_path / "store/fields/quarantine/scene.json").read_text())
    assert record["tiles"] == [3]
    assert record["retryable"]
    done = {path.stem for path in (tmp_path / "store/fields/.scratch/scene").glob("*/done/*.json")}
    assert done == {"0", "1", "2", "4", "5"}
    injected("poison tile in a scene", 1, [name for name in archive.published(tmp_path) if "products/scene/" in name])
    monkeypatch.undo()
    assert all(outcome.ok for outcome in archive.run(catalog))


def _poisoned(upscale_tiles: Any, poison: int, plan_path: Path, tiles: Sequence[int]) -> Any:
    if poison in tiles and "scratch/scene" in str(plan_path):
        os.kill(os.getpid(), signal.SIGKILL)
    return upscale_tiles(plan_path, tiles)


@contextmanager
def dask_cluster(folder: Path, workers: int) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    """A scheduler and workers of their own, on loopback; gives the address and the scheduler's process."""
    file = folder / "scheduler.json"
    dask = [sys.executable, "-m", "dask"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    options = ["--host", "127.0.0.1", "--port", "0", "--scheduler-file", str(file), "--no-dashboard", "--no-show"]
    scheduler = subprocess.Popen([*dask, "scheduler", *options], **quiet)
    processes = [scheduler]
    try:
        for _ in range(300):
            if file.exists() and file.stat().st_size:
                break
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        worker = ["worker", address, "--no-dashboard", "--no-nanny", "--nthreads", "1", "--host", "127.0.0.1"]
        processes += [subprocess.Popen([*dask, *worker], **quiet) for _ in range(workers)]
        yield address, scheduler
    finally:
        for process in processes:
            process.kill()
            process.wait()


@pytest.mark.slow
def test_a_killed_scheduler_is_said_and_the_next_run_goes_on(
    tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(srcore.stages.upscale, "TASK_PIXELS", 1)
    source = archive.write_scene(tmp_path / "scene.tif", shape=(128, 128))
    output = tmp_path / "out" / "sr.tif"
    job = direct_job(str(source), output, model="bicubic-x2", tile=16, block=archive.BLOCK)
    computed = []
    with dask_cluster(tmp_path, workers=1) as (address, scheduler):

        def call(name: str, stage: Any) -> Any:
            def progress(done: int, total: int) -> None:
                if name == "upscale" and done >= 20:
                    scheduler.kill()

            return stage(progress)

        started = time.monotonic()
        with pytest.raises(TileError, match=r"the Dask scheduler is gone.*start it and run again") as caught:
            run_scene(job, Workers(scheduler=address), call)
        took = time.monotonic() - started
    assert caught.value.code == "NO_SCHEDULER"
    assert caught.value.retryable
    assert took < 60
    assert not output.exists()

    def count(name: str, stage: Any) -> Any:
        result = stage(lambda done, total: None)
        if name == "upscale":
            computed.append(result.computed)
        return result

    assert run_scene(job, Workers(0), count) is not None
    assert computed[0] <= 44
    whole = tmp_path / "whole" / "sr.tif"
    run_scene(direct_job(str(source), whole, model="bicubic-x2", tile=16, block=archive.BLOCK), Workers(0))
    injected("Dask scheduler killed", 1, [] if whole.read_bytes() == output.read_bytes() else ["other bytes"])


@pytest.mark.slow
def test_a_cluster_whose_workers_are_gone_is_not_waited_for_for_ever(
    tmp_path: Path, injected: Injected, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("srcore.dispatch.patience.IDLE_SECONDS", 1.0)
    with dask_cluster(tmp_path, workers=0) as (address, _):
        with pytest.raises(TileError, match=r"no worker is left; found none for \d+ s") as caught:
            run_tiles(
                each(partial(work, tmp_path, frozenset())), range(4), Workers(scheduler=address), lambda tile: None
            )
        injected("all workers gone", 1)
    assert caught.value.code == "NO_WORKERS"


def full(tile: int) -> int:
    if tile == 3:
        raise StoreError("sr cannot be written: the disk is full", "0 bytes free", "free some", code="DISK_FULL")
    return tile


@pytest.mark.parametrize("workers", [0, 1])
def test_a_full_disk_ends_the_run_at_once(workers: int, injected: Injected) -> None:
    results: list[int] = []
    with pytest.raises(StoreError, match="the disk is full; found 0 bytes free") as caught:
        run_tiles(each(full), range(1000), Workers(workers), results.append)
    assert caught.value.code == "DISK_FULL"
    injected("disk full on a worker", 1, [] if len(results) < 20 else [f"{len(results)} tiles were still computed"])


def test_no_thread_is_left_behind_by_a_lease(catalog: Path) -> None:
    archive.run(catalog)
    assert not [thread for thread in threading.enumerate() if thread.name == "lease"]
