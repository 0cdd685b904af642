"""The flow `collect-pairs`: its deployment, its words, and how it ends."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType

from flows.deploy import deployments, lanes, schedules
from flows.pairs import collect_pairs
from srcore.catalog import load_catalog
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text
from tests.training.pairs.test_store import of_folders, three


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
