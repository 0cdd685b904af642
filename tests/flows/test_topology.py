"""A cluster of processes, by the very lines of infra/README.md: 20 of 20 scenes, with killings on the way.

Postgres, a Prefect server on it with a password, a Dask scheduler with TLS and two workers, an S3 server with sources
and store, and `srcore serve --server`. A worker is killed, then the scheduler, then the process of the night.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
import pytest
import rasterio
from rasterio.transform import Affine

from flows.service.runs import LABEL
from tests.conftest import ROOT
from tests.flows.conftest import free_port

pytestmark = pytest.mark.nightly

SCENES = 20
CATALOG = """\
version: 1
store: s3://archive/sr
datasets:
  hills:
    kind: raster
    source: s3://archive/in/*.tif
    model: srcore-x2
    tile: 64
"""
AS_NOBODY = "setpriv --reuid=65534 --regid=65534 --clear-groups "
"""Postgres runs as anybody but root."""


def lines() -> list[str]:
    """The commands of the README, from nothing to the first night."""
    text = (ROOT / "infra" / "README.md").read_text()
    block = text.split("### From nothing, as processes")[1].split("\n### ")[0]
    return [line.strip() for line in block.splitlines() if line.startswith("    ")]


@dataclass
class Cluster:
    """The processes of the lines that end in &, by their lines, and how to start one again."""

    folder: Path
    environment: dict[str, str]
    processes: ExitStack
    running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def do(self, line: str) -> str:
        """Run a line as a shell would that has read processes.env; gives what it printed."""
        ran = subprocess.run(
            self._shell(line), env=self.environment, cwd=ROOT, capture_output=True, text=True, timeout=180
        )
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        return ran.stdout

    def start(self, line: str, name: str) -> None:
        """Start a line that ends in &; `exec`, so that the process is the command's own."""
        log = self.processes.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            self._shell("exec " + line.removesuffix("&")), env=self.environment, cwd=ROOT, stdout=log, stderr=log
        )
        self.running[name] = process
        self.processes.callback(end, process)

    def _shell(self, line: str) -> list[str]:
        if os.geteuid() == 0:
            line = re.sub(r"\b(initdb|postgres) -D", AS_NOBODY + r"\1 -D", line)
        return ["sh", "-euc", f". infra/processes.env; {line}"]

    def kill(self, name: str) -> None:
        """SIGKILL to the process and all below it, at once."""
        process = self.running[name]
        for one in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
            one.kill()
        process.wait(30)

    def log(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that the Prefect server answers."""
        url = f"http://127.0.0.1:{self.environment['PREFECT_PORT']}/api{path}"
        answer = httpx.request(method, url, json=body, timeout=60, auth=("srcore", self.environment["PASSWORD"]))
        answer.raise_for_status()
        return answer.json()

    def published(self) -> int:
        """Receipts on the object store."""
        query = "list-type=2&max-keys=1000&prefix=sr/hills/products/"
        text = httpx.get(f"http://127.0.0.1:{self.environment['S3_PORT']}/archive?{query}", timeout=60).text
        return len(re.findall(r"<Key>[^<]*\.receipt\.json</Key>", text))

    def night(self) -> str:
        """Start one; its id."""
        deployment = self.api("GET", "/deployments/name/nightly/hills@processes")["id"]
        return str(self.api("POST", f"/deployments/{deployment}/create_flow_run", {"parameters": {}})["id"])

    def state(self, run: str) -> dict[str, Any]:
        return dict(self.api("GET", f"/flow_runs/{run}")["state"])

    def ended(self, run: str) -> bool:
        return self.state(run)["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED")


def end(process: subprocess.Popen[bytes]) -> None:
    """Of a process that may be dead: it and what it started."""
    if process.poll() is None:
        below = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGINT)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
        for one in below:
            if one.is_running():
                one.kill()


def until(found: Callable[[], Any], seconds: float = 400) -> Any:
    """What `found` gives when it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, found
        time.sleep(1)
    return value


def programs() -> str:
    """A PATH with all that the lines call; skips by name what is not there."""
    postgres = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
    path = os.pathsep.join([str(Path(sys.executable).parent), *map(str, postgres), os.environ["PATH"]])
    wanted = ["initdb", "postgres", "openssl", "curl", "moto_server", *(["setpriv"] if os.geteuid() == 0 else [])]
    missing = [name for name in wanted if shutil.which(name, path=path) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    return path


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A folder that Postgres's user may enter, and nothing running yet."""
    path = programs()
    folder = Path(tempfile.mkdtemp(prefix="srcore-cluster-"))
    folder.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "SRCORE", "DASK"))}
    ports = {f"{name}_PORT": str(free_port()) for name in ("PREFECT", "DASK", "S3", "PG")}
    bin_folder = folder / "bin"  # the repository is not installed where tests run from it
    bin_folder.mkdir()
    (bin_folder / "srcore").write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m flows.cli "$@"\n')
    (bin_folder / "srcore").chmod(0o755)
    environment = {
        **kept,
        **ports,
        "CLUSTER": str(folder),
        "PASSWORD": "for-a-trial",
        "PATH": f"{bin_folder}{os.pathsep}{path}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
    }
    with ExitStack() as processes:
        try:
            yield Cluster(folder, environment, processes)
        finally:
            processes.close()
            shutil.rmtree(folder, ignore_errors=True)


