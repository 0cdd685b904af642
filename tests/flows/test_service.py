"""What a service does beside the server: alone on its store, following its catalog, its files and its runs."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from prefect.client.schemas.objects import FlowRun

from flows import artifacts
from flows.guard import IN_FORCE, PAGES, in_force
from flows.serve import in_words, say, server_environment, why_it_ended
from flows.service import follow, runs
from flows.service.alone import alone, places, refuse_second
from flows.service.notices import END_STATES, payload, triggers, words, zombies
from flows.service.runs import LABEL, Unfinished, fate, owner_of
from flows.service.work import changes, keep_going
from flows.upscale import OF_THE_CATALOG, with_model
from srcore.catalog import Catalog, load_catalog
from srcore.errors import CatalogError, SRError
from srcore.settings import load_settings
from srcore.storage.disk.leases import myself
from tests.conftest import ROOT
from tests.flows.conftest import edit, make_archive

HOLDER = """
import sys
from pathlib import Path
from flows.service.alone import alone
from tests.flows.conftest import edit
with alone((Path(sys.argv[1]),), "http://127.0.0.1:4999"):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_service_is_refused_with_pid_host_and_address_and_a_dead_one_replaced(tmp_path: Path) -> None:
    folder = tmp_path / "store" / ".serve"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    ) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == b"held\n"
        before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
        for refused in (lambda: refuse_second((folder,)), lambda: alone((folder,), "other").__enter__()):
            with pytest.raises(CatalogError) as caught:
                refused()
            told = str(caught.value)
            assert (caught.value.code, caught.value.exit_code) == ("SERVED_ALREADY", 2)
            assert f"pid {first.pid} on {socket.gethostname()}" in told
            assert "http://127.0.0.1:4999" in told
            assert "\n" not in told
        assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before
        first.kill()
    refuse_second((folder,))
    with alone((folder,), "http://127.0.0.1:5000"):
        assert (folder / "url").read_text() == "http://127.0.0.1:5000"
    assert not folder.exists()


def test_two_stores_with_one_database_are_two_services_too_many(tmp_path: Path) -> None:
    assert places(tmp_path, tmp_path / ".prefect") == (tmp_path / ".serve",)
    home = tmp_path / "home"
    with alone(places(tmp_path / "a", home), "a"), pytest.raises(CatalogError, match="home is served already"):
        refuse_second(places(tmp_path / "b", home))


def test_only_runs_of_dead_processes_of_this_machine_are_closed() -> None:
    here = myself()
    gone = replace(here, started=here.started - 5000)
    assert fate(here) == "alive"
    assert fate(gone) == "dead"  # another process has its pid now
    assert fate(None) == "dead"  # nobody ever began it
    assert fate(replace(here, host="other", space="other boot pid:[1]")) == "elsewhere"
    host, _, *rest = here.space.split()
    assert fate(replace(here, space=" ".join([host, "another-boot", *rest]))) == "dead"
    assert fate(replace(here, space=f"{here.space.rsplit(' ', 1)[0]} pid:[7]")) == "elsewhere"  # another container


