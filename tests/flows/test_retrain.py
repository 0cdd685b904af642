"""The flow `retrain`: its deployment, its words, and a run that a server shows with its plots."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule

from flows.deploy import deployments, lanes, schedules
from flows.retrain import STEPS, TASKS, retrain
from srcore.catalog import load_catalog
from srcore.checkpoints import read_spec
from tests.flows.conftest import Served, free_port, start_serve, wait_for_text
from tests.training.retrain_cases import draw_archive, in_parts, register_tiny

pytest.importorskip("mlflow", reason="the registry needs MLflow (extra: train)")


@pytest.fixture
def drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """The catalog of a tiny archive, its registry where srcore keeps one by default."""
    for variable in ("SRCORE_REGISTRY", "SRCORE_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    register_tiny(tmp_path)
    return partial(draw_archive, tmp_path)


def test_a_dataset_with_the_key_has_a_deployment_on_its_own_schedule(drawn: Callable[..., Path]) -> None:
    path = drawn(more=', schedule: "0 4 * * 0"')
    made = deployments(path, load_catalog(path))
    assert [(one.flow_name, one.name) for one in made] == [
        ("nightly", "drawn"),
        ("retrain", "drawn"),
        ("upscale-scene", "by-hand"),
    ]
    [planned] = made[1].schedules or []
    assert isinstance(planned.schedule, CronSchedule)
    assert planned.schedule.cron == "0 4 * * 0"
    assert schedules(made) == ["drawn: a challenger at 0 4 * * 0 UTC"]
    assert lanes(made) == {"nightly": [made[0]], "training": [made[1]], "upscale-scene": [made[2]]}


def test_the_tasks_have_the_names_of_the_steps_and_keep_nothing() -> None:
    assert list(TASKS) == [task.name for task in TASKS.values()] == list(STEPS)
    assert not any(task.persist_result for task in TASKS.values())


def test_what_cannot_be_trained_on_is_a_failed_run_of_one_line(drawn: Callable[..., Path]) -> None:
    state = retrain.fn(str(drawn(count=2)), "drawn")
    assert state.type == StateType.FAILED
    assert str(state.message).startswith("TOO_FEW_PAIRS: too few pairs to retrain on; found 2 scenes")


@pytest.mark.nightly
@pytest.mark.parametrize("measured", [True, False], ids=["hr beside them", "themselves shrunk"])
def test_a_dataset_of_mosaics_retrains_and_its_next_night_uses_the_new_champion(
    drawn: Callable[..., Path], tmp_path: Path, measured: bool
) -> None:
    catalog = in_parts(drawn(measured=measured, side=96 if measured else 192))

    def srcore(*words: str) -> tuple[int, str]:
        command = [sys.executable, "-m", "srcore", *words, "--catalog", str(catalog)]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout + done.stderr

    status, told = srcore("retrain", "drawn")
    assert (status, "promoted" in told) == (0, True), told
    status, told = srcore("run", "drawn", "--workers", "0", "--limit", "2")
    assert status == 0, told
    receipts = [json.loads(path.read_text()) for path in tmp_path.glob("archive/drawn/products/*/*.receipt.json")]
    assert [len(one["sources"]) for one in receipts] == [4, 4]
    assert len({one["model_digest"] for one in receipts} - {read_spec(tmp_path / "tiny").digest}) == 1
    status, told = srcore("retrain", "drawn")
    assert (status, "nothing new" in told) == (0, True), told


def sorted_spans(served: Served, training: str, *nights: str) -> list[tuple[datetime, datetime]]:
    """Start and end of the training, then of the nights in their order."""
    spans = []
    for run in (training, *nights):
        facts = served.api("GET", f"/flow_runs/{run}")
        spans.append((datetime.fromisoformat(facts["start_time"]), datetime.fromisoformat(facts["end_time"])))
    return [spans[0], *sorted(spans[1:])]


@pytest.mark.nightly
def test_a_run_on_a_server_shows_its_steps_its_plots_and_the_decision(
    drawn: Callable[..., Path], tmp_path: Path
) -> None:
    catalog, log, port = drawn(), tmp_path / "serve.log", free_port()
    process = start_serve(catalog, port, log)
    try:
        wait_for_text(process, log, "Ctrl-C stops.")
        served = Served(process, catalog, f"http://127.0.0.1:{port}", log)
        run, night, another = (served.start_run(name) for name in ("retrain/drawn", "nightly/drawn", "nightly/drawn"))
        state = served.wait_for(run, 240)  # beside two nights of as many scenes
        assert state["type"] == "COMPLETED", f"{state['message']}\n{log.read_text()}"
        assert "drawn: promoted" in state["message"]
        assert {one["name"] for one in served.of_run(run, "task_runs")} == set(STEPS)
        artifacts: dict[str, Any] = {one["key"]: one for one in served.of_run(run, "artifacts")}
        assert "data:image/svg+xml;base64," in artifacts["evaluation-drawn"]["data"]
        assert "challenger over champion" in artifacts["evaluation-drawn"]["data"]
        assert "held-out-drawn" in artifacts
        for one in (night, another):
            assert served.wait_for(one, 240)["type"] == "COMPLETED", log.read_text()
        training, first, second = sorted_spans(served, run, night, another)
        assert first[0] < training[1], "no night waits for a training"
        assert first[1] <= second[0], "one night at a time"
        again = served.wait_for(served.start_run("retrain/drawn"))
        assert "nothing new" in again["message"]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)