def put_scenes(cluster: Cluster) -> None:
    """20 small scenes of two bands into the bucket, each another."""
    y, x = np.mgrid[:150, :150]
    profile: dict[str, Any] = {"driver": "GTiff", "count": 2, "height": 150, "width": 150, "dtype": "uint16"}
    place = {"crs": "EPSG:32632", "transform": Affine(10, 0, 600000, 0, -10, 5200000)}
    for number in range(SCENES):
        path = cluster.folder / "scene.tif"
        with rasterio.open(path, "w", **profile, **place) as target:
            for band in (1, 2):
                values = 1500 + 900 * np.sin(x / (7 + number)) * np.cos(y / (5 + band))
                target.write(values.astype("uint16"), band)
        url = f"http://127.0.0.1:{cluster.environment['S3_PORT']}/archive/in/scene-{number:02d}.tif"
        httpx.put(url, content=path.read_bytes(), timeout=60).raise_for_status()


def set_up(cluster: Cluster) -> list[str]:
    """Follow the README up to the first night; gives the names of the processes."""
    (cluster.folder / "data_catalog.yaml").write_text(CATALOG)
    names: list[str] = []
    for line in lines():
        if line.startswith(("export CLUSTER", ". infra", "cp infra/compose")):
            continue  # each line begins with them; the catalog is another one
        if line.startswith("initdb") and os.geteuid() == 0:
            (cluster.folder / "postgres").mkdir()
            os.chown(cluster.folder / "postgres", 65534, 65534)
        if line.startswith("prefect deployment run"):
            until(lambda: "Ctrl-C stops." in cluster.log(names[-1]) or cluster.running[names[-1]].poll() is not None)
            assert cluster.running[names[-1]].poll() is None, cluster.log(names[-1])
        if line.startswith("srcore serve"):
            put_scenes(cluster)
        if line.endswith("&"):
            names.append(f"{len(names)}-{line.split()[0]}-{line.split()[1]}")
            cluster.start(line, names[-1])
        else:
            cluster.do(line)
    return names


def test_a_cluster_by_the_readme_publishes_20_of_20_whatever_is_killed(cluster: Cluster) -> None:
    began = time.monotonic()
    told: list[str] = []

    def say(what: str) -> None:
        told.append(f"{time.monotonic() - began:.0f} s: {what}, {cluster.published()} published")
        print(told[-1], flush=True)

    names = set_up(cluster)
    say("the cluster is up and the first night queued")
    scheduler, worker, other = names[3], names[4], names[5]
    [run] = [
        one["id"]
        for one in cluster.api(
            "POST",
            "/flow_runs/filter",
            {"flow_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING", "SCHEDULED"]}}}},
        )
        if "auto-scheduled" not in one["tags"] and one["work_pool_name"]
    ]

    reaches(cluster, run, 2)
    cluster.kill(worker)
    say("a worker killed")
    before = cluster.published()
    reaches(cluster, run, before + 3)
    say("the other goes on")
    assert tasks_done(cluster) >= 3
    cluster.kill(scheduler)
    until(lambda: cluster.ended(run))
    say(f"the scheduler killed: {cluster.state(run)['message']}")
    assert "NO_SCHEDULER" in cluster.state(run)["message"]
    assert cluster.published() < SCENES

    cluster.kill(other)
    commands = [line for line in lines() if line.startswith(("dask scheduler", "srcore worker"))]
    for name, line in zip((scheduler, worker, other), commands, strict=True):
        cluster.start(line, name)
    before, run = cluster.published(), cluster.night()
    reaches(cluster, run, before + 2)
    process = json.loads(until(lambda: cluster.api("GET", f"/flow_runs/{run}")["labels"].get(LABEL)))["pid"]
    os.kill(process, signal.SIGKILL)
    until(lambda: cluster.ended(run))
    say(f"the night's process killed: {cluster.state(run)['type']}")
    assert cluster.state(run)["type"] == "CRASHED"
    assert cluster.published() < SCENES

    again = until(lambda: begun_again(cluster, run))
    until(lambda: cluster.ended(again))
    say(f"begun again: {cluster.state(again)['message']}")
    assert cluster.state(again)["type"] == "COMPLETED"
    assert cluster.published() == SCENES
    assert "tls://" in cluster.log(other)
    assert "Traceback" not in cluster.log(names[-1])


def reaches(cluster: Cluster, run: str, count: int) -> None:
    """Wait until so many scenes are published by a run that goes on."""
    until(lambda: cluster.published() >= count or cluster.ended(run))
    assert not cluster.ended(run), cluster.state(run)["message"]


COUNT = """
from distributed import Client
with Client("{}", timeout="60s") as client:
    print(sum(client.run(lambda dask_worker: dask_worker.state.executed_count).values()))
"""


def tasks_done(cluster: Cluster) -> int:
    """By the workers that are there."""
    address = f"tls://127.0.0.1:{cluster.environment['DASK_PORT']}"
    return int(cluster.do(f"python -c {shlex.quote(COUNT.format(address))}"))


def begun_again(cluster: Cluster, run: str) -> str:
    """The id of the run by which the service begins a crashed night again; '' before."""
    wanted = {"flow_runs": {"idempotency_key": {"any_": [f"srcore-again/1/{run}"]}}}
    return "".join(one["id"] for one in cluster.api("POST", "/flow_runs/filter", wanted))
