"""A night whose process or machine went away begins again: receipts say what is left, so nothing is done twice."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowFilter,
    FlowFilterName,
    FlowRunFilter,
    FlowRunFilterEndTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.states import Scheduled

from flows.nightly import nightly
from flows.service.runs import ours

PAUSE = timedelta(seconds=60)
"""Before a night begins again; twice that before the second time: what broke it may go away."""
KEY = re.compile(r"srcore-again/(\d+)/(\S+)")
"""The idempotency key of such a run: which time it is, of which first night. Two services make one run of it."""


def begin_again(since: datetime, most: int) -> list[str]:
    """Queue once more each night of ours that crashed after `since`, `most` times in all; a line for each.

    A night that ended because its service was stopped is none of them: that happened before the next one's `since`.
    """
    crashed = FlowRunFilter(
        state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.CRASHED])),
        end_time=FlowRunFilterEndTime.model_validate({"after_": since}),
    )
    of = FlowFilter(name=FlowFilterName(any_=[nightly.name]))
    with get_client(sync_client=True) as client:
        found = client.read_flow_runs(flow_filter=of, flow_run_filter=crashed, deployment_filter=ours())
        told = []
        for run in found:
            times, first = which(run)
            if times >= most or run.deployment_id is None:
                told.append(f"{run.name} crashed, and is not begun again: it was {times} times; the next night goes on")
                continue
            client.create_flow_run_from_deployment(
                run.deployment_id,
                parameters=run.parameters,
                state=Scheduled(scheduled_time=datetime.now(UTC) + PAUSE * (times + 1)),
                idempotency_key=f"srcore-again/{times + 1}/{first}",
            )
            told.append(f"{run.name} crashed, and begins again in {PAUSE.total_seconds() * (times + 1):.0f} s")
    return told


def which(run: FlowRun) -> tuple[int, str]:
    """How often this night was begun again already, and the id of its first run."""
    known = KEY.fullmatch(run.idempotency_key or "")
    return (int(known[1]), known[2]) if known else (0, str(run.id))
