"""Runs and the processes that do them: each run tells the server whose it is, and only the dead are closed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, TypeVar
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterTags,
    FlowRunFilter,
    FlowRunFilterParentFlowRunId,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
    TaskRunFilter,
    TaskRunFilterState,
    TaskRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType, TaskRun
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import PrefectException
from prefect.states import Crashed

from flows.guard import POOL, in_force, refuse_unserved
from flows.tagged import our_tags
from srcore.storage.disk.owner import Owner, myself, still_runs

log = logging.getLogger(__name__)

T = TypeVar("T", FlowRun, TaskRun)

LABEL = "srcore.process"
"""Of a run: the process that does it, as a lease names its owner."""
UNFINISHED = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]
UNSIGNED_SECONDS = 600.0
"""On a shared server a run whose process takes longer to begin has none."""
PAGE = 200
"""What the server gives at once."""
ABOVE = "the run that it belongs to crashed; run that again to go on from its finished tiles"
ENDED = "the process of this run ended before it; run it again to go on from its finished tiles"


def ours() -> DeploymentFilter:
    """The deployments that are ours: to close the runs of, and to delete when the catalog no longer has them."""
    return DeploymentFilter(tags=DeploymentFilterTags(all_=our_tags()))


@dataclass(frozen=True)
class Unfinished:
    """Runs that the server calls unfinished, by what became of their processes; names."""

    dead: tuple[str, ...] = ()
    alive: tuple[str, ...] = ()
    """Of a service that was killed: they go on, and publish."""
    elsewhere: tuple[str, ...] = ()
    """Of another machine or container; where their heartbeats end the server closes them."""


def begin(catalog: str) -> str:
    """What every run does first; gives the catalog to read: under a service the one that it last found good.

    CatalogError NOT_SERVED for a catalog that is not the service's.
    """
    refuse_unserved(catalog)
    if run := os.environ.get("PREFECT__FLOW_RUN_ID"):  # set for the run of a deployment, and there for its subflows
        _sign(run)
    return in_force(catalog)


@cache
def _sign(run: str) -> None:
    try:
        with get_client(sync_client=True) as client:
            client.update_flow_run_labels(UUID(run), {LABEL: json.dumps(asdict(myself()))})
    except (httpx.HTTPError, PrefectException) as error:  # a view: what is to be done is done
        log.warning("the Prefect server was not told which process this is: %s", error)


def close_dead() -> Unfinished:
    """Mark as crashed the runs of our deployments whose process is dead, their subflows, and the tasks of crashed runs.

    Which those are: see `fate`; on a service's own server call it while no worker of it has a run. See `shared_fate`.
    """
    with get_client(sync_client=True) as client:
        filter_ = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
        runs = _all(lambda at: client.read_flow_runs(deployment_filter=ours(), flow_run_filter=filter_, offset=at))
        judge = shared_fate if os.environ.get(POOL) else lambda run: fate(owner_of(run))
        fates = {run.id: judge(run) for run in runs}
        dead = [run for run in runs if fates[run.id] == "dead"]
        closed = dead + _below(client, dead)
        for run in closed:
            client.set_flow_run_state(run.id, Crashed(message=ENDED), force=True)
        for task in _tasks(client):
            client.set_task_run_state(task.id, Crashed(message=ENDED), force=True)
    return Unfinished(*(_names(runs, fates, kind) for kind in ("dead", "alive", "elsewhere")))


def close_below() -> int:
    """Mark as crashed what is unfinished below crashed runs; how many.

    Their subflows, which live in the same process and beat no heart of their own, and their tasks.
    """
    with get_client(sync_client=True) as client:
        latest = client.read_flow_runs(flow_run_filter=_crashed(), sort=FlowRunSort.END_TIME_DESC)
        below = _below(client, latest)
        for run in below:
            client.set_flow_run_state(run.id, Crashed(message=ABOVE), force=True)
        tasks = _tasks(client)  # now, of those just closed too
        for task in tasks:
            client.set_task_run_state(task.id, Crashed(message=ABOVE), force=True)
    return len(below) + len(tasks)


def running() -> list[str]:
    """What our deployments do now: 'nightly hills (hills/east)', with the subflows that run."""
    with get_client(sync_client=True) as client:
        filter_ = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)))
        runs = client.read_flow_runs(deployment_filter=ours(), flow_run_filter=filter_)
        below = {run.id: ", ".join(one.name for one in _below(client, [run])) for run in runs}
    return [f"{run.name}{f' ({below[run.id]})' if below[run.id] else ''}" for run in runs]


def owner_of(run: FlowRun) -> Owner | None:
    """The process that signed a run; None when none did."""
    try:
        return Owner(**json.loads(str(run.labels[LABEL])))
    except (KeyError, ValueError, TypeError):
        return None


def shared_fate(run: FlowRun) -> str:
    """dead, alive or elsewhere, on a server that other machines use: dead is only what ran in a process of this one.

    Two machines may have one name, and each its own boot. A run that waits unsigned for long was begun by nobody.
    """
    owner = owner_of(run)
    if owner is not None:
        runs = still_runs(owner)
        return "elsewhere" if runs is None else "alive" if runs else "dead"
    if run.state is None or run.state.type is not StateType.PENDING or ":" in (run.infrastructure_pid or ""):
        return "elsewhere"  # it runs, or a pod waits for a machine
    waited = (datetime.now(UTC) - run.state.timestamp).total_seconds()
    return "dead" if waited > UNSIGNED_SECONDS else "elsewhere"


def fate(owner: Owner | None) -> str:
    """dead, alive or elsewhere, on this service's own server.

    A run that no process has signed was never begun, or begun by nobody who is still there: it counts as dead.
    """
    if owner is None:
        return "dead"
    runs, here = still_runs(owner), myself()
    if runs is None and owner.host == here.host and owner.space.split()[1:2] != here.space.split()[1:2]:
        return "dead"  # this machine was started again since
    return "elsewhere" if runs is None else "alive" if runs else "dead"


def _names(runs: Iterable[FlowRun], fates: dict[UUID, str], kind: str) -> tuple[str, ...]:
    return tuple(run.name for run in runs if fates[run.id] == kind)


def _below(client: Any, runs: Sequence[FlowRun]) -> list[FlowRun]:
    """The unfinished subflows of runs, and theirs."""
    found: list[FlowRun] = []
    while runs:
        filter_ = FlowRunFilter(
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNFINISHED)),
            parent_flow_run_id=FlowRunFilterParentFlowRunId(any_=[run.id for run in runs]),
        )
        runs = _all(partial(_page, client, filter_))
        found += runs
    return found


def _page(client: Any, of: FlowRunFilter, at: int) -> list[FlowRun]:
    page: list[FlowRun] = client.read_flow_runs(flow_run_filter=of, offset=at)
    return page


def _crashed() -> FlowRunFilter:
    """Crashed runs; on a server that others use, too, our own."""
    state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED]))
    return FlowRunFilter(state=state, tags=FlowRunFilterTags(all_=our_tags()) if os.environ.get(POOL) else None)


def _tasks(client: Any) -> list[TaskRun]:
    """The unfinished tasks of crashed runs, also of those that the server closed when their heartbeats stopped."""
    of = _crashed()
    unfinished = TaskRunFilter(state=TaskRunFilterState(type=TaskRunFilterStateType(any_=UNFINISHED)))
    return _all(lambda at: client.read_task_runs(flow_run_filter=of, task_run_filter=unfinished, offset=at))


def _all(read: Callable[[int], Sequence[T]]) -> list[T]:
    """Every page of what the server knows."""
    found: list[T] = []
    while page := read(len(found)):
        found += page
        if len(page) < PAGE:
            break
    return found
