from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from flows.serve import AUTH, refuse_open_host, refuse_taken_port, serve, server_environment
from srcore.errors import CatalogError, SRError
from tests.conftest import ROOT
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_an_open_host_needs_a_password(host: str, catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(AUTH, raising=False)
    with pytest.raises(CatalogError, match=f"set {AUTH}=user:password, or serve on 127.0.0.1"):
        serve(catalog_path, host)
    with pytest.raises(CatalogError):
        refuse_open_host(host, {AUTH: "no-colon"})
    refuse_open_host(host, {AUTH: "user:password"})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.3.2.1", "::1", "localhost"])
def test_loopback_needs_none(host: str) -> None:
    refuse_open_host(host, {})


def test_a_taken_port_is_told_before_anything_starts(catalog_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(CatalogError, match=r"cannot listen on 127\.0\.0\.1:\d+; found Address already in use"):
            serve(catalog_path, port=other.getsockname()[1])
    assert not (catalog_path.parent / "archive").exists()
    refuse_taken_port("127.0.0.1", free_port())


def test_a_broken_catalog_is_told_before_anything_starts(tmp_path: Path) -> None:
    (tmp_path / "catalog.yaml").write_text("version: 2\n")
    with pytest.raises(SRError):
        serve(tmp_path / "catalog.yaml")


def test_server_worker_and_runs_share_their_settings(tmp_path: Path) -> None:
    found = server_environment(tmp_path, "127.0.0.1", 4300, {})
    assert found["PREFECT_API_URL"] == found["PREFECT_SERVER_UI_API_URL"] == "http://127.0.0.1:4300/api"
    assert found["PREFECT_HOME"] == str(tmp_path / ".prefect")
    assert found["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert "PREFECT_API_AUTH_STRING" not in found


def test_what_the_user_set_is_kept_and_the_worker_knows_the_password(tmp_path: Path) -> None:
    own = {
        "PREFECT_HOME": "/own",
        AUTH: "user:secret",
        "PREFECT_API_URL": "http://elsewhere/api",
        "PREFECT_SERVER_UI_API_URL": "https://proxy.example.org/api",
    }
    found = server_environment(tmp_path, "0.0.0.0", 4300, own)
    assert found["PREFECT_HOME"] == "/own"
    assert found["PREFECT_SERVER_UI_API_URL"] == "https://proxy.example.org/api"
    assert found["PREFECT_API_URL"] == "http://127.0.0.1:4300/api"
    assert found["PREFECT_API_AUTH_STRING"] == "user:secret"


@pytest.mark.slow
def test_a_run_from_the_form_publishes_in_five_tasks(served: Served) -> None:
    run = served.start_run("upscale-scene/by-hand", dataset="hills", scene="east")
    state = served.wait_for(run)
    assert state["type"] == "COMPLETED", state
    assert served.api("GET", f"/flow_runs/{run}")["name"] == "hills/east"
    tasks = served.of_run(run, "task_runs", sort="EXPECTED_START_TIME_ASC")
    assert {(task["name"], task["state_type"]) for task in tasks} == {
        (stage, "COMPLETED") for stage in ("plan", "ingest", "upscale", "export", "validate")
    }
    artifacts = {artifact["key"]: artifact for artifact in served.of_run(run, "artifacts")}
    # A stage that is quick has no bar; one that has one ends full.
    assert {one["data"] for key, one in artifacts.items() if key.startswith(("ingest-", "upscale-"))} <= {100.0}
    assert artifacts["checks-hills-east"]["type"] == "table"
    assert "data:image/jpeg;base64," in artifacts["quicklook-hills-east"]["data"]
    product = served.catalog.parent / "archive" / "hills" / "products" / "east"
    assert (product / "east.receipt.json").is_file()
    [link] = re.findall(r"\((http://[^)]+)\)", artifacts["report-hills-east"]["data"])
    assert httpx.get(link).content == (product / "east.report.html").read_bytes()
    assert (product.parent.parent / "index.html").is_file()


@pytest.mark.slow
def test_a_scene_that_fails_says_why_and_does_not_stop_the_night(served: Served) -> None:
    run = served.start_run("nightly/hills")
    state = served.wait_for(run)
    assert state["type"] == "FAILED"
    assert state["message"].endswith("1 failed: hills/broken (NOT_SUPPORTED)")
    assert "Traceback" not in served.log.read_text()
    shown = {artifact["key"]: artifact for artifact in served.of_run(run, "artifacts")}
    assert set(shown) == {"nightly-hills", "night-hills", "trends-hills"}
    assert shown["night-hills"]["data"] == 100.0
    page = shown["nightly-hills"]["data"]
    assert page.index("hills/broken") < page.index("** hills/")  # what failed comes first
    name = served.api("GET", f"/flow_runs/{run}")["name"]
    assert name.startswith("nightly hills 20")
    assert (served.catalog.parent / "archive" / "hills" / "products" / "west" / "west.receipt.json").is_file()


@pytest.mark.slow
def test_the_server_has_scheduled_the_coming_nights(served: Served) -> None:
    body = {"flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}, "sort": "EXPECTED_START_TIME_ASC"}
    planned = served.api("POST", "/flow_runs/filter", body)
    assert planned, "the scheduler inserted no runs: see server.log"
    assert all(run["auto_scheduled"] and run["expected_start_time"][11:16] in ("00:00", "01:00") for run in planned)


@pytest.mark.slow
def test_the_api_runs_only_the_served_catalog_and_answers_only_its_own_names(served: Served, tmp_path: Path) -> None:
    other = tmp_path / "other.yaml"
    other.write_text(served.catalog.read_text())
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        served.start_run("nightly/hills", catalog=str(other))
    for headers in ({"Host": "attacker.example"}, {"Origin": "https://attacker.example"}):
        assert httpx.get(f"{served.url}/api/health", headers=headers).status_code == 403
    assert httpx.get(f"{served.url}/api/health").status_code == 200
    home = served.catalog.parent / "archive" / ".prefect"
    assert home.stat().st_mode & 0o077 == 0
    assert (home / "prefect.db").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_what_a_form_cannot_mean_is_refused_before_it_is_queued(served: Served) -> None:
    before = served.api("POST", "/flow_runs/count", {})
    wrong = [{"scene": "../east"}, {"scene": "east", "dataset": "moon"}, {"scene": "east", "model": "no-such"}, {}]
    for parameters in wrong:
        with pytest.raises(httpx.HTTPStatusError, match="409"):
            served.start_run("upscale-scene/by-hand", **parameters)
    assert served.api("POST", "/flow_runs/count", {}) == before
    state = served.wait_for(served.start_run("upscale-scene/by-hand", scene="nowhere"))
    assert state["message"] == "nowhere: failed, BAD_CATALOG: dataset hills has no scene 'nowhere'; see `srcore status`"


@pytest.mark.slow
def test_the_call_that_the_page_tells_of_starts_a_night(served: Served) -> None:
    text = (ROOT / "docs/serve.md").read_text().partition("From a program")[2]
    script = "\n".join(line for line in text.splitlines() if line.startswith("    "))
    script = script.replace("http://127.0.0.1:4200", served.url).replace("python3", sys.executable)
    answer = subprocess.run(["bash", "-euc", script], stdout=subprocess.PIPE, text=True).stdout
    run = json.loads(answer)
    assert "parameters" in run, answer
    assert run["parameters"] | {"catalog": ""} == {"catalog": "", "dataset": "hills", "limit": 1}
    assert served.wait_for(run["id"])["type"] in ("COMPLETED", "FAILED")


@pytest.mark.slow
def test_a_second_service_touches_nothing_of_the_first(served: Served, tmp_path: Path) -> None:
    home = served.catalog.parent / "archive" / ".prefect"
    before = (home / "server.log").stat().st_ino, (home / "server.log").stat().st_size
    second = start_serve(served.catalog, free_port(), log := tmp_path / "second.log")
    assert second.wait(60) == 1  # the command line's 2 is test_service's
    told = log.read_text().strip().splitlines()[-1]
    assert f"pid {served.process.pid} on " in told
    assert served.url in told
    assert ((home / "server.log").stat().st_ino, (home / "server.log").stat().st_size) == before
    assert httpx.get(f"{served.url}/api/health").status_code == 200


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_the_server_starts_leaves_nothing_behind(
    tmp_path: Path, catalog_path: Path, number: signal.Signals
) -> None:
    port, log = free_port(), tmp_path / "serve.log"
    process = start_serve(catalog_path, port, log)
    try:
        wait_for_text(process, log, "starting the Prefect server")
        process.send_signal(number)
        assert process.wait(60) == 0, log.read_text()
    finally:
        process.kill()
    assert log.read_text().endswith("stopped\n")
    refuse_taken_port("127.0.0.1", port)
