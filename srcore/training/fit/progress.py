"""How a training run shows how far it is: a bar on a terminal, log lines elsewhere."""

from __future__ import annotations

import logging
import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as Bar

log = logging.getLogger(__name__)


class Progress:
    """Counts steps and averages the loss between reports."""

    def __init__(self, name: str, steps: int, done: int, every: int) -> None:
        self.steps, self.done, self.every = steps, done, every
        self.losses: list[float] = []
        self.bar = Bar(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not Console(stderr=True).is_terminal,
        )
        self.task = self.bar.add_task(name, total=steps, completed=done, loss="")

    def start(self) -> None:
        self.since = time.perf_counter()
        self.bar.start()

    def stop(self) -> None:
        self.bar.stop()

    def advance(self, loss: float) -> None:
        """One step more, with its loss."""
        self.done += 1
        self.losses.append(loss)
        self.bar.update(self.task, completed=self.done)
        if self.done % self.every == 0 or self.done == self.steps:
            self._report()

    def _report(self) -> None:
        now = time.perf_counter()
        mean, pace = sum(self.losses) / len(self.losses), (now - self.since) / len(self.losses)
        self.bar.update(self.task, loss=f"{mean:.5f}")
        if self.bar.disable:
            log.info("step %d of %d: loss %.5f, %.2f s a step", self.done, self.steps, mean, pace)
        self.losses, self.since = [], now
