"""Nights under Prefect: small scenes share a flow run, and a server that is away.

Counted are flow runs and calls of the API, which are the same on every machine; seconds are in docs/benchmarks.md.
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from prefect import runtime
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import StateType
from prefect.settings import (
    PREFECT_API_URL,
    PREFECT_CLIENT_MAX_RETRIES,
    PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
    get_current_settings,
    temporary_settings,
)
from prefect.states import Crashed, Running
from prefect.testing.utilities import prefect_test_harness
from rasterio.transform import from_origin

from flows import artifacts, small
from flows.nightly import _in_prefect, night_state, nightly, run_night, summary
from flows.service.runs import ABOVE, close_below
from flows.tasks import TASKS
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.layout import DatasetPaths
from srcore.run.dataset import Wanted, Way, each_due, run_dataset
from srcore.run.night import book, turns
from srcore.run.outcome import Outcome
from srcore.run.scene import scene_runner
from srcore.storage.archive.nights import read_nights
from tests.flows.conftest import free_port

COUNTED = "srcore.counted"  # marks a request that was sent before


def make(folder: Path, scenes: int, *keys: str) -> Path:
    """A catalog of so many tiny scenes, and a broken one between them."""
    (folder / "in").mkdir(parents=True)
    values = (1000 + np.arange(600) % 97).astype("uint16").reshape(1, 20, 30)
    profile = {"driver": "GTiff", "count": 1, "height": 20, "width": 30, "dtype": "uint16", "crs": "EPSG:32632"}
    for number in range(scenes):
        path = folder / f"in/s{number}.tif"
        with rasterio.open(path, "w", **profile, transform=from_origin(6e5, 5e6, 10, 10)) as target:
            target.write(values)
    (folder / "in/s0-broken.tif").write_bytes(b"no raster")
    catalog = folder / "data_catalog.yaml"
    entry = ["kind: raster", "source: ./in/*.tif", "model: nearest-x2", "products: [cog]", *keys]
    catalog.write_text("version: 1\nstore: ./s\ndatasets:\n  d:\n" + "".join(f"    {key}\n" for key in entry))
    return catalog


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """A Prefect server of these tests alone."""
    with prefect_test_harness(server_startup_timeout=180):
        yield


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_WORKERS", "0")
    monkeypatch.setattr(artifacts._Server, "away_at", -artifacts.AWAY_SECONDS)


@contextmanager
def asked() -> Iterator[Counter[str]]:
    """Counts the calls of the server's API meanwhile, by method and path without ids.

    A call that Prefect's client sends once more, because the server was busy, is the same call.
    """
    calls: Counter[str] = Counter()
    with pytest.MonkeyPatch.context() as patch:
        for kind in (httpx.Client, httpx.AsyncClient):
            patch.setattr(kind, "send", _counting(kind.send, calls))
        yield calls


def _counting(send: Any, calls: Counter[str]) -> Any:
    def counted(self: Any, request: httpx.Request, *args: Any, **kwargs: Any) -> Any:
        path = re.sub(r"[0-9a-f-]{36}", "ID", request.url.path)
        again = request.extensions.get(COUNTED)
        request.extensions[COUNTED] = True
        if not again and "/logs" not in path and "csrf" not in path:
            calls[f"{request.method} {path}"] += 1
        return send(self, request, *args, **kwargs)

    return counted


def runs() -> list[Any]:
    with get_client(sync_client=True) as client:
        return client.read_flow_runs()


def test_runs_in_a_night_beat_no_heart_of_their_own(
    server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    beats = []

    def noted(self: Any) -> None:
        beats.append((runtime.flow_run.flow_name, get_current_settings().flows.heartbeat_frequency))
        self.turn = None

    monkeypatch.setattr(small.Batch, "run", noted)
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: 30}):
        nightly(str(make(tmp_path, 1)), "d", return_state=True)
        assert get_current_settings().flows.heartbeat_frequency == 30
    assert beats[0] == ("upscale-small", None)


def test_what_lies_below_a_crashed_run_is_closed_and_nothing_else(server: None) -> None:
    with get_client(sync_client=True) as client:

        def running(**above: Any) -> Any:
            return client.create_flow_run(small.upscale_small, parameters={}, state=Running(), **above)

        def task_of(run: Any) -> Any:
            return client.create_task_run(TASKS["plan"], run.id, dynamic_key="0", state=Running())

        crashed, alive = running(), running()
        tasks = {run.id: task_of(run) for run in (crashed, alive)}
        below = {run.id: running(parent_task_run_id=tasks[run.id].id) for run in (crashed, alive)}
        inner = task_of(below[crashed.id])
        client.set_flow_run_state(crashed.id, Crashed(message="no heartbeat"), force=True)
        assert close_below() == 2  # the subflow, whose end the server tells the task above it, and its own task
        assert close_below() == 0
        ended = client.read_flow_run(below[crashed.id].id).state
        assert ended is not None
        assert (ended.type, ended.message) == (StateType.CRASHED, ABOVE)
        assert client.read_task_run(inner.id).state_type == StateType.CRASHED
        assert client.read_flow_run(below[alive.id].id).state_type == StateType.RUNNING
        assert client.read_task_run(tasks[alive.id].id).state_type == StateType.RUNNING


def test_small_scenes_share_a_run_and_what_prefect_is_asked_does_not_grow_with_them(
    server: None, tmp_path: Path
) -> None:
    counts, states = {}, {}
    for scenes in (1, 4):
        catalog, before = make(tmp_path / str(scenes), scenes), {run.id for run in runs()}
        with asked() as counts[scenes]:
            states[scenes] = nightly(str(catalog), "d", return_state=True)
        made = [run for run in runs() if run.id not in before]
        assert [run.name.split(" 20")[0] for run in made if run.parent_task_run_id is None] == ["nightly d"]
        [shared] = [run for run in made if run.parent_task_run_id is not None]
        assert shared.name == "d: small scenes from s0"
        assert sorted(shared.tags) == ["dataset:d", "srcore"]
        assert shared.state.message == f"{scenes + 1} scenes, 1 failed: s0-broken (NOT_SUPPORTED)"
        assert len(list((tmp_path / str(scenes) / "s").rglob("*.receipt.json"))) == scenes
    assert states[4].type == StateType.FAILED
    assert states[4].message == "4 published, 1 failed: d/s0-broken (NOT_SUPPORTED)"
    told = {path: counts[4][path] - counts[1][path] for path in counts[4] | counts[1]}
    told.pop("PATCH /api/artifacts/ID", None)  # of the progress, by time
    assert {path: more for path, more in told.items() if more > 0} == {}
    with get_client(sync_client=True) as client:
        last = {run.id for run in made}
        shown = {one.key: one for one in client.read_artifacts() if one.flow_run_id in last}
    rows = shown["small-d-s0"].data
    assert rows.index("s0-broken") < rows.index('"s1"')  # what failed comes first
    assert shown["night-d"].data == 100.0
    assert shown["night-d"].description.startswith("d: 5 of 5 scenes, 4 published, 1 failed, ")
    assert shown["nightly-d"].data.index("s0-broken") < shown["nightly-d"].data.index("** d/s0")
    assert "data:image/svg+xml;base64," in shown["trends-d"].data


def test_large_scenes_have_runs_of_their_own_also_side_by_side(
    server: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SMALL_PIXELS", 0)
    catalog, before = make(tmp_path, 2, "concurrency: {scenes: 2}"), {run.id for run in runs()}
    state = nightly(str(catalog), "d", return_state=True)
    assert state.message == "2 published, 1 failed: d/s0-broken (NOT_SUPPORTED)"
    made = [run for run in runs() if run.id not in before and run.parent_task_run_id is not None]
    assert sorted(run.name for run in made if run.name.startswith("d/")) == ["d/s0", "d/s1"]
    assert all(sorted(run.tags) == ["dataset:d", "srcore"] for run in made)
    with get_client(sync_client=True) as client:
        tasks = [task for task in client.read_task_runs() if task.flow_run_id in {run.id for run in made}]
    assert all(task.tags == [] for task in tasks)


def test_a_night_without_a_server_does_its_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    catalog = make(tmp_path, 2)
    away = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away):
        assert _in_prefect(catalog, "d", Wanted()) is None  # nothing was done: then it goes on without
        assert artifacts.server_is_away()


@pytest.mark.parametrize("pixels", [turns.SMALL_PIXELS, 0])
def test_a_server_that_goes_away_in_a_night_costs_no_scene(
    tmp_path: Path, pixels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(turns, "SMALL_PIXELS", pixels)
    catalog = make(tmp_path, 2)
    loaded = load_catalog(catalog)
    away = {PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api", PREFECT_CLIENT_MAX_RETRIES: 0}
    with temporary_settings(away), scene_runner(Workers(0)) as run:
        do, taker = small.flow_do(catalog, loaded, run), small.flow_taker(catalog, loaded, run)
        outcomes = each_due(loaded, "d", do, way=Way(taker=taker))
    assert [one.result for one in outcomes] == ["published", "failed", "published"]
    assert artifacts.server_is_away()


def test_a_catalog_that_is_broken_during_a_night_counts_from_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = make(tmp_path, 1)
    text = catalog.read_text()
    catalog.write_text(text + text.split("datasets:\n")[1].replace("  d:", "  e:"))

    def run(content: str) -> list[tuple[str, Outcome]]:
        def edit(loaded: Any, dataset: str, book: Any) -> list[Outcome]:
            catalog.write_text(content)
            return [Outcome("a", "published")]

        return run_night(catalog, None, edit)

    whole = catalog.read_text()
    assert summary(run("version: 7\n")).startswith(
        "2 published; note: catalog: it was edited during the night; the next"
    )
    catalog.write_text(whole)
    assert "what it says now counts from the next one" in summary(run(text))
    catalog.write_text(whole)
    assert summary(run(whole + "\n# a word\n")) == "2 published"


def test_a_night_that_is_longer_than_a_day_is_not_begun_twice(tmp_path: Path) -> None:
    catalog = make(tmp_path, 1)
    with book.open_book(load_catalog(catalog), "d"):
        state = night_state(run_night(catalog, "d", lambda *_: [Outcome("a", "published")]))
    assert state.type == StateType.COMPLETED
    assert re.search(r"note: d: another night of d goes on; found run .* this one is skipped", state.message or "")
    assert read_nights(DatasetPaths(tmp_path / "s/d")).nights == ()


KILLED = """
import os, signal, sys, time
from pathlib import Path
from flows import artifacts, small
from srcore.catalog import load_catalog
from srcore.dispatch import Workers
from srcore.run.night.book import open_book
from srcore.run.dataset import Way, each_due
from srcore.run.scene import plain, scene_runner

