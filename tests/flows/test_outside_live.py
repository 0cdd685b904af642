"""Two services at one Prefect server with a password: neither overwrites, ends or tells of what is the other's."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from flows.service.runs import LABEL
from tests.conftest import ROOT
from tests.flows.conftest import free_port, make_archive, wait_for_text

pytestmark = pytest.mark.nightly

AUTH = "me:secret"


@dataclass(frozen=True)
class Server:
    """A Prefect server that is no service's own."""

    url: str
    environment: dict[str, str]

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that it answers."""
        for _ in range(30):
            answer = httpx.request(method, f"{self.url}/api{path}", json=body, timeout=30, auth=("me", "secret"))
            if answer.status_code < 500:  # its database is SQLite, and busy
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json()

    def start_run(self, deployment: str) -> str:
        found = self.api("GET", f"/deployments/name/{deployment}")
        return str(self.api("POST", f"/deployments/{found['id']}/create_flow_run", {"parameters": {}})["id"])

    def state(self, run: str) -> str:
        return str(self.api("GET", f"/flow_runs/{run}")["state"]["type"])


@contextmanager
def prefect_server(folder: Path, **settings: str) -> Iterator[Server]:
    """`prefect server start`, as an administrator does."""
    port = free_port()
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "SRCORE"))}
    kept |= {"PREFECT_SERVER_API_AUTH_STRING": AUTH, "PREFECT_SERVER_ANALYTICS_ENABLED": "false", **settings}
    command = [sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--port", str(port)]
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env={**kept, "PREFECT_HOME": str(folder / "home")})
    client = {name: value for name, value in kept.items() if "SERVER" not in name}
    server = Server(f"http://127.0.0.1:{port}", {**client, "PREFECT_API_AUTH_STRING": AUTH, "SRCORE_WORKERS": "0"})
    try:
        until(lambda: answers(server.url), 600)
        yield server
    finally:
        process.terminate()
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:  # the machine is busy
            process.kill()
            process.wait()


def answers(url: str) -> bool:
    """Whether a server is there, whoever it lets in."""
    try:
        return httpx.get(f"{url}/api/health", timeout=5).status_code in (200, 401)
    except httpx.HTTPError:
        return False


def until(found: Callable[[], Any], seconds: float = 180) -> Any:
    """What `found` gives when it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return value


def start(server: Server, catalog: Path, pool: str, log: Path) -> subprocess.Popen[str]:
    """`srcore serve --server`."""
    command = [sys.executable, "-m", "flows.cli", "serve", "--catalog", str(catalog), "--server", server.url]
    with log.open("w") as output:
        return subprocess.Popen(
            [*command, "--pool", pool], stdout=output, stderr=output, env=server.environment, cwd=ROOT, text=True
        )


def test_two_services_at_one_server_leave_each_other_alone(tmp_path: Path) -> None:
    one, other = make_archive(tmp_path / "one"), make_archive(tmp_path / "other")
    log, second = tmp_path / "one.log", tmp_path / "other.log"
    with prefect_server(tmp_path) as server:
        process = start(server, one, "alps", log)
        try:
            wait_for_text(process, log, "Ctrl-C stops.")
            refused = start(server, other, "alps", second)
            assert refused.wait(120) == 2
            assert "the work pool alps is that of another store" in second.read_text()
            assert len(second.read_text().splitlines()) == 2
            run = server.start_run("nightly/hills@alps")
            pid = until(lambda: its_process(server, run))
            os.kill(pid, signal.SIGSTOP)
            comes_and_goes(server, other, second)
            names = {each["name"] for each in server.api("POST", "/deployments/filter", {})}
            assert {"hills@alps", "hills@jura", "by-hand@alps", "by-hand@jura"} <= names
            assert server.state(run) == "RUNNING"
            os.kill(pid, signal.SIGKILL)
            assert until(lambda: "and begins again in 60 s" in log.read_text())
            assert server.state(run) == "CRASHED"
            again = {"flow_runs": {"idempotency_key": {"any_": [f"srcore-again/1/{run}"]}}}
            [queued] = server.api("POST", "/flow_runs/filter", again)
            assert queued["work_pool_name"] == "alps"
            is_stopped(server, process, log)
        finally:
            process.kill()


def is_stopped(server: Server, process: subprocess.Popen[str], log: Path) -> None:
    """A stop ends the run in progress, and says so; its night is not begun again."""
    run = server.start_run("nightly/hills@alps")
    pid = until(lambda: its_process(server, run))
    os.kill(pid, signal.SIGSTOP)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) == 0, log.read_text()
    assert log.read_text().splitlines()[-1] == "stopped"
    assert "finished products and tiles stay" in log.read_text()
    assert server.state(run) == "CRASHED"
    assert not psutil.pid_exists(pid)


def its_process(server: Server, run: str) -> int:
    """The process of a run, as it signed it; 0 before."""
    found = server.api("GET", f"/flow_runs/{run}")["labels"].get(LABEL)
    return int(json.loads(found)["pid"]) if found else 0


def comes_and_goes(server: Server, catalog: Path, log: Path) -> None:
    """Another store's service: it does a night, and ends."""
    process = start(server, catalog, "jura", log)
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        run = server.start_run("nightly/hills@jura")
        until(lambda: server.state(run) in ("COMPLETED", "FAILED"))
        told = server.api("GET", f"/flow_runs/{run}")["state"]["message"]
        assert told.startswith("2 published, 1 failed: hills/broken")
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
