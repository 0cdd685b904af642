"""A service through a bad day, on a real server: what arrives, an edited catalog, a deaf receiver, killed processes."""

from __future__ import annotations

import http.server
import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from flows.serve import refuse_taken_port
from tests.conftest import ROOT
from tests.flows.conftest import Served, free_port, make_archive, start_serve, wait_for_text

pytestmark = pytest.mark.nightly

Receiver = tuple[str, list[dict[str, Any]]]


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """A webhook's address, and what it was told; the first message finds it deaf for 20 s."""
    told: list[dict[str, Any]] = []
    ended = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            told.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
            if len(told) == 1:
                ended.wait(20)
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook", told
        ended.set()
        server.shutdown()


def until(found: Callable[[], Any], seconds: float = 90) -> Any:
    """What `found` gives when it gives something."""
    deadline = time.monotonic() + seconds
    while not (value := found()):
        assert time.monotonic() < deadline, found
        time.sleep(0.5)
    return value


def test_a_service_through_a_bad_day(tmp_path: Path, receiver: Receiver) -> None:
    catalog, log, port = make_archive(tmp_path), tmp_path / "serve.log", free_port()
    catalog.write_text(catalog.read_text().replace("    tile: 64\n", "    tile: 64\n    watch: {settle_s: 3}\n"))
    served = Served(
        start_serve(catalog, port, log, SRCORE_NOTIFY=receiver[0]), catalog, f"http://127.0.0.1:{port}", log
    )
    try:
        wait_for_text(served.process, log, "Ctrl-C stops.")
        arrives(served)
        is_edited(served)
        is_told(served, receiver[1])
        run, process = is_killed(served)
    finally:
        served.process.kill()
    served = Served(start_serve(catalog, port, log, SRCORE_NOTIFY=receiver[0]), catalog, served.url, log)
    try:
        wait_for_text(served.process, log, "Ctrl-C stops.")
        assert "1 runs of a service that was killed go on" in log.read_text()
        assert served.api("GET", f"/flow_runs/{run}")["state"]["type"] == "RUNNING"
        os.kill(process, signal.SIGKILL)
        served.process.send_signal(signal.SIGHUP)
        assert served.process.wait(60) == 0, log.read_text()
        assert log.read_text().splitlines()[-1] == "stopped"
        assert "finished products and tiles stay" in log.read_text()
    finally:
        served.process.kill()
    again = start_serve(catalog, port, log)
    try:
        wait_for_text(again, log, "Ctrl-C stops.")
        assert served.api("GET", f"/flow_runs/{run}")["state"]["type"] == "CRASHED"
        unfinished = {"task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}}
        assert served.api("POST", "/task_runs/count", unfinished) == 0
        names = [one["name"] for one in served.api("POST", "/automations/filter", {})]
        assert names == ["srcore: end runs whose process is silent"]  # without a receiver nobody is told
        again.send_signal(signal.SIGTERM)
        assert again.wait(60) == 0
    finally:
        again.kill()
    refuse_taken_port("127.0.0.1", port)


def test_a_machine_that_stands_still_and_a_locked_database(tmp_path: Path, receiver: Receiver) -> None:
    """Its worker sleeps, its run is killed: what a person is told, and what the page shows within two minutes."""
    catalog, log, port = make_archive(tmp_path), tmp_path / "serve.log", free_port()
    soon = {"PREFECT_SERVER_SERVICES_LATE_RUNS_AFTER_SECONDS": "5"}
    served = Served(
        start_serve(catalog, port, log, SRCORE_NOTIFY=receiver[0], **soon), catalog, f"http://127.0.0.1:{port}", log
    )
    try:
        wait_for_text(served.process, log, "Ctrl-C stops.")
        is_locked(served)
        sleeps(served, receiver[1])
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(60) == 0, log.read_text()
    finally:
        served.process.send_signal(signal.SIGCONT)
        served.process.kill()
    refuse_taken_port("127.0.0.1", port)


def is_locked(served: Served) -> None:
    """Somebody else's lock on the database in the middle of a night costs no scene."""
    run = served.start_run("nightly/hills")
    until(lambda: served.of_run(run, "task_runs"))
    database = sqlite3.connect(served.catalog.parent / "archive/.prefect/prefect.db", isolation_level=None, timeout=60)
    database.execute("BEGIN EXCLUSIVE")
    time.sleep(20)
    database.execute("ROLLBACK")
    database.close()
    assert served.wait_for(run, 240)["message"] == "2 published, 1 failed: hills/broken (NOT_SUPPORTED)"


def sleeps(served: Served, told: list[dict[str, Any]]) -> None:
    """The worker sleeps: its missing is told, and that a run is late; a killed run and all below it are crashed."""
    night = served.start_run("nightly/hills", force=True)
    labels = until(lambda: served.api("GET", f"/flow_runs/{night}")["labels"].get("srcore.process"))
    until(lambda: served.of_run(night, "task_runs"))
    os.kill(served.process.pid, signal.SIGSTOP)
    os.kill(int(json.loads(labels)["pid"]), signal.SIGKILL)
    killed = time.monotonic()
    served.start_run("upscale-scene/by-hand", scene="east")
    until(lambda: "srcore: a run is late" in [one["what"] for one in told], 120)
    until(lambda: "srcore: the worker is missing" in [one["what"] for one in told], 180)
    assert served.wait_for(night, 150)["type"] == "CRASHED"
    print(f"crashed {time.monotonic() - killed:.0f} s after its process was killed")
    until(lambda: (night, "srcore: a run failed") in [(one["url"][-36:], one["what"]) for one in told])
    os.kill(served.process.pid, signal.SIGCONT)
    unfinished = {"task_runs": {"state": {"type": {"any_": ["PENDING", "RUNNING"]}}}}
    until(lambda: served.api("POST", "/task_runs/count", unfinished) == 0, 60)
    below = {"flow_runs": {"parent_flow_run_id": {"any_": [night]}}}
    assert {one["state"]["type"] for one in served.api("POST", "/flow_runs/filter", below)} <= {"COMPLETED", "CRASHED"}


@pytest.mark.parametrize(("blocks", "found"), [("unlimited", "file is not a database"), ("300", "disk I/O error")])
def test_a_database_that_is_damaged_or_finds_no_room_is_told_in_one_line(
    tmp_path: Path, blocks: str, found: str
) -> None:
    catalog, home = make_archive(tmp_path), tmp_path / "archive" / ".prefect"
    home.mkdir(parents=True)
    if blocks == "unlimited":
        (home / "prefect.db").write_bytes(b"no database" * 1000)
    command = f"ulimit -f {blocks}; exec {sys.executable} -m flows.cli serve --catalog {catalog} --port {free_port()}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT")}
    ended = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, env=kept, timeout=120)
    assert ended.returncode == 1
    [line] = ended.stderr.strip().splitlines()
    assert line.startswith("error: the Prefect server did not start; found ")
    assert found in line
    assert not (tmp_path / "archive" / ".serve").exists()


