"""Two runs on one scene at once: one works, the other says who does, and the product is whole."""

from __future__ import annotations

import multiprocessing
import os
import signal
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any

import torch

from flows.cli import app
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.layout import lease_path
from srcore.run.states import scene_states
from srcore.storage.disk.leases import acquire
from tests.faults import archive
from tests.faults.archive import run_scene
from tests.faults.conftest import Injected

ROUNDS = 12


def _night(catalog: Path, barrier: Barrier, told: Queue[Any]) -> None:
    torch.set_num_threads(1)
    archive.run(catalog, force=True)  # warms up
    told.put("warm")
    for _ in range(ROUNDS):
        barrier.wait(60)
        [outcome] = archive.run(catalog, force=True)
        told.put((outcome.result, outcome.code, outcome.message))
        barrier.wait(60)


def test_two_runs_race_for_a_scene(tmp_path: Path, injected: Injected) -> None:
    archive.write_scene(tmp_path / "in" / "scene.tif")
    catalog = archive.write_catalog(tmp_path)
    archive.run(catalog)
    right = archive.published(tmp_path)
    spawn = multiprocessing.get_context("spawn")  # a fork would take the threads of other tests along
    barrier, told = spawn.Barrier(3), spawn.Queue()
    runs = [spawn.Process(target=_night, args=(catalog, barrier, told)) for _ in range(2)]
    wrong, losers = [], 0
    for run in runs:
        run.start()
        assert told.get(timeout=120) == "warm"
    for number in range(ROUNDS):
        barrier.wait(60)
        outcomes = sorted(told.get(timeout=60) for _ in runs)
        winners = [outcome for outcome in outcomes if outcome[0] == "published"]
        held = [outcome for outcome in outcomes if outcome[1] == "LEASED"]
        losers += len(held)
        if not winners or len(winners) + len(held) != 2 or any("found run" not in one[2] for one in held):
            wrong.append(f"round {number}: {outcomes}")
        if archive.published(tmp_path) != right or archive.leftovers(tmp_path):
            wrong.append(f"round {number}: {archive.wrong_outputs(tmp_path, right)} {archive.leftovers(tmp_path)}")
        barrier.wait(60)
    for run in runs:
        run.join(60)
    assert losers > 0, "the two never met"
    injected("two runs race for a scene", ROUNDS, wrong)


def test_a_scene_that_another_run_holds_is_shown_and_left_alone(catalog: Path, tmp_path: Path) -> None:
    [state] = scene_states(load_catalog(catalog), archive.DATASET)
    lease = acquire(lease_path(state.job.scratch))
    [state] = scene_states(load_catalog(catalog), archive.DATASET)
    assert (state.state, state.due) == ("running", True)
    assert f"(pid {os.getpid()})" in state.reason
    [outcome] = archive.run(catalog, force=True)
    assert (outcome.result, outcome.code) == ("failed", "LEASED")
    assert archive.published(tmp_path) == {}  # no record: it did not fail
    assert lease.is_held()
    lease.release()
    assert archive.run(catalog)[0].ok


def test_a_dead_runs_lease_stops_nobody(catalog: Path, tmp_path: Path) -> None:
    child = os.fork()
    if child == 0:
        acquire(lease_path(tmp_path / "store/fields/.scratch/scene"))
        os.kill(os.getpid(), signal.SIGKILL)
    os.waitpid(child, 0)
    assert archive.run(catalog)[0].ok
    assert archive.leftovers(tmp_path) == []


def test_who_lost_the_scene_publishes_nothing(catalog: Path, tmp_path: Path) -> None:
    """A run that was stopped for longer than a lease lasts wakes up after another one took over."""
    from srcore.run.dataset import run_dataset

    def call(name: str, stage: Any) -> Any:
        result = stage(lambda done, total: None)
        if name == "validate":
            lease = lease_path(tmp_path / "store/fields/.scratch/scene")
            lease.unlink()
            acquire(lease)
        return result

    [outcome] = run_dataset(catalog, archive.DATASET, lambda job: run_scene(job, Workers(0), call))
    assert outcome.code == "LEASED"
    assert archive.published(tmp_path) == {}


def test_the_command_line_says_who_holds_it(tmp_path: Path) -> None:
    from typer.testing import CliRunner

    source = archive.write_scene(tmp_path / "scene.tif")
    lease = acquire(lease_path(tmp_path / ".sr.srcore"))
    result = CliRunner().invoke(
        app, ["upscale", str(source), str(tmp_path / "sr.tif"), "--workers", "0", "--model", "nearest-x2"]
    )
    assert f"found {lease.owner}" in str(result.exception)
    assert not (tmp_path / "sr.tif").exists()


def test_sweeping_leaves_a_running_scene_alone(catalog: Path, tmp_path: Path) -> None:
    from srcore.layout import DatasetPaths
    from srcore.storage.archive.sweep import sweep_done

    places = DatasetPaths(tmp_path / "store/fields")
    lease = acquire(lease_path(places.scratch("scene")))
    (places.scratch("scene") / "key").mkdir()
    sweep_done(places.scratch("scene"), places.product("scene", ".tif"))
    assert lease.is_held()
    assert (places.scratch("scene") / "key").exists()
    lease.release()
    sweep_done(places.scratch("scene"), places.product("scene", ".tif"))
    assert not places.scratch("scene").exists()