def test_a_run_names_its_process(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    here = myself()
    run = FlowRun(flow_id="00000000-0000-0000-0000-000000000000", labels={LABEL: json.dumps(asdict(here))})
    assert owner_of(run) == here
    for damaged in ("", "{", "[]", '{"pid": 1}'):
        assert owner_of(run.model_copy(update={"labels": {LABEL: damaged}})) is None
    monkeypatch.setenv("PREFECT__FLOW_RUN_ID", "")
    assert runs.begin("catalog.yaml") == "catalog.yaml"


def test_a_start_says_what_became_of_each_unfinished_run() -> None:
    told = in_words(Unfinished(("night",), ("still at it",), ()))
    assert told == [
        "1 runs were interrupted when the last server stopped; they are marked as crashed: night",
        "1 runs of a service that was killed go on: still at it",
    ]


def test_a_server_that_ends_is_told_by_its_last_error() -> None:
    log = "INFO: up\nsqlite3.OperationalError: disk I/O error\n(Background)\n\nERROR:  Application startup failed.\n"
    assert why_it_ended(log) == "sqlite3.OperationalError: disk I/O error"
    assert why_it_ended("one\ntwo\n") == "two"
    assert why_it_ended("") == "an empty log"


def test_a_terminal_that_is_gone_stops_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(writes, "w") as gone:
        monkeypatch.setattr(sys, "stdout", gone)
        say("stopping")
        say("stopped")


def test_a_worker_that_dies_is_started_again_until_it_is_cancelled() -> None:
    said: list[str] = []
    starts: list[float] = []

    async def work() -> None:
        starts.append(time.monotonic())
        if len(starts) == 1:
            raise RuntimeError("a fault\nin two lines")
        if len(starts) > 2:
            await asyncio.sleep(60)

    async def watch() -> None:
        task = asyncio.create_task(keep_going(work, "the worker", said.append, pause=0.01))
        while len(starts) < 3:
            await asyncio.sleep(0.005)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(watch())
    assert [line.partition(": ")[2] for line in said] == ["a fault in two lines", "it ended"]
    assert starts[2] - starts[1] > starts[1] - starts[0] > 0.01  # the pause grows


def test_an_edit_is_taken_over_a_broken_one_changes_nothing_and_mended_goes_on(catalog_path: Path) -> None:
    good = catalog_path.read_text()
    at_first = follow.first(catalog_path)
    assert follow.look(at_first) is at_first
    edit(catalog_path, "on-demand:", "lakes:")
    halfway = follow.look(at_first)
    assert halfway.catalog is at_first.catalog  # it may still be written to: read when two looks see the same
    changed = follow.look(halfway)
    assert list(changed.catalog.datasets) == ["hills", "lakes"]
    assert changes(at_first.catalog, changed.catalog) == "+ lakes, - on-demand"

    edit(catalog_path, "version: 1", "version: 2")
    broken = follow.look(follow.look(changed))
    assert broken.catalog is changed.catalog
    assert f"{catalog_path}:1: version" in broken.problem
    assert follow.look(broken) is broken  # told once
    catalog_path.unlink()
    gone = follow.look(follow.look(broken))
    assert (gone.catalog, "cannot be read" in gone.problem) == (changed.catalog, True)

    catalog_path.write_text(good.replace("0 2 * * *", "30 3 * * *"))
    mended = follow.look(follow.look(gone))
    assert mended.problem == ""
    assert mended.catalog.datasets["hills"].schedule == "30 3 * * *"
    assert changes(changed.catalog, mended.catalog) == "+ on-demand, - lakes, hills"


def test_a_second_ctrl_c_ends_what_waits_for_a_server_that_does_not_answer() -> None:
    code = (
        "import os, signal, time; from flows import serve; serve.AGAIN_SECONDS = 0.2; stop = serve.Stop();"
        "serve.stop_on_signals(stop); me = os.getpid(); os.kill(me, signal.SIGINT); os.kill(me, signal.SIGTERM);"
        "print(stop.is_set(), flush=True); time.sleep(0.3); os.kill(me, signal.SIGINT); time.sleep(60)"
    )
    ended = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (ended.returncode, ended.stdout) == (130, "True\n"), ended.stderr


def test_another_store_needs_another_service(catalog_path: Path) -> None:
    at_first = follow.first(catalog_path)
    edit(catalog_path, "./archive", "./elsewhere")
    found = follow.look(follow.look(at_first))
    assert found.catalog is at_first.catalog
    assert "start the service again" in found.problem


def test_the_copy_that_runs_read_means_the_same_wherever_it_lies(catalog_path: Path, tmp_path: Path) -> None:
    edit(catalog_path, "    tile: 64\n", '    tile: 64\n    exclude: ["./in/br*", "*.bak"]\n    date: "2023-06-02"\n')
    catalog, copy = load_catalog(catalog_path), tmp_path / "deep" / "er" / "copy.yaml"
    copy.parent.mkdir(parents=True)
    follow.write_copy(catalog, copy)
    again = load_catalog(copy)
    assert again.store == catalog.store
    assert again.datasets.keys() == catalog.datasets.keys()
    here = [scene.paths for name in catalog.datasets for scene in _scenes(catalog, name)]
    assert here == [scene.paths for name in again.datasets for scene in _scenes(again, name)]
    assert len(here) == 2
    same = {"source": None, "exclude": ()}
    for name, entry in catalog.datasets.items():
        assert again.datasets[name].model_copy(update=same) == entry.model_copy(update=same)
    follow.write_copy(again, other := copy.with_name("other.yaml"))
    assert other.read_bytes() == copy.read_bytes()


def test_a_catalog_whose_folder_reads_as_a_pattern_is_refused_and_not_served_without_scenes(tmp_path: Path) -> None:
    folder = tmp_path / "old [2024]"
    folder.mkdir()
    catalog = load_catalog(make_archive(folder))
    assert _scenes(catalog, "hills")  # by hand it is read
    with pytest.raises(CatalogError, match=r"wildcard in its name.* found .*old \[2024\]"):
        follow.write_copy(catalog, tmp_path / "copy.yaml")


ELSEWHERE = """\
version: 1
store: s3://archive/sr
datasets:
  bucket: {kind: raster, source: "s3://archive/in/*.tif", model: bicubic-x2}
  web: {kind: raster, source: "https://host.example/scene.tif", model: bicubic-x2}
  search: {kind: raster, source: {stac: "https://host.example/v1", collections: [s2]}, model: bicubic-x2}
  document: {kind: raster, source: {stac: ./catalog.json}, model: bicubic-x2}
"""


def test_in_the_copy_an_address_stays_an_address(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SRCORE_SCRATCH", str(tmp_path / "scratch"))
    path, copy = tmp_path / "data_catalog.yaml", tmp_path / "deep" / "copy.yaml"
    path.write_text(ELSEWHERE)
    copy.parent.mkdir()
    catalog = load_catalog(path)
    follow.write_copy(catalog, copy)
    again = load_catalog(copy)
    assert again.datasets == catalog.datasets
    assert (again.store, again.shown_store) == (catalog.store, "s3://archive/sr")
    assert again.datasets["bucket"].source == "s3://archive/in/*.tif"


def _scenes(catalog: Catalog, name: str) -> list[object]:
    from srcore.storage.archive.sources import find_scenes

    return list(find_scenes(catalog.datasets[name], catalog.base))


def test_a_run_of_a_service_reads_the_copy_and_one_by_hand_the_catalog(tmp_path: Path) -> None:
    copy = tmp_path / "copy.yaml"
    assert in_force("own.yaml", {IN_FORCE: str(copy)}) == "own.yaml"
    copy.touch()
    assert in_force("own.yaml", {IN_FORCE: str(copy)}) == str(copy)
    assert in_force("own.yaml", {}) == "own.yaml"


def test_a_model_of_the_form_holds_for_its_run_alone(catalog_path: Path) -> None:
    catalog = load_catalog(catalog_path)
    assert with_model(catalog, "hills", OF_THE_CATALOG) is catalog
    changed = with_model(catalog, "hills", "nearest-x2")
    assert [entry.model for entry in changed.datasets.values()] == ["nearest-x2", "bicubic-x2"]
    assert (changed.base, changed.store) == (catalog.base, catalog.store)
    assert catalog.datasets["hills"].model == "bicubic-x2"
    with pytest.raises(SRError, match="unknown dataset"):
        with_model(catalog, "moon", "nearest-x2")


def test_links_of_a_run_lead_to_the_service_and_those_of_restricted_data_to_the_file(catalog_path: Path) -> None:
    edit(catalog_path, "    source: ./none", "    privacy: restricted\n    source: ./none")
    store = catalog_path.parent / "archive"
    served = {PAGES: "http://127.0.0.1:4200/store", IN_FORCE: str(catalog_path)}
    page = store / "hills" / "products" / "a b" / "a b.report.html"
    assert artifacts.address(page, served) == "http://127.0.0.1:4200/store/hills/products/a%20b/a%20b.report.html"
    assert artifacts.address(page, {}) == page.as_uri()
    for other in (store / "on-demand" / "index.html", store / "unknown" / "index.html", catalog_path):
        assert artifacts.address(other, served) == other.as_uri()


def test_a_run_links_the_map_that_the_service_draws(catalog_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    edit(catalog_path, "    source: ./none", "    privacy: restricted\n    source: ./none")
    shown: list[str] = []
    monkeypatch.setattr(artifacts, "tried", lambda _call, found, **_more: shown.append(found))
    monkeypatch.setenv(PAGES, "http://127.0.0.1:4200/store")
    monkeypatch.setenv(IN_FORCE, str(catalog_path))
    store = catalog_path.parent / "archive"
    for dataset, name in (("hills", "a b.tif"), ("on-demand", "a b.tif"), ("hills", "a b.nii.gz")):
        artifacts.show_map(store / dataset / "products" / "a b" / name, dataset, "a b")
    assert shown == ["http://127.0.0.1:4200/store/hills/map.html?scene=a%20b"]


def test_somebody_is_told_of_failed_crashed_and_late_runs_and_of_a_missing_worker() -> None:
    events = {event for trigger in triggers().values() for event in trigger.expect}
    assert events == {
        "prefect.flow-run.Failed",
        "prefect.flow-run.Crashed",
        "prefect.flow-run.Late",
        "prefect.deployment.not-ready",
    }
    ends = zombies().trigger
    assert ends.within.total_seconds() == 90  # and a beat every 30 s: within two minutes
    assert {f"prefect.flow-run.{state}" for state in END_STATES} < ends.expect


def test_a_message_has_no_name_of_a_scene_where_a_dataset_is_restricted(catalog_path: Path) -> None:
    public = load_catalog(catalog_path)
    edit(catalog_path, "    source: ./none", "    privacy: restricted\n    source: ./none")
    restricted = load_catalog(catalog_path)
    assert "flow_run.state.message" in payload(public)
    assert "flow_run.name" in words(public)[1]
    for text in (payload(restricted), *words(restricted)):
        assert "flow_run.name" not in text
        assert "message" not in text


def test_prefect_takes_the_age_of_its_history_and_the_beat(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from prefect.settings import Settings

    for name, value in server_environment(tmp_path, "127.0.0.1", 4300, {}, days=30).items():
        monkeypatch.setenv(name, value)
    found = Settings()
    assert found.server.services.db_vacuum.retention_period.days == 30
    assert found.server.services.db_vacuum.enabled_vacuum_types == {"events", "flow_runs", "orphans"}
    assert found.server.events.retention_period.days == 30
    assert found.flows.heartbeat_frequency == 30
    assert found.server.services.late_runs.after_seconds.total_seconds() == 1800


@pytest.mark.parametrize(("name", "value"), [("NOTIFY", "ftp://x"), ("NOTIFY_BLOCK", "mail"), ("HISTORY_DAYS", "0")])
def test_a_wrong_setting_is_told_by_its_name(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"SRCORE_{name}", value)
    with pytest.raises(CatalogError, match=f"SRCORE_{name}"):
        load_settings()


def test_the_address_of_a_webhook_is_not_shown(
    srcore: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SRCORE_NOTIFY", "https://hooks.example/secret")
    assert "secret" not in "".join(srcore("settings", "--json")[1:])
