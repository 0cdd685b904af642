"""Questions to a scheduler and its workers, each with a limit: who stands still keeps nobody from going on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from distributed import Client

SCHEDULER_SECONDS = 10.0
"""An answer of the scheduler's own that takes longer is none."""
WORKER_SECONDS = 10.0
"""A worker's first answer reads srcore's files: 0.1 s, more from a busy share, or while it loads a network."""
AWAY = (OSError, TimeoutError, RuntimeError)
"""What Dask raises while the scheduler is away, and what is raised here for one that does not answer."""


def ask_scheduler(client: Client, question: Callable[..., Any], *told: Any) -> Any:
    """What `question` gives there; one of AWAY where nothing comes."""
    return client.sync(_within, SCHEDULER_SECONDS, partial(client.run_on_scheduler, question, *told))


def ask_workers(client: Client, question: Callable[..., Any], told: Any, workers: Sequence[str]) -> dict[str, Any]:
    """What `question` gives at each of them, or the exception: a TimeoutError of one that keeps silent."""
    found: dict[str, Any] = client.sync(_ask, client, question, told, workers)
    return found


def gathered(client: Client, futures: Sequence[Any], seconds: float) -> list[Any]:
    """The results of tasks that are done; what Dask raises, or TimeoutError, where one does not come."""
    found: list[Any] = client.sync(_within, seconds, partial(client.gather, futures))
    return found


async def _ask(client: Client, question: Callable[..., Any], told: Any, workers: Sequence[str]) -> dict[str, Any]:
    def ask(some: list[str]) -> Any:
        return _within(WORKER_SECONDS, partial(client.run, question, told, workers=some, on_error="return"))

    try:
        return dict(await ask(list(workers)))
    except TimeoutError:  # of one at least: by itself each answers for itself
        answers = await asyncio.gather(*(ask([one]) for one in workers), return_exceptions=True)
    found = {}
    for one, answer in zip(workers, answers, strict=True):
        found[one] = answer.get(one, OSError("it left")) if isinstance(answer, dict) else answer
    return found


async def _within(seconds: float, call: Callable[[], Any]) -> Any:
    return await asyncio.wait_for(call(), seconds)  # in the client's own loop it gives what can be awaited
