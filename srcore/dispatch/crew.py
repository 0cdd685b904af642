"""The workers of a scheduler that may do tiles: those that showed what they run, also when they join late."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from srcore.dispatch import greeting
from srcore.dispatch.greeting import GPU
from srcore.errors import TileError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often, at most, a look is taken at who is there."""
AWAY = (OSError, TimeoutError, RuntimeError)
"""What Dask raises while the scheduler is away; who waits for it counts the time."""


class Crew:
    """Who may do tiles. Of workers that this process started: all, unasked."""

    def __init__(self, client: Client, *, ours: bool, shared: Path | None, most: int) -> None:
        self.client, self.ours, self.shared = client, ours, shared
        self.most = most
        """Workers that have something to do at once, at most: no more are asked, for each scene asks anew."""
        self.present: list[str] = []
        """Addresses of those that may, and are there."""
        self.refused: dict[str, str] = {}
        """Address to the reason."""
        self.with_gpu: set[str] = set()
        self.on_gpu: bool | None = None
        """Whether tiles go to workers with a GPU alone, or to those without; what the first who are there have."""
        self._asked: set[str] = set()
        self._expected: dict[str, Any] | None = None
        self._looked = float("-inf")

    def look(self) -> list[str]:
        """Addresses of the workers that may do tiles now; who is new is asked first.

        TileError WORKERS_REFUSED when there are workers, none of them may, and none ever did.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return self.present
        self._looked = time.monotonic()
        there = self._there()
        if self.ours:
            self.present = there
            return there
        self._ask(self._wanted(there))
        self.present = self._alike([one for one in there if one in self._asked and one not in self.refused])
        # where some did tiles before, they may come back: who was killed is started again by its nanny
        if there and self.on_gpu is None and all(one in self.refused for one in there):
            raise TileError(
                f"none of the {len(there)} workers at the scheduler may do tiles",
                f"{there[0]} {self.refused[there[0]]}",
                "mend them, or start others with srcore worker ADDRESS",
                code="WORKERS_REFUSED",
            )
        return self.present

    def _alike(self, present: list[str]) -> list[str]:
        """Those on the devices that the scene began on: one scene has the numbers of one kind."""
        if self.on_gpu is None and present:
            self.on_gpu = any(one in self.with_gpu for one in present)
            if self.on_gpu and not all(one in self.with_gpu for one in present):
                log.info("tiles go to the workers with a GPU; those without get none")
        return [one for one in present if self._fits(one)]

    def _there(self) -> list[str]:
        try:
            return sorted(self.client.nthreads())
        except AWAY as error:
            log.debug("nobody can be counted: %s", error)
            return []

    def _wanted(self, there: list[str]) -> list[str]:
        """Who is to be asked: of those who are new as many as are lacking, and who has least to do; at a scene's begin
        those with a GPU first, then those of its kind alone; all of them when one was refused."""
        new = [one for one in there if one not in self._asked]
        lacking = self.most - sum(one in self._asked and self._fits(one) for one in there)
        if self.refused or len(new) <= lacking:
            return new
        if lacking <= 0:
            return []
        try:
            busy, known = self.client.processing(), self.client.scheduler_info(n_workers=-1)["workers"]
        except AWAY as error:
            log.debug("nobody knows who is busy: %s", error)
            return []
        random.shuffle(new)  # several flows that ask at once get different ones
        gpus = {one for one in new if known.get(one, {}).get("resources", {}).get(GPU)}
        fit = [one for one in new if self.on_gpu is None or (one in gpus) == self.on_gpu]
        return sorted(fit, key=lambda one: (one not in gpus, len(busy.get(one, ()))))[:lacking]

    def _fits(self, address: str) -> bool:
        """Whether a worker that was asked has a device of the scene's kind: who has not is none of those it needs."""
        return self.on_gpu is None or (address in self.with_gpu) == self.on_gpu

    def _ask(self, new: list[str]) -> None:
        """Ask who is new; who does not answer, or left meanwhile, is asked again at the next look."""
        if not new:
            return
        shared = None if self.shared is None else str(self.shared)
        greet = _by_value(greeting.greet)
        try:
            if self._expected is None:
                self._ask_scheduler(self.client.run_on_scheduler(greet, None))
                self._expected = greeting.greet(shared)
            answers = self.client.run(greet, shared, workers=new, on_error="return")
        except AWAY as error:
            log.debug("nobody can be asked: %s", error)
            return
        for address, answer in answers.items():
            if not isinstance(answer, OSError):
                self._judge(address, answer, self._expected)

    def _judge(self, address: str, answer: object, expected: dict[str, Any]) -> None:
        self._asked.add(address)
        if isinstance(answer, dict):
            why = greeting.differs(answer, expected)
            if answer.get("gpus"):
                self.with_gpu.add(address)
        else:
            why = f"cannot say what it runs: {type(answer).__name__}: {answer}"
        if why:
            self.refused[address] = why
            log.warning("the worker at %s is not used: it %s", address, why)

    def _ask_scheduler(self, answer: dict[str, Any]) -> None:
        """It reads the tasks that it hands on, and no plan."""
        if answer["code"] == greeting.NONE:
            raise TileError(
                f"the Dask scheduler on {answer['host']} has no srcore",
                "it could not read the tasks that it hands on",
                "install this version there",
                code="WORKERS_REFUSED",
            )


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in a form that needs no module of ours where it arrives."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(greeting)
    return function
