"""The Prefect server dies in mid-run: the product does not depend on it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from flows.scene import scene_states
from srcore.catalog import load_catalog
from tests.conftest import ROOT
from tests.faults import archive
from tests.faults.conftest import Injected
from tests.flows.conftest import free_port


@pytest.mark.nightly
def test_a_killed_prefect_server_costs_no_product(tmp_path: Path, injected: Injected) -> None:
    for number in range(3):
        archive.write_scene(tmp_path / "in" / f"s{number}.tif", seed=number, shape=(300, 300))
    catalog = archive.write_catalog(tmp_path)
    url = f"http://127.0.0.1:{(port := free_port())}/api"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    environment = {**kept, "PREFECT_HOME": str(tmp_path / "prefect"), "SRCORE_WORKERS": "0", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                if httpx.get(f"{url}/health", timeout=2).is_success:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        night = subprocess.Popen(
            [sys.executable, "-m", "flows.nightly", "--catalog", str(catalog)],
            env={**environment, "PREFECT_API_URL": url}, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        while night.poll() is None and not any(tmp_path.glob("store/fields/.scratch/*/*/done/*.json")):
            time.sleep(0.02)
        server.send_signal(signal.SIGKILL)
        night.wait(timeout=500)
    finally:
        server.kill()
        server.wait()
    assert not archive.wrong_outputs(tmp_path, archive.published(tmp_path))
    outcomes = archive.run(catalog)
    assert all(outcome.ok for outcome in outcomes), outcomes
    states = scene_states(load_catalog(catalog), archive.DATASET)
    injected("Prefect server killed", 1, [state.scene for state in states if state.state != "published"])
    assert archive.leftovers(tmp_path) == []
