"""Progress of the five stages: bars on a terminal, a plain line a stage anywhere else."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from srcore.run.scene import StageCall, plain

if TYPE_CHECKING:
    from srcore.job import Job
    from srcore.run.scene import Run
    from srcore.storage.archive.publish import Receipt


def line_each(name: str, stage: Callable[[Callable[[int, int], None]], Any]) -> Any:
    """Call a stage, and say on stderr that it is done: into a log or a pipe."""
    reached, started = [0, 0], time.monotonic()

    def step(done: int, total: int) -> None:
        reached[:] = done, total

    result = stage(step)
    parts = f", {reached[0]} of {reached[1]} tiles" if name == "upscale" else ""
    say(f"{name}: done in {time.monotonic() - started:.1f} s{parts}")
    return result


def say(line: str) -> None:
    """A line on stderr, at once; a reader that has gone away stops no run."""
    with suppress(BrokenPipeError):
        print(line, file=sys.stderr, flush=True)


def named(run: Run, *, show: bool = True) -> Run:
    """`run` with the scene's name before its stages, where they are lines: who reads a log wants to know whose."""
    if not show or sys.stderr.isatty():
        return run

    def told(job: Job) -> Receipt | None:
        say(f"scene {job.scene}")
        return run(job)

    return told


@contextmanager
def bars(*, show: bool = True) -> Iterator[StageCall[Any]]:
    """A way to call stages that draws a bar for each on stderr, or writes a line behind each where that is no terminal;
    the plain way where nobody wants to know."""
    if not show or not sys.stderr.isatty():
        yield line_each if show else plain
        return
    from rich import progress as drawn
    from rich.console import Console

    columns = (
        drawn.TextColumn("{task.description:>9}"),
        drawn.BarColumn(),
        drawn.MofNCompleteColumn(),
        drawn.TimeElapsedColumn(),
        drawn.TimeRemainingColumn(),
    )
    with drawn.Progress(*columns, console=Console(stderr=True)) as progress:

        def call(name: str, stage: Callable[[Callable[[int, int], None]], Any]) -> Any:
            bar = progress.add_task(name, total=1)
            result = stage(lambda done, total: progress.update(bar, completed=done, total=total))
            progress.update(bar, completed=progress.tasks[bar].total)  # not behind an error: it shows how far it came
            return result

        yield call
