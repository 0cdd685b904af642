"""A work pool of a Prefect server that others use, too: this service's deployments in it, and its workers."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable
from contextlib import suppress

from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import DeploymentFilter, DeploymentFilterTags
from prefect.deployments.runner import RunnerDeployment
from prefect.exceptions import ObjectAlreadyExists, ObjectNotFound
from prefect.workers.process import ProcessWorker

from flows import deploy
from flows.tagged import TAG, pool_tag
from srcore.errors import CatalogError

PROCESS = "process"
"""The type of a pool whose runs are processes of the machine that serves."""


def store_tag(store: str) -> str:
    """By which it is known whose deployments those of a pool are."""
    return f"store:{store}"


def open_pool(pool: str, store: str) -> str:
    """The type of the pool, which is made where there is none: for processes.

    CatalogError POOL_TAKEN when the deployments in it are those of another store.
    """
    with get_client(sync_client=True) as client:
        try:
            kind = client.read_work_pool(pool).type
        except ObjectNotFound:
            kind = _make(client, pool)
        ours = DeploymentFilter(tags=DeploymentFilterTags(all_=[TAG, pool_tag(pool)]))
        tags = {tag for one in client.read_deployments(deployment_filter=ours) for tag in one.tags}
    others = sorted(tag for tag in tags if tag.startswith(store_tag("")) and tag != store_tag(store))
    if others:
        raise CatalogError(
            f"the work pool {pool} is that of another store",
            f"{others[0].removeprefix(store_tag(''))}, here {store}",
            "give another --pool, or delete its deployments on the server's page",
            code="POOL_TAKEN",
        )
    return kind


def _make(client: SyncPrefectClient, pool: str) -> str:
    template = ProcessWorker.get_default_base_job_template()  # or each worker would write it
    wanted = WorkPoolCreate(name=pool, type=PROCESS, base_job_template=template)
    try:
        return client.create_work_pool(wanted).type
    except ObjectAlreadyExists:  # another machine was faster
        return client.read_work_pool(pool).type


class PoolLane:
    """A work queue of the pool, one run at a time over all machines, and the deployments whose runs wait in it."""

    def __init__(self, wanted: Iterable[RunnerDeployment], pool: str, queue: str, store: str) -> None:
        self.wanted, self.pool, self.queue, self.store = list(wanted), pool, queue, store
        self.kind = PROCESS

    def register(self) -> None:
        """Tell the server of the queue and the deployments; what somebody changed or paused there stays."""
        with get_client(sync_client=True) as client:
            self.kind = client.read_work_pool(self.pool).type
            try:
                client.read_work_queue_by_name(self.queue, work_pool_name=self.pool)
            except ObjectNotFound:
                with suppress(ObjectAlreadyExists):  # another machine was faster
                    client.create_work_queue(self.queue, work_pool_name=self.pool, concurrency_limit=1)
        deploy.keep_pauses(self.wanted)
        deploy.drop_schedules(self.wanted)
        for deployment in self.wanted:
            deployment.tags = [*(deployment.tags or []), store_tag(self.store)]
            deployment.work_queue_name = self.queue
            if self.kind == PROCESS:  # what it prints is in its log; a run must outlive who reads its output
                deployment.job_variables = {"stream_output": False}
            deployment.apply(work_pool_name=self.pool)

    async def work(self) -> None:
        """Run what comes due, until it is cancelled or the worker dies; pods have workers elsewhere."""
        if self.kind != PROCESS:
            await asyncio.Event().wait()
        name = f"srcore {socket.gethostname()} {self.queue}"
        await ProcessWorker(
            self.pool, [self.queue], name, limit=1, create_pool_if_not_found=False, prefetch_seconds=1
        ).start(printer=lambda *_: None)

    async def change(self, wanted: Iterable[RunnerDeployment]) -> None:
        """Other deployments from now on; a run in progress goes on."""
        self.wanted = list(wanted)
        await asyncio.to_thread(self.register)
