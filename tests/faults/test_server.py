"""The Prefect server dies in mid-run: the product does not depend on it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from srcore.catalog import load_catalog
from srcore.run.states import scene_states
from tests.conftest import ROOT
from tests.faults import archive
from tests.faults.conftest import Injected
from tests.flows.conftest import free_port

PATIENCE_SECONDS = 300.0
"""Prefect's client asks a server that is gone for a minute before it lets the run go on."""


def wait_until(happened: Callable[[], bool], seconds: float) -> None:
    """Return when it happened, or after `seconds`."""
    started = time.monotonic()
    while not happened() and time.monotonic() - started < seconds:
        time.sleep(0.05)


def answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/health", timeout=2).is_success
    except httpx.HTTPError:
        return False


@pytest.mark.nightly
def test_a_killed_prefect_server_costs_no_product(tmp_path: Path, injected: Injected) -> None:
    for number in range(3):
        archive.write_scene(tmp_path / "in" / f"s{number}.tif", seed=number, shape=(300, 300))
    catalog = archive.write_catalog(tmp_path)
    url = f"http://127.0.0.1:{(port := free_port())}/api"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment = {**kept, "PREFECT_HOME": str(tmp_path / "prefect"), "SRCORE_WORKERS": "0", "PYTHONPATH": str(ROOT)}
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": ROOT}
    serve = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    night = [sys.executable, "-m", "flows.nightly", "--catalog", str(catalog)]
    processes = [subprocess.Popen(serve, env=environment, **quiet)]
    try:
        wait_until(lambda: answers(url), 180)
        processes.append(subprocess.Popen(night, env={**environment, "PREFECT_API_URL": url}, **quiet))
        wait_until(lambda: any(tmp_path.glob("store/fields/.scratch/*/*/done/*.json")), 180)
        processes[0].kill()
        wait_until(lambda: any(tmp_path.glob("store/fields/products/*/*.receipt.json")), PATIENCE_SECONDS)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert any(tmp_path.glob("store/fields/products/*/*.receipt.json")), "the scene in work was not published"
    archive.later(tmp_path)
    outcomes = archive.run(catalog)
    assert all(outcome.ok for outcome in outcomes), outcomes
    states = scene_states(load_catalog(catalog), archive.DATASET)
    injected("Prefect server killed", 1, [state.scene for state in states if state.state != "published"])
    assert archive.leftovers(tmp_path) == []
