"""The due scenes of a run in their order, given out one at a time to whoever does them: one taker, or several threads.

    order -> [ turn | turn | turn ]  -- next() --> a taker does it -- done() --> outcome
                        |    before each: who asks by hand goes first; may it be finished by the deadline?
                        '--> left, for the next run

What a taker hears from a scene it tells here (`watched`), so that one record says how far all of them are.
"""

from __future__ import annotations

import logging
import threading
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextvars import ContextVar, copy_context
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from srcore.job import Job
from srcore.progress import Progress
from srcore.run.states import SceneState
from srcore.storage.remote.card import bytes_told
from srcore.storage.remote.fetch import nothing_fetched
from srcore.storage.scene import read_header

if TYPE_CHECKING:
    from srcore.run.outcome import Outcome
    from srcore.run.scene import StageCall

log = logging.getLogger(__name__)

SMALL_PIXELS = 2**22
"""LR pixels times bands of a small scene, at most: about 16 s of one core by the default model. A flow run of its own
would cost such a scene a tenth and more, and nobody watches it."""


@dataclass(frozen=True)
class Turn:
    """A scene that is to be done."""

    state: SceneState
    pixels: int
    """LR pixels times bands; 0 where its header cannot be read."""
    again: bool = False
    """Do it whatever its state is."""

    @property
    def small(self) -> bool:
        """True for one that shares a flow run with others; one that cannot be read fails at once, and is small, too."""
        return self.pixels <= SMALL_PIXELS


@dataclass
class Step:
    """Where a scene is that is worked on."""

    stage: str = "plan"
    done: int = 0
    total: int = 0

    @property
    def part(self) -> float:
        """How much of the scene that is, by the tiles of UPSCALE, which is nearly all of the work."""
        if self.stage in ("export", "validate"):
            return 1.0
        return self.done / self.total if self.stage == "upscale" and self.total else 0.0

    def __str__(self) -> str:
        return f"{self.stage} {self.done} of {self.total}" if self.total else self.stage


@dataclass
class Turns:
    """The queue, and what became of what was in it."""

    queue: deque[Turn]
    scenes: int
    """Of the whole queue, at its beginning; so are `pixels`."""
    pixels: int
    beside: int = 1
    """Lanes that take from it."""
    deadline: datetime | None = None
    """After which nothing is started."""
    may_start: Callable[[Turn], bool] = lambda turn: True
    before_each: Callable[[Turns], None] = lambda turns: None
    """Called before a scene is given out, without the lock: it may wait."""
    prepare: Callable[[Turn], Turn] = lambda turn: turn
    """Gives a scene what is known only now."""
    hear: Callable[[Turns], None] = lambda turns: None
    """Told of every change, under the lock."""
    settle: Callable[[Turn, Outcome], None] = lambda turn, outcome: None
    """Told of every outcome, under the lock."""
    outcomes: list[tuple[Turn, Outcome]] = field(default_factory=list)
    pixels_done: int = 0
    """Of those that have an outcome."""
    results: Counter[str] = field(default_factory=Counter)
    working: dict[str, tuple[Turn, Step]] = field(default_factory=dict)
    left: list[Turn] = field(default_factory=list)
    stopped: bool = False
    lock: threading.RLock = field(default_factory=threading.RLock)

    def next(self, *, small: bool = False) -> Turn | None:
        """The next scene; None when there is none, or when `small` and it is not small."""
        self.before_each(self)
        with self.lock:
            turn = None if self.stopped else self._next(small)
            if turn is not None:
                self.working[turn.state.scene] = (turn, Step())
            self.hear(self)
        return turn

    def _next(self, small: bool) -> Turn | None:
        while self.queue and (self.queue[0].small or not small):
            turn = self.queue.popleft()
            if self.may_start(turn):
                return self.prepare(turn)
            self.left.append(turn)
        return None

    def done(self, turn: Turn, outcome: Outcome) -> None:
        """What became of a scene."""
        with self.lock:
            self.working.pop(turn.state.scene, None)
            self.settle(turn, outcome)
            self.outcomes.append((turn, outcome))
            self.results[outcome.result] += 1
            self.pixels_done += turn.pixels
            self.hear(self)

    def step(self, scene: str, step: Step) -> None:
        """Where a scene is that is worked on; ends the run of one that should stop."""
        if self.stopped:
            raise KeyboardInterrupt  # in a thread of its own nobody else says so
        with self.lock:
            if scene in self.working:
                self.working[scene] = (self.working[scene][0], step)
                self.hear(self)


Taker = Callable[[Turns], None]
"""Does scenes until there is none left."""

_HEARD: ContextVar[Turns | None] = ContextVar("the run that hears of the scenes of this thread", default=None)


def run_takers(turns: Turns, taker: Taker, count: int) -> None:
    """Call `taker`, here, or in so many threads, which see the context of the caller.

    What ends one of them ends the others behind their tiles in hand; raises the first of what they raised.
    """
    token = _HEARD.set(turns)
    try:
        if count <= 1:
            taker(turns)
        else:
            _in_threads(turns, taker, count)
    finally:
        _HEARD.reset(token)


def _in_threads(turns: Turns, taker: Taker, count: int) -> None:
    raised: list[BaseException] = []

    def one() -> None:
        try:
            taker(turns)
        except BaseException as error:
            turns.stopped = True
            raised.append(error)

    # daemons: a second Ctrl-C ends the process, and what it worked on goes on from its tiles
    threads = [threading.Thread(target=copy_context().run, args=(one,), daemon=True) for _ in range(count)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    except BaseException:
        turns.stopped = True
        for thread in threads:
            thread.join()
        raise
    if raised:
        raise raised[0]


def watched(call: StageCall[Any], job: Job) -> StageCall[Any]:
    """`call`, whose steps the run around it hears of, if there is one."""
    turns = _HEARD.get()
    if turns is None:
        return call

    def heard(name: str, stage: Callable[[Progress], Any]) -> Any:
        turns.step(job.scene, Step(name))

        def told(progress: Progress) -> Any:
            def step(done: int, total: int) -> None:
                turns.step(job.scene, Step(name, done, total))
                progress(done, total)

            return stage(step)

        return call(name, told)

    return heard


def in_order(turns: list[Turn], order: str | None) -> deque[Turn]:
    """In the order that their dataset asks for, else as they come."""
    if order == "largest":
        turns.sort(key=lambda turn: -turn.pixels)
    elif order is not None:
        turns.sort(key=lambda turn: _changed(turn.state.job.paths), reverse=order == "newest")
    return deque(turns)


def size_of(state: SceneState) -> int:
    """LR pixels times bands, from the header; 0 where that cannot be read: PLAN says why.

    Of a scene elsewhere whose files are not in the cache, what is known of it: about its bytes.
    """
    job = state.job
    try:
        with nothing_fetched():
            header = read_header(job.paths, job.kind, **job.wishes)
    except Exception as error:  # whatever a file does, PLAN meets it again and has a code for it
        log.debug("%s: no size: %s", job.scene, type(error).__name__ if job.private else error)
        return bytes_told(job.paths[0]) if getattr(error, "code", "") == "NOT_FETCHED" else 0
    pixels = len(header.bands)
    for side in header.grid.shape:
        pixels *= side
    return pixels


def _changed(paths: Sequence[Any]) -> float:
    """When the last of a scene's files changed; 0 where none is there."""
    return max((path.stat().st_mtime for path in paths if path.exists()), default=0.0)
