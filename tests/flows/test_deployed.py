"""Nights that are kept by hand: the lines of infra/README.md, by `prefect deploy`, at a server with a password."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.flows.conftest import make_archive
from tests.flows.test_outside_live import AUTH, Server, prefect_server, until

pytestmark = pytest.mark.nightly


def lines(prefect_file: Path) -> list[str]:
    """The commands of the README, for a dataset called hills."""
    text = (ROOT / "infra" / "README.md").read_text()
    block = text.split("### A deployment kept by hand")[1].split("\n#")[0]
    found = [line.strip() for line in block.splitlines() if line.startswith("    ")]
    return [line.replace("infra/prefect.yaml", str(prefect_file)).replace("my-dataset", "hills") for line in found]


def test_the_lines_of_the_readme_deploy_a_night_that_is_done(tmp_path: Path) -> None:
    catalog, deployments = make_archive(tmp_path / "archive"), tmp_path / "prefect.yaml"
    (tmp_path / "archive" / "in" / "broken.tif").unlink()
    text = (ROOT / "infra" / "prefect.yaml").read_text()
    deployments.write_text(text.replace("/etc/srcore/data_catalog.yaml", str(catalog)).replace("my-dataset", "hills"))
    with prefect_server(tmp_path) as server:
        environment = {**server.environment, "PREFECT_API_URL": f"{server.url}/api", "PYTHONPATH": str(ROOT)}
        environment |= {"PREFECT_HOME": str(tmp_path / "client"), "PREFECT_API_AUTH_STRING": AUTH}
        worker: subprocess.Popen[bytes] | None = None
        try:
            for line in lines(deployments):
                command = [sys.executable, "-m", *shlex.split(line, comments=True)]
                if "worker start" in line:
                    with (tmp_path / "worker.log").open("wb") as log:
                        worker = subprocess.Popen(command, env=environment, cwd=tmp_path, stdout=log, stderr=log)
                else:
                    pipes = {"capture_output": True, "text": True}
                    ran = subprocess.run(command, **pipes, env=environment, cwd=ROOT, timeout=600)
                    assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
            is_deployed(server)
            wanted = {"flow_runs": {"tags": {"all_": ["dataset:hills"]}}, **FIRST}
            [run] = server.api("POST", "/flow_runs/filter", wanted)
            until(lambda: server.state(run["id"]) in ("COMPLETED", "FAILED", "CRASHED"), 900)
            ended = server.api("GET", f"/flow_runs/{run['id']}")["state"]
            assert (ended["type"], ended["message"]) == ("COMPLETED", "2 published")
        finally:
            if worker is not None:
                worker.kill()  # its run is over
                worker.wait()
    assert len(list((tmp_path / "archive").rglob("*.receipt.json"))) == 2


FIRST = {"sort": "EXPECTED_START_TIME_ASC", "limit": 1}
"""Those of the schedule come later."""


def is_deployed(server: Server) -> None:
    """Every deployment of the file is there, each in its pool and queue, with no thing to pull."""
    found = {one["name"]: one for one in server.api("POST", "/deployments/filter", {})}
    assert set(found) == {"hills", "hills-pod", "by-hand"}
    places = {name: (one["work_pool_name"], one["work_queue_name"]) for name, one in found.items()}
    assert places["hills-pod"] == ("srcore-pods", "nightly")
    assert places["by-hand"] == ("srcore", "upscale-scene")
    assert all(one["pull_steps"] in (None, []) for one in found.values())
    assert [one["schedule"]["cron"] for one in found["hills"]["schedules"]] == ["0 2 * * *"]