def arrives(served: Served) -> None:
    """A new file is done once; what was there before is not."""
    source = served.catalog.parent / "in"
    (source / "north.tif").write_bytes((source / "east.tif").read_bytes())
    body = {"flow_runs": {"name": {"any_": ["hills/north"]}}}
    [run] = until(lambda: served.api("POST", "/flow_runs/filter", body))
    assert served.wait_for(run["id"])["type"] == "COMPLETED"
    products = served.catalog.parent / "archive" / "hills" / "products"
    assert [path.name for path in products.iterdir()] == ["north"]
    events = {"filter": {"event": {"name": ["srcore.scene.arrived"]}}}
    [event] = until(lambda: served.api("POST", "/events/filter", events)["events"])
    assert event["payload"] == {"dataset": "hills", "scene": "north"}
    os.utime(source / "north.tif")  # another time: looked at again, and up to date
    until(lambda: len(served.api("POST", "/flow_runs/filter", body)) == 2)


def is_edited(served: Served) -> None:
    """Broken: told once, and nothing changes; mended: deployments come, go and change."""
    good = served.catalog.read_text()
    served.catalog.write_text(good + "broken: [")
    until(lambda: "the last good one stays in force" in served.log.read_text())
    names = {one["name"] for one in served.api("POST", "/deployments/filter", {})}
    assert names == {"hills", "on-demand", "by-hand"}
    state = served.wait_for(served.start_run("upscale-scene/by-hand", scene="north"))
    assert state["message"] == "north: up to date"
    served.catalog.write_text(good.replace("0 2 * * *", "30 3 * * *").replace("on-demand:", "lakes:"))
    until(lambda: "the catalog changed: + lakes, - on-demand, hills" in served.log.read_text())
    found = {one["name"]: one for one in served.api("POST", "/deployments/filter", {})}
    assert set(found) == {"hills", "lakes", "by-hand"}
    assert [one["schedule"]["cron"] for one in found["hills"]["schedules"]] == ["30 3 * * *"]
    assert served.log.read_text().count("the last good one stays in force") == 1


def is_told(served: Served, told: list[dict[str, Any]]) -> None:
    """A failed run is told, a receiver that hangs holds up no other run, and the next message comes."""
    for count in (1, 2):
        run = served.start_run("upscale-scene/by-hand", scene="nowhere")
        assert served.wait_for(run, 60)["type"] == "FAILED"
        until(lambda count=count: len(told) >= count)
        assert told[count - 1]["what"] == "srcore: a run failed"
        assert told[count - 1]["url"].endswith(run)
        assert "has no scene 'nowhere'" in told[count - 1]["reason"]
    assert len(served.api("POST", "/automations/filter", {})) == 4


def is_killed(served: Served) -> tuple[str, int]:
    """SIGKILL to the service: its server goes, too, and the run stays; gives the run and its process, stopped."""
    run = served.start_run("nightly/hills", force=True)
    labels = until(lambda: served.api("GET", f"/flow_runs/{run}")["labels"].get("srcore.process"))
    process = int(json.loads(labels)["pid"])
    until(lambda: served.of_run(run, "task_runs") or "hills/" in served.log.read_text())
    os.kill(process, signal.SIGSTOP)
    served.process.kill()
    served.process.wait()
    until(lambda: _is_free(served), 30)
    return run, process


def _is_free(served: Served) -> bool:
    try:
        refuse_taken_port("127.0.0.1", int(served.url.rpartition(":")[2]))
    except ValueError:
        return False
    return True
