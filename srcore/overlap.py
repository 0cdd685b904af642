"""Read ahead, compute, write behind: the compute thread never waits for a codec or a disk.

    read     | 1 | 2 | 3 |  4  |
    compute      |   1   |   2   |   3   |
    write                | 1 |   | 2 |   | 3 |

One thread reads and one writes, both in bounded queues, so that memory holds a few items besides the one that is
computed, however many there are. `ahead`, `behind` and `side_by_side` are the same for stages of another shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import copy_context
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

AHEAD, BEHIND = 1, 1
"""Items that are read before they are needed, and results that wait behind the one that is written."""

X = TypeVar("X")
Y = TypeVar("Y")
T = TypeVar("T")
LANES = 2
"""Calls of `side_by_side` at the same time."""
_END = object()


@dataclass(frozen=True)
class Done(Generic[T]):
    """What became of one item: a result, or an error."""

    item: int
    result: T | None = None
    error: Exception | None = None


def overlapped(
    items: Sequence[int],
    read: Callable[[int], X],
    compute: Callable[[Iterator[X]], Iterator[Y]],
    write: Callable[[int, Y], T],
) -> Iterator[Done[T]]:
    """Each item through `read`, `compute` and `write`, the three of them at the same time on different items.

    `compute` takes what was read as a stream and gives results in the same order; it may hold several items at once,
    as copies to a device do. An item whose step fails is told with its error, and the others go on; when `compute`
    fails, the items that it held besides the failing one are told with that error, too.
    """
    with ThreadPoolExecutor(1, "read") as reader, ThreadPoolExecutor(1, "write") as writer:
        steps = _Steps(items, read, reader)
        source = steps.inputs()
        behind: deque[tuple[int, Future[T]]] = deque()
        results = compute(source)
        while True:
            try:
                result = next(results)
            except StopIteration:
                break
            except Exception as error:
                steps.fail(error)
                results = compute(source)
            else:
                item = steps.held.popleft()
                behind.append((item, writer.submit(write, item, result)))
            yield from steps.told()
            while len(behind) > BEHIND or (behind and behind[0][1].done()):
                yield _done(*behind.popleft())
        yield from steps.told()
        yield from (_done(*each) for each in behind)


class _Steps(Generic[X]):
    """The reading end: what is on its way to `compute`, what lies in it, and what failed before."""

    def __init__(self, items: Sequence[int], read: Callable[[int], X], reader: ThreadPoolExecutor) -> None:
        self.waiting, self.read, self.reader = deque(items), read, reader
        self.ahead: deque[tuple[int, Future[X]]] = deque()
        self.held: deque[int] = deque()
        self.failed: list[Done[Any]] = []

    def inputs(self) -> Iterator[X]:
        while self.waiting or self.ahead:
            while self.waiting and len(self.ahead) <= AHEAD:
                item = self.waiting.popleft()
                self.ahead.append((item, self.reader.submit(self.read, item)))
            item, future = self.ahead.popleft()
            try:
                value = future.result()
            except Exception as error:
                self.failed.append(Done(item, error=error))
                continue
            self.held.append(item)
            yield value

    def fail(self, error: Exception) -> None:
        self.failed += [Done(item, error=error) for item in self.held]
        self.held.clear()

    def told(self) -> list[Done[Any]]:
        told, self.failed = self.failed, []
        return told


def _done(item: int, future: Future[T]) -> Done[T]:
    try:
        return Done(item, result=future.result())
    except Exception as error:
        return Done(item, error=error)


def ahead(values: Generator[X, None, None]) -> Generator[X, None, None]:
    """What a generator gives, each made in a thread of its own while the caller is busy with the one before.

    All of the generator, its end included, runs in that one thread, in a copy of the caller's context. Two of its
    values are there at a time.
    """
    context = copy_context()

    def following() -> Any:
        return next(values, _END)

    with ThreadPoolExecutor(1, "ahead") as thread:
        try:
            coming: Future[Any] = thread.submit(context.run, following)
            while (value := coming.result()) is not _END:
                coming = thread.submit(context.run, following)
                yield value
        finally:
            thread.submit(context.run, values.close).result()


@contextmanager
def behind() -> Iterator[Callable[..., None]]:
    """Gives a function whose calls are done in a thread of their own, one after the other, while the caller goes on.

    The end waits for them; what one of them raises is raised there.
    """
    with ThreadPoolExecutor(1, "behind") as thread:
        given: list[Future[Any]] = []
        yield lambda work, *arguments: given.append(thread.submit(copy_context().run, work, *arguments))
        for future in given:
            future.result()


def side_by_side(work: Callable[[X], T], items: Iterable[X]) -> Iterator[T]:
    """`work` of each item, LANES of them at a time, told in their order; the first error ends it."""
    with ThreadPoolExecutor(LANES, "lane") as lanes:
        running: deque[Future[T]] = deque()
        try:
            for item in items:
                running.append(lanes.submit(copy_context().run, work, item))
                if len(running) >= LANES:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()
        finally:
            for future in running:
                future.cancel()
