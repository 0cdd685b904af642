"""Progress bars of the five stages: on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from srcore.run.scene import StageCall, plain


@contextmanager
def bars(*, show: bool = True) -> Iterator[StageCall[Any]]:
    """A way to call stages that draws one bar for each, on stderr; the plain way where nobody watches."""
    if not (show and sys.stderr.isatty()):
        yield plain
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
