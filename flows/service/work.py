"""The work of a service: its deployments and workers, which follow the catalog, and the files that arrive."""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import httpx
from prefect.client.orchestration import get_client
from prefect.deployments.runner import DeploymentApplyError, RunnerDeployment
from prefect.events import emit_event
from prefect.exceptions import PrefectException
from prefect.runner import Runner

from flows import deploy
from flows.guard import POOL
from flows.pairs import collect_pairs
from flows.service import notices, runs
from flows.service.again import begin_again
from flows.service.arrivals import Arrival, Arrivals, complete_scenes, pair_files
from flows.service.follow import Followed, look, write_copy
from flows.tagged import BY_HAND, here
from flows.upscale import upscale_scene
from srcore.catalog import Catalog
from srcore.catalog.watching import Watch
from srcore.errors import SRError
from srcore.settings import load_settings

POLL_SECONDS = 2.0
"""Between two looks of a worker for runs that are due."""
LOOK_SECONDS = 5.0
"""Between two looks at the catalog; it is read when two of them in a row see the same file."""
PAUSE_SECONDS = 5.0
"""Before a worker that died is started again; doubled each time that it does not live longer than that."""
MOST_PAUSE_SECONDS = 300.0
CLOSE_SECONDS = 15.0
"""Between two looks at crashed runs: behind the 90 s of a heartbeat a dead machine's are all closed in two minutes."""
SHARE = 20
"""Watched folders are looked at for one part in so many of the time: a slow share is not kept busy."""
PATIENCE = 10
"""Times as long as a file has to stay as it is, collecting waits for others that still grow."""
AWAY = (httpx.HTTPError, PrefectException, DeploymentApplyError)
"""What Prefect's client raises when the server is away, busy or full."""

Say = Callable[[str], None]


class AnyLane(Protocol):
    """Deployments whose runs wait for each other, and who does them."""

    def register(self) -> None:
        """Tell the server of the deployments; what somebody paused there stays paused."""

    async def work(self) -> None:
        """Run what comes due, until it is cancelled or the worker dies."""

    async def change(self, wanted: Iterable[RunnerDeployment]) -> None:
        """Other deployments from now on; a run in progress goes on."""


class Lane:
    """A worker of this process, one run at a time, and the deployments whose runs wait for each other in it."""

    def __init__(self, wanted: Iterable[RunnerDeployment], queue: str = "") -> None:
        self.wanted = list(wanted)
        self.runner: Runner | None = None
        """Registered, and not begun."""
        self.live: Runner | None = None

    def register(self) -> None:
        """Tell the server of the deployments; what somebody paused there stays paused."""
        deploy.keep_pauses(self.wanted)
        deploy.drop_schedules(self.wanted)
        self.runner = Runner(name="srcore", query_seconds=POLL_SECONDS, limit=1, pause_on_shutdown=False)
        for deployment in self.wanted:
            self.runner.add_deployment(deployment)

    async def work(self) -> None:
        """Run what comes due, until it is cancelled or the worker dies."""
        if self.runner is None:
            await asyncio.to_thread(self.register)
        self.live, self.runner = self.runner, None
        if self.live is not None:
            await self.live.start()

    async def change(self, wanted: Iterable[RunnerDeployment]) -> None:
        """Other deployments from now on; a run in progress goes on."""
        self.wanted = list(wanted)
        await asyncio.to_thread(deploy.keep_pauses, self.wanted)
        await asyncio.to_thread(deploy.drop_schedules, self.wanted)
        runner = self.runner or self.live
        if runner is not None:
            for deployment in self.wanted:
                await runner.aadd_deployment(deployment)


