"""The workers of a scheduler that may do tiles: those that showed what they run, also when they join late."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from srcore.dispatch import greeting, questions
from srcore.dispatch.questions import AWAY, ask_scheduler, ask_workers
from srcore.errors import SRError, TileError

if TYPE_CHECKING:
    from distributed import Client

log = logging.getLogger(__name__)

LOOK_SECONDS = 2.0
"""How often, at most, a look is taken at who is there."""
SILENT_SECONDS = 30.0
"""A worker that was not heard of for so long stands still: it beats every 2 s at least, and Dask waits 5 minutes."""
AGAIN_SECONDS = 30.0
"""One that gave no answer is left alone for so long."""


class Seen(NamedTuple):
    """What the scheduler says of a worker."""

    process: str
    """Which one it is: another may come to its address."""
    unheard_s: float
    """Since its last heartbeat."""
    gpu: bool
    tasks: int
    """That lie with it."""
    keys: Sequence[str]
    """Theirs, where it stands still."""


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
        self.answered = True
        """Whether the scheduler did at the last look."""
        self.silent: set[str] = set()
        """Addresses of those that stand still: they get nothing, and what lies with them goes to others."""
        self.stranded: set[str] = set()
        """Keys of the tasks that lie with them."""
        self._asked: set[str] = set()
        self._processes: dict[str, str] = {}
        """Address to the process that was last seen there."""
        self._scheduler = self._judged = ""
        """The scheduler's process, and the one that was asked what it runs."""
        self._again: dict[str, float] = {}
        """Address of one that gave no answer, to when it is asked once more."""
        self._expected: dict[str, Any] | None = None
        self._looked = float("-inf")

    def look(self) -> list[str]:
        """Addresses of the workers that may do tiles now; who is new is asked first.

        TileError WORKERS_REFUSED when there are workers, none of them may, and none ever did.
        """
        if time.monotonic() - self._looked < LOOK_SECONDS:
            return self.present
        self._looked = time.monotonic()
        roll = self._roll()
        self._forget_gone(roll)
        self._notice_silent(roll)
        there = sorted(roll.keys() - self.silent)
        if self.ours:
            self.present = there
            return there
        self._ask(self._wanted(there, roll))
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

    def look_at_once(self) -> None:
        """Let the next `look` be one: somebody else is where one of them was."""
        self._looked = float("-inf")

    @property
    def code(self) -> str:
        """What those who may do tiles run; '' where nobody was asked."""
        return "" if self._expected is None else str(self._expected["code"])

    def _alike(self, present: list[str]) -> list[str]:
        """Those on the devices that the scene began on: one scene has the numbers of one kind."""
        if self.on_gpu is None and present:
            self.on_gpu = any(one in self.with_gpu for one in present)
            if self.on_gpu and not all(one in self.with_gpu for one in present):
                log.info("tiles go to the workers with a GPU; those without get none")
        return [one for one in present if self._fits(one)]

    def _roll(self) -> dict[str, Seen]:
        try:
            self._scheduler, roll = ask_scheduler(self.client, _by_value(greeting.roll), SILENT_SECONDS)
        except AWAY as error:
            log.debug("nobody can be counted: %s", error)
            self.answered = False
            return {}
        self.answered = True
        return {address: Seen(*seen) for address, seen in roll.items()}

    def _forget_gone(self, roll: dict[str, Seen]) -> None:
        """Who came to the address of another process has shown nothing yet."""
        for one, seen in roll.items():
            if self._processes.setdefault(one, seen.process) != seen.process:
                self._processes[one] = seen.process
                self._asked.discard(one)
                self.with_gpu.discard(one)
                self.refused.pop(one, None)
                self._again.pop(one, None)

    def _notice_silent(self, roll: dict[str, Seen]) -> None:
        """Who falls silent is named once, and so is who is back."""
        silent = {one for one, seen in roll.items() if seen.unheard_s > SILENT_SECONDS}
        for one in sorted(silent - self.silent):
            log.warning(
                "the worker at %s was not heard of for %.0f s: its tiles go to others", one, roll[one].unheard_s
            )
        for one in sorted((self.silent - silent) & roll.keys()):
            log.warning("the worker at %s is heard of again", one)
        self.silent = silent
        self.stranded = {key for one in silent for key in roll[one].keys}

    def _wanted(self, there: list[str], roll: dict[str, Seen]) -> list[str]:
        """Who is to be asked: of those who are new as many as are lacking, and who has least to do; at a scene's begin
        those with a GPU first, then those of its kind alone; all of them when one was refused."""
        now = time.monotonic()
        new = [one for one in there if one not in self._asked and self._again.get(one, now) <= now]
        lacking = self.most - sum(one in self._asked and self._fits(one) for one in there)
        if self.refused or len(new) <= lacking:
            return new
        if lacking <= 0:
            return []
        random.shuffle(new)  # several flows that ask at once get different ones
        fit = [one for one in new if self.on_gpu is None or roll[one].gpu == self.on_gpu]
        return sorted(fit, key=lambda one: (not roll[one].gpu, roll[one].tasks))[:lacking]

    def _fits(self, address: str) -> bool:
        """Whether a worker that was asked has a device of the scene's kind: who has not is none of those it needs."""
        return self.on_gpu is None or (address in self.with_gpu) == self.on_gpu

    def _ask(self, new: list[str]) -> None:
        """Ask the scheduler and who is new; who does not answer, or left meanwhile, is asked at the next look."""
        shared = None if self.shared is None else str(self.shared)
        greet = _by_value(greeting.greet)
        try:
            self._judge_scheduler(greet)
            if not new:
                return
            if self._expected is None:
                self._expected = greeting.greet(shared)
            answers = ask_workers(self.client, greet, shared, new)
        except SRError:  # of the scheduler; one of AWAY, too
            raise
        except AWAY as error:
            log.debug("nobody can be asked: %s", error)
            return
        for address, answer in answers.items():
            if isinstance(answer, TimeoutError):
                self._again[address] = time.monotonic() + AGAIN_SECONDS
                told = "the worker at %s gave no answer in %g s: it is asked again in %g s"
                log.warning(told, address, questions.WORKER_SECONDS, AGAIN_SECONDS)
            elif not isinstance(answer, OSError):
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

    def _judge_scheduler(self, greet: Callable[..., Any]) -> None:
        """It reads the tasks that it hands on, and no plan; asked once, until it is another process."""
        if self._judged == self._scheduler:
            return
        answer = ask_scheduler(self.client, greet, None)
        if answer["code"] == greeting.NONE:
            raise TileError(
                f"the Dask scheduler on {answer['host']} has no srcore",
                "it could not read the tasks that it hands on",
                "install this version there",
                code="WORKERS_REFUSED",
            )
        self._judged = self._scheduler


def _by_value(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` in a form that needs no module of ours where it arrives."""
    import cloudpickle

    cloudpickle.register_pickle_by_value(greeting)
    return function
