"""The flow `collect-pairs`: its deployment, its words, and how it ends."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType

from flows.deploy import deployments, lanes, schedules
from flows.nightly import run_night
from flows.pairs import collect_pairs
from flows.service import work
from flows.service.follow import first
from srcore.catalog import load_catalog
from srcore.run.outcome import Outcome
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text
from tests.training.pairs.drawn import pair
from tests.training.pairs.files import write_pair
from tests.training.pairs.test_store import catalog_of, of_folders, three


def test_a_dataset_with_the_key_has_a_deployment_that_no_night_waits_for(tmp_path: Path) -> None:
    path = of_folders(tmp_path, pairs={"schedule": "0 3 * * *"})
    made = deployments(path, load_catalog(path))
    assert [(one.flow_name, one.name) for one in made] == [
        ("nightly", "s2"),
        ("collect-pairs", "s2"),
        ("upscale-scene", "by-hand"),
    ]
    assert schedules(made) == ["s2: pairs of HR and LR at 0 3 * * * UTC"]
    assert lanes(made) == {"nightly": [made[0]], "training": [made[1]], "upscale-scene": [made[2]]}


def test_what_cannot_be_collected_is_a_failed_run_of_one_line(tmp_path: Path) -> None:
    state = collect_pairs.fn(str(of_folders(tmp_path)), "nowhere")
    assert state.type == StateType.FAILED
    assert "unknown dataset" in str(state.message)
    state = collect_pairs.fn(str(of_folders(tmp_path, privacy="restricted")), "s2")
    assert str(state.message).startswith("RESTRICTED: nothing is learned from s2")


def test_files_of_lr_and_hr_that_arrive_are_one_run_and_one_that_grows_for_ever_stops_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = of_folders(tmp_path, pairs={"on_arrival": True}, watch={"settle_s": 1})
    write_pair(tmp_path, "old", pair(0))
    started: list[list[str]] = []
    now = [0.0]
    monkeypatch.setattr(work, "time", SimpleNamespace(monotonic=lambda: now[0]))
    monkeypatch.setattr(work, "start_scene", lambda *_: None)
    monkeypatch.setattr(work, "start_collecting", lambda _path, _name, new: started.append([one.scene for one in new]))
    said: list[str] = []
    service = work.Work(first(catalog), tmp_path / "state/catalog.yaml", "", said.append, work.Lane)
    (tmp_path / "state").mkdir()

    def look(at: float) -> list[list[str]]:
        now[0] = at
        service.look_around()
        return started

    assert look(0) == [], "what is there at the first look is for the schedule"
    write_pair(tmp_path, "new", pair(1), east=50000)
    assert look(1) == []
    assert look(3) == [["lr/new", "hr/new"]]
    assert look(9) == [["lr/new", "hr/new"]], "once"
    write_pair(tmp_path, "new", pair(2), east=50000)  # another HR and LR under its name
    for second in range(10, 24):
        write_pair(tmp_path, "grows", pair(3), east=90000, values=pair(3).hr[:, : second * 4])
        os.utime(tmp_path / "hr/grows.tif", (second, second))
        os.utime(tmp_path / "lr/grows.tif", (9, 9))
        look(second)
    assert set(started[1]) == {"lr/new", "hr/new", "lr/grows"}
    assert said[:2] == ["s2/new has arrived", "s2: 2 files of pairs have arrived"]


def test_behind_a_night_that_published_the_pairs_are_collected(tmp_path: Path) -> None:
    path = catalog_of(
        tmp_path,
        coarse={"source": "./lr/*.tif", "date": "2024-06-01", "pairs": {"hr": "fine", "on_arrival": True}},
        fine={"source": "./hr/*.tif", "date": "2024-06-01"},
        other={"source": "./hr/*.tif", "pairs": {}},
    )
    for index in range(2):
        write_pair(tmp_path, f"scene{index}", pair(index), east=50000 * index)

    def night(result: str, dataset: str | None = None) -> list[tuple[str, str, str]]:
        found = run_night(path, dataset, lambda *_: [Outcome("scene0", result)])  # type: ignore[arg-type]
        return [(name, one.code, one.message) for name, one in found if one.result == "note"]

    told = "pairs of coarse: 2 pairs, 0 refused"
    assert night("up to date") == []
    assert night("published", "fine") == [("fine", "", told)], "its scenes are the HR of another"
    assert night("degraded") == [("coarse", "", told), ("fine", "", told)]
    (tmp_path / "archive/coarse/pairs/pairs.json").write_text("{")
    [(_, code, message)] = night("published", "coarse")
    assert (code, message.startswith("pairs of coarse were not collected: ")) == ("BAD_STORE", True)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_run_on_a_server_shows_both_tables_and_the_page(tmp_path: Path) -> None:
    catalog, log, port = three(tmp_path), tmp_path / "serve.log", free_port()
    catalog.write_text(catalog.read_text().replace("hr: ./hr", "hr: ./hr\n    pairs: {sensor: same}"))
    process = start_serve(catalog, port, log)
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        served = Served(process, catalog, f"http://127.0.0.1:{port}", log)
        run = served.start_run("collect-pairs/s2")
        state = served.wait_for(run, 120)
        assert (state["type"], state["message"]) == ("COMPLETED", "s2: 2 pairs, 2 refused: 1 NO_HR, 1 UNLIKE")
        artifacts: dict[str, Any] = {one["key"]: one for one in served.of_run(run, "artifacts")}
        rows = {row["scene"]: row for row in json.loads(artifacts["refused-s2"]["data"])}
        assert rows["wrong"]["code"] == "UNLIKE"
        assert "correlates with it by" in rows["wrong"]["remarks"]
        assert {row["scene"] for row in json.loads(artifacts["pairs-s2"]["data"])} == {"moved", "right"}
        assert "pairs.html" in artifacts["pairs-page-s2"]["data"]
        assert artifacts["pairs-collect-s2"]["data"] == 100.0
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