artifacts._Server.away_at = time.monotonic()

def call(name, stage):
    if name == sys.argv[2] and list(Path(sys.argv[1]).parent.rglob("*.receipt.json")):
        os.kill(os.getpid(), signal.SIGKILL)
    return plain(name, stage)

path = Path(sys.argv[1])
catalog = load_catalog(path)
with scene_runner(Workers(0), call) as run, open_book(catalog, "d") as book:
    way = Way(taker=small.flow_taker(path, catalog, run), book=book)
    book.end(each_due(catalog, "d", small.flow_do(path, catalog, run), way=way))
"""


def kept(store: Path) -> dict[str, bytes | str]:
    """What stands in the store for others, without times and pages."""
    found: dict[str, bytes | str] = {}
    for path in sorted(store.rglob("*.*")):
        name = str(path.relative_to(store))
        if name.endswith(".tif"):
            found[name] = path.read_bytes()
        elif "quarantine" in name or name.endswith(".receipt.json"):
            value = json.loads(path.read_bytes())
            found[name] = str([value.get("code"), value.get("attempts"), value.get("verdict"), value.get("scene")])
    return found


@pytest.mark.nightly
def test_a_kill_in_the_middle_of_a_batch_leaves_what_a_night_without_batches_leaves(tmp_path: Path) -> None:
    stores = []
    for name in ("killed", "whole"):
        catalog = make(tmp_path / name, 3)
        command = [sys.executable, "-c", KILLED, str(catalog)]
        if name == "killed":
            assert subprocess.run([*command, "export"], check=False).returncode == -signal.SIGKILL
            assert len(list((tmp_path / name).rglob("*.receipt.json"))) == 1
            subprocess.run([*command, "never"], check=True)
        else:
            with scene_runner(Workers(0)) as run:
                run_dataset(catalog, "d", run)
        stores.append(kept(tmp_path / name / "s"))
    assert stores[0] == stores[1]
    assert len([name for name in stores[0] if name.endswith(".tif")]) == 3
    first, second = read_nights(DatasetPaths(tmp_path / "killed/s/d")).nights
    assert (first.interrupted, second.interrupted, second.published) == (True, False, 2)
