from __future__ import annotations

from collections.abc import Iterator
from typing import Any, cast

import pytest
from prefect.client.schemas.objects import State, StateType
from prefect.logging import disable_run_logger

from flows import tasks
from flows.tasks import TASKS, can_retry, run_stage
from srcore.checks import Check
from srcore.errors import SourceError, SRError, StoreError
from srcore.run.scene import STAGES
from srcore.stages.validate import Report


@pytest.fixture(autouse=True)
def _no_run() -> Iterator[None]:
    with disable_run_logger():
        yield


def test_the_tasks_have_the_names_of_the_stages_and_keep_nothing() -> None:
    assert list(TASKS) == [task.name for task in TASKS.values()] == list(STAGES)
    assert not any(task.persist_result for task in TASKS.values())


def test_a_stage_gives_what_its_function_gives() -> None:
    assert run_stage("plan", "a", "b", lambda progress: 7) == 7


def test_an_error_of_srcore_is_a_failed_state_of_one_line_with_its_code() -> None:
    error = SourceError("no raster", "text\nin two lines", "give a raster", code="NOT_SUPPORTED")

    def fail(progress: Any) -> None:
        raise error

    state = cast("State[SRError]", run_stage("plan", "a", "b", fail))
    assert state.type == StateType.FAILED
    assert state.message == "NOT_SUPPORTED: no raster; found text in two lines; give a raster"
    assert state.data is error


def test_an_error_of_another_kind_is_not_hidden() -> None:
    def fail(progress: Any) -> None:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        run_stage("plan", "a", "b", fail)


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (StoreError("disk"), True),
        (SourceError("bad"), False),
        (SourceError("no right", code="NOT_READABLE"), False),  # the next night may, the next minute does not
        (KeyError("bug"), False),
    ],
)
def test_only_what_trying_again_can_help_is_tried_again(error: Exception, again: bool) -> None:
    state: State[Any] = State(type=StateType.FAILED, data=error)
    assert can_retry(TASKS["ingest"], cast(Any, None), state) is again


def test_the_checks_are_shown_also_when_a_gate_will_stop_the_product(monkeypatch: pytest.MonkeyPatch) -> None:
    tables: list[Any] = []
    monkeypatch.setattr(tasks, "show_table", lambda rows, *rest: tables.extend(rows))
    report = Report((Check("grid", "GATE", False, 3.0, "px", 0.0),))
    assert run_stage("validate", "a", "b", lambda progress: report) is report
    assert [row["id"] for row in tables] == ["grid"]
