"""A catalog of two tiny scenes and a broken one, and `srcore serve` on it in a process of its own."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import rasterio
from rasterio.transform import Affine

from flows.cli import main
from flows.serve import refuse_taken_port

CATALOG = """\
version: 1
store: ./archive
datasets:
  hills:
    kind: raster
    source: ./in/*.tif
    model: bicubic-x2
    tile: 64
    schedule: "0 2 * * *"
    timezone: Europe/Zurich
  on-demand:
    kind: raster
    source: ./none/*.tif
    model: bicubic-x2
"""

SERVE = """
import sys
from pathlib import Path
from flows.serve import serve
serve(Path(sys.argv[1]), port=int(sys.argv[2]))
"""


def make_archive(folder: Path) -> Path:
    """Write the sources and the catalog; gives the catalog's path."""
    (folder / "in").mkdir(parents=True)
    y, x = np.mgrid[:150, :170]
    values = np.stack([1500 + 900 * np.sin(x / (7 + band)) * np.cos(y / 9) for band in range(3)]).astype("uint16")
    profile: dict[str, Any] = {
        "driver": "GTiff",
        "count": 3,
        "height": 150,
        "width": 170,
        "dtype": "uint16",
        "crs": "EPSG:32632",
        "transform": Affine(10, 0, 600000, 0, -10, 5200000),
    }
    for name in ("east", "west"):
        with rasterio.open(folder / "in" / f"{name}.tif", "w", **profile) as target:
            target.write(values)
    (folder / "in" / "broken.tif").write_bytes(b"not a raster")
    catalog = folder / "data_catalog.yaml"
    catalog.write_text(CATALOG)
    return catalog


@pytest.fixture
def catalog_path(tmp_path: Path) -> Path:
    """A catalog with its sources."""
    return make_archive(tmp_path)


@pytest.fixture
def srcore(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str, str]]:
    """Call the command line here; gives exit code, stdout and stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["srcore", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        captured = capsys.readouterr()
        return int(ended.value.code or 0), captured.out, captured.err

    return call


def edit(path: Path, old: str, new: str) -> None:
    """Change the text of a file, whose time says so."""
    path.write_text(path.read_text().replace(old, new))
    later = path.stat().st_mtime_ns + 1_000_000_000
    os.utime(path, ns=(later, later))


def free_port() -> int:
    """A port of loopback that nothing listens on."""
    with socket.socket() as trial:
        trial.bind(("127.0.0.1", 0))
        return int(trial.getsockname()[1])


@dataclass(frozen=True)
class Served:
    """A running `srcore serve`."""

    process: subprocess.Popen[str]
    catalog: Path
    url: str
    log: Path

    def api(self, method: str, path: str, body: Any = None) -> Any:
        """The JSON that the server's API answers."""
        for _ in range(30):
            response = httpx.request(method, f"{self.url}/api{path}", json=body, timeout=30)
            if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)  # its database is busy, and it asks to be asked again, as Prefect's own client does
        response.raise_for_status()
        return response.json()

    def start_run(self, deployment: str, **parameters: Any) -> str:
        """Start a run as the form does; its id."""
        found = self.api("GET", f"/deployments/name/{deployment}")
        return str(self.api("POST", f"/deployments/{found['id']}/create_flow_run", {"parameters": parameters})["id"])

    def wait_for(self, run: str, seconds: float = 90) -> dict[str, Any]:
        """The final state of a run."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            state: dict[str, Any] = self.api("GET", f"/flow_runs/{run}")["state"]
            if state["type"] in ("COMPLETED", "FAILED", "CRASHED", "CANCELLED"):
                return state
            time.sleep(0.3)
        raise TimeoutError(f"run {run} did not end in {seconds} s:\n{self.log.read_text()}")

    def of_run(self, run: str, kind: str, **more: Any) -> list[dict[str, Any]]:
        """The task runs or artifacts of a run."""
        body = {"flow_runs": {"id": {"any_": [run]}}, **more}
        return list(self.api("POST", f"/{kind}/filter", body))


def start_serve(catalog: Path, port: int, log: Path, **settings: str) -> subprocess.Popen[str]:
    """`srcore serve` in a process, its output in `log`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PREFECT", "SRCORE"))}
    command = [sys.executable, "-c", SERVE, str(catalog), str(port)]
    with log.open("w") as output:
        return subprocess.Popen(
            command, stdout=output, stderr=subprocess.STDOUT, env={**kept, "SRCORE_WORKERS": "0", **settings}, text=True
        )


def wait_for_text(process: subprocess.Popen[str], log: Path, text: str, seconds: float = 120) -> None:
    """Return when the process has printed `text`."""
    deadline = time.monotonic() + seconds
    while text not in log.read_text():
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.2)


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One `srcore serve` for all tests that look at it. SIGTERM ends it: cleanly, and nothing listens any more."""
    folder = tmp_path_factory.mktemp("served")
    catalog, log, port = make_archive(folder), folder / "serve.log", free_port()
    process = start_serve(catalog, port, log)
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        yield Served(process, catalog, f"http://127.0.0.1:{port}", log)
    finally:
        process.send_signal(signal.SIGTERM)
        status = process.wait(60)
    assert status == 0, log.read_text()
    assert log.read_text().endswith("stopped\n")
    refuse_taken_port("127.0.0.1", port)