class Work:
    """Everything that goes on beside the server while the catalog is served."""

    def __init__(self, followed: Followed, copy: Path, url: str, say: Say, lane: Callable[..., AnyLane]) -> None:
        self.followed, self.copy, self.url, self.say, self.lane = followed, copy, url, say, lane
        self.began = datetime.now(UTC)
        self.lanes: dict[str, AnyLane] = {}
        self.tasks: set[asyncio.Task[None]] = set()
        self.watched: dict[str, Arrivals] = {}
        self.troubles: dict[str, str] = {}
        """What was last said to go wrong: said once, as long as it is the same."""
        self.told: set[str] = set()
        """Lines on crashed nights: each is said once."""

    def begin(self) -> list[RunnerDeployment]:
        """Register the deployments of the catalog, and delete those of another; SRError when the server refuses."""
        try:
            write_copy(self.followed.catalog, self.copy)
            wanted = deploy.deployments(self.followed.path, self.followed.catalog, self.url)
            for name, lane in deploy.lanes(wanted).items():
                self.lanes[name] = self.lane(lane, queue=name)
                self.lanes[name].register()
            self._tidy(wanted)
        except AWAY as error:
            raise refused(error) from error
        self.look_around()  # what comes after a start says that it is there has arrived
        return wanted

    def _tidy(self, wanted: Sequence[RunnerDeployment]) -> None:
        for name in deploy.delete_others(wanted):
            self.say(f"removed the deployment {name}: not in the catalog any more")
        told = notices.set_up(self.followed.catalog, load_settings())
        if told:
            self.say(f"failed, crashed and late runs and a missing worker are told to {' and '.join(told)}")

    async def go_on(self) -> None:
        """Work, look at the catalog and for files, until it is cancelled."""
        for name in self.lanes:
            self._start(name)
        try:
            await asyncio.gather(
                keep_going(self._follow, "the look at the catalog", self.say),
                keep_going(self._watch, "the look for files", self.say),
                keep_going(self._close, "the look at crashed runs", self.say),
            )
        finally:
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def _start(self, name: str) -> None:
        self.tasks.add(asyncio.create_task(keep_going(self.lanes[name].work, f"the worker for {name}", self.say)))

    async def _close(self) -> None:
        """What lies below crashed runs does not stay Running for ever, and a night that crashed begins again."""
        while True:
            if os.environ.get(POOL):  # a run that nobody began would hold its queue's place
                await asyncio.to_thread(runs.close_dead)
            await asyncio.to_thread(runs.close_below)
            for line in await asyncio.to_thread(begin_again, self.began, load_settings().night_again):
                if line not in self.told:
                    self.say(line)
                self.told.add(line)
            await asyncio.sleep(CLOSE_SECONDS)

    async def _follow(self) -> None:
        """Take an edited catalog over, within three looks."""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, self.followed = self.followed, await asyncio.to_thread(look, self.followed)
            if self.followed.problem and self.followed.problem != before.problem:
                self.say(f"the catalog is broken, the last good one stays in force: {self.followed.problem}")
                tell(self.followed)
            elif self.followed.read != before.read and not self.followed.problem:
                await self._take_over(before)

    async def _take_over(self, before: Followed) -> None:
        try:
            write_copy(self.followed.catalog, self.copy)
            wanted = deploy.deployments(self.followed.path, self.followed.catalog, self.url)
            for name, lane in deploy.lanes(wanted).items():
                if name in self.lanes:
                    await self.lanes[name].change(lane)
                else:
                    self.lanes[name] = self.lane(lane, queue=name)
                    await asyncio.to_thread(self.lanes[name].register)
                    self._start(name)
            await asyncio.to_thread(self._tidy, wanted)
            tell(self.followed)
        except (*AWAY, SRError) as error:
            self._once("catalog", f"the catalog was not taken over, and is tried again: {_line(error)}")
            self.followed = before  # seen as changed at the next look
            return
        self.troubles.pop("catalog", None)
        self.say(f"the catalog changed: {changes(before.catalog, self.followed.catalog)}")

    async def _watch(self) -> None:
        """Start a scene whose files have arrived."""
        while True:
            began = time.monotonic()
            await asyncio.to_thread(self.look_around)
            settles = [entry.settle_s for entry in self.followed.catalog.datasets.values() if entry.settle_s]
            pause = min([LOOK_SECONDS, *(settle_s / 4 for settle_s in settles)])
            await asyncio.sleep(max(pause, SHARE * (time.monotonic() - began)))

    def look_around(self) -> None:
        """Look once for files of every dataset that is watched, or whose pairs are collected on arrival."""
        for name, entry in self.followed.catalog.datasets.items():
            if entry.settle_s is not None:
                self._try(name, self._look_for, entry.settle_s)
            if entry.pairs is not None and entry.pairs.on_arrival:
                self._try(name, self._look_for_pairs, entry.settle_s or Watch().settle_s)

    def _try(self, name: str, looked: Callable[[str, float], None], settle_s: float) -> None:
        about = f"{name} {looked.__name__}"
        try:
            looked(name, settle_s)
            self.troubles.pop(about, None)
        except (*AWAY, SRError) as error:
            self._once(about, f"{name} could not be watched, and is looked at again: {_line(error)}")

    def _once(self, about: str, line: str) -> None:
        if self.troubles.get(about) != line:
            self.say(line)
        self.troubles[about] = line

    def _arrivals(self, name: str, *below: str) -> Arrivals:
        memory = self.copy.parent.joinpath("arrivals", *below, f"{name}.json")
        if str(memory) not in self.watched:
            memory.parent.mkdir(exist_ok=True, mode=0o700, parents=True)
            self.watched[str(memory)] = Arrivals(memory, load_settings().history_days)
        return self.watched[str(memory)]

    def _look_for_pairs(self, name: str, settle_s: float) -> None:
        """One run for all that has arrived: it finds what it knows already."""
        arrivals = self._arrivals(name, "pairs")
        new = arrivals.look(pair_files(self.followed.catalog, name), time.monotonic(), settle_s)
        waited = max((time.monotonic() - arrivals.pending[one.scene][1] for one in new), default=0.0)
        if new and (len(new) == len(arrivals.pending) or waited > PATIENCE * settle_s):  # else all together, later
            start_collecting(self.followed.path, name, new)
            arrivals.started(new)
            self.say(f"{name}: {len(new)} files of pairs have arrived")

    def _look_for(self, name: str, settle_s: float) -> None:
        catalog, arrivals = self.followed.catalog, self._arrivals(name)
        for one in arrivals.look(complete_scenes(catalog.datasets[name], catalog.base), time.monotonic(), settle_s):
            start_scene(self.followed.path, name, one)
            arrivals.started([one])
            self.say(f"{name}/{one.scene} has arrived")


