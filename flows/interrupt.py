"""Ctrl-C and SIGTERM: one line that says how to go on, and exit 130."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from srcore.progress import Progress

if TYPE_CHECKING:
    from srcore.run.scene import StageCall

INTERRUPTED = 130


class Reached:
    """How far the scene in hand has come."""

    def __init__(self) -> None:
        self.stage, self.tiles, self.total = "plan", 0, 0

    def watch(self, call: StageCall[Any]) -> StageCall[Any]:
        """`call`, looked at on the way."""

        def watched(name: str, stage: Callable[[Progress], Any]) -> Any:
            self.stage = name
            if name == "plan":  # of the next scene
                self.tiles, self.total = 0, 0
            return call(name, lambda progress: stage(lambda done, total: self._step(progress, done, total)))

        return watched

    def _step(self, progress: Progress, done: int, total: int) -> None:
        if self.stage == "upscale":
            self.tiles, self.total = done, total
        progress(done, total)

    def __str__(self) -> str:
        if self.tiles:
            return f"run again to go on from {self.tiles} of {self.total} tiles"
        return f"in stage {self.stage}, before the first tile was done; run again"


@contextmanager
def interruptible(after: Callable[[Reached], str] = lambda reached: "") -> Iterator[Reached]:
    """Says on stderr what an interrupted run keeps, and exits with INTERRUPTED; SIGTERM is taken for Ctrl-C.

    Use it around all that draws or has to be closed. `after` clears up, and gives what else is worth a word.
    """
    reached = Reached()

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield reached
    except KeyboardInterrupt:
        more = after(reached)
        print(f"interrupted; {reached}{f'; {more}' if more else ''}", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None
    finally:
        signal.signal(signal.SIGTERM, before)
