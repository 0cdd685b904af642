"""The five stages as five Prefect tasks. Tiles are no tasks: they are futures inside `upscale`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar, cast

from prefect import Task, runtime
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Failed

from flows.artifacts import StageProgress, TileFailures, artifact_key, show_table
from srcore.errors import SRError
from srcore.progress import Progress
from srcore.run.scene import STAGES

if TYPE_CHECKING:
    from srcore.stages.validate import Report

T = TypeVar("T")

RETRIES = 2
RETRY_DELAYS_SECONDS = [10.0, 60.0]
COUNTED = ("ingest", "upscale")
"""Stages that last long enough for a progress artifact."""


def run_stage(stage: str, dataset: str, scene: str, function: Callable[[Progress], T]) -> T | State[SRError]:
    """Call a stage; an error that srcore raises on purpose becomes a failed state of one line, code first."""
    key = artifact_key(stage, dataset, scene) if stage in COUNTED else None
    with TileFailures() as failures:
        try:
            result = function(StageProgress(stage, key))
        except SRError as error:
            return Failed(message=f"{error.code}: {error}", data=error)
        finally:
            show_table(failures.rows, f"failed tiles of {scene}", "tiles", dataset, scene)
    if stage == "validate":
        checks = [asdict(check) for check in cast("Report", result).checks]
        show_table(checks, f"checks of {scene}", "checks", dataset, scene)
    return result


def can_retry(task: Task[Any, Any], run: TaskRun, state: State[Any]) -> bool:
    """True when the error itself says that trying again after a pause can help."""
    return isinstance(state.data, SRError) and state.data.reason.retry == "soon"


TASKS: dict[str, Task[..., Any]] = {
    stage: Task(
        run_stage,
        name=stage,
        task_run_name=stage,
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAYS_SECONDS,
        retry_condition_fn=can_retry,
        # What a stage makes lies in the store, checksummed; Prefect keeps neither results nor a cache.
        # No tags either: with one, Prefect asks for a concurrency slot before each task, 0.5 s.
        persist_result=False,
        cache_policy=NO_CACHE,
    )
    for stage in STAGES
}


def call_as_task(stage: str, function: Callable[[Progress], T]) -> T:
    """Call a stage of the flow run's scene as the task of its name; raises what the stage raised."""
    scene: dict[str, Any] = runtime.flow_run.parameters
    state: State[T] = TASKS[stage](stage, scene["dataset"], scene["scene"], function, return_state=True)  # type: ignore[assignment]  # sync
    result: T = state.result()
    return result