async def keep_going(work: Callable[[], Awaitable[None]], name: str, say: Say, pause: float = PAUSE_SECONDS) -> None:
    """Call `work` again whenever it ends or fails, after a pause, and say so; only cancelling ends it."""
    wait = pause
    while True:
        began, why = time.monotonic(), "it ended"
        try:
            await work()
        except Exception as error:  # whatever a worker dies of, the nights go on
            why = _line(error)
        wait = pause if time.monotonic() - began > wait else min(2 * wait, MOST_PAUSE_SECONDS)
        say(f"{name} stopped, and is started again in {wait:.0f} s: {why}")
        await asyncio.sleep(wait)


def start_scene(catalog: Path, dataset: str, arrival: Arrival) -> None:
    """Queue a run of a scene, and tell the server that it came; it makes no second run of the same files."""
    scene = f"{dataset}/{arrival.scene}"
    parameters = {"catalog": str(catalog), "dataset": dataset, "scene": arrival.scene}
    _queue(f"{upscale_scene.name}/{here(BY_HAND)}", parameters, f"{scene}/{arrival.looks}")
    resource = {"prefect.resource.id": f"srcore.scene.{dataset}.{arrival.scene}", "prefect.resource.name": scene}
    emit_event("srcore.scene.arrived", resource, payload={"dataset": dataset, "scene": arrival.scene})


def start_collecting(catalog: Path, dataset: str, arrivals: Sequence[Arrival]) -> None:
    """Queue a run that collects the pairs of a dataset; no second one for the same files."""
    looks = hashlib.sha256("\n".join(sorted(f"{one.scene} {one.looks}" for one in arrivals)).encode()).hexdigest()
    parameters = {"catalog": str(catalog), "dataset": dataset}
    _queue(f"{collect_pairs.name}/{here(dataset)}", parameters, f"pairs of {dataset}/{looks}")


def _queue(deployment: str, parameters: dict[str, Any], key: str) -> None:
    """A run of a deployment; of two with one key there is one."""
    with get_client(sync_client=True) as client:
        found = client.read_deployment_by_name(deployment)
        client.create_flow_run_from_deployment(found.id, parameters=parameters, idempotency_key=key)


def tell(followed: Followed) -> None:
    """Emit an event of what became of the catalog; the log has it, too."""
    event = "srcore.catalog.broken" if followed.problem else "srcore.catalog.changed"
    resource = {"prefect.resource.id": "srcore.catalog", "prefect.resource.name": followed.path.name}
    emit_event(event, resource, payload={"problem": followed.problem, "in force": list(followed.catalog.datasets)})


def changes(before: Catalog, now: Catalog) -> str:
    """In words: '+ lakes, - hills, on-demand'; what differs beyond datasets is 'its other keys'."""
    old, new = before.datasets, now.datasets
    words = [f"+ {name}" for name in new if name not in old] + [f"- {name}" for name in old if name not in new]
    words += [name for name in new if name in old and new[name] != old[name]]
    return ", ".join(words) or "nothing of a dataset"


def refused(error: Exception) -> SRError:
    """What a server that does not take the deployments is told as."""
    return SRError("the Prefect server did not take the deployments", _line(error), "see its log", code="SERVER_DOWN")


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
