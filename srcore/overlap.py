"""Read ahead, compute, write behind: the compute thread never waits for a codec or a disk.

    read     | 1 | 2 | 3 |  4  |
    compute      |   1   |   2   |   3   |
    write                | 1 |   | 2 |   | 3 |

One thread reads and one writes, both in bounded queues, so that memory holds a few items besides the one that is
computed, however many there are.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

AHEAD, BEHIND = 1, 1
"""Items that are read before they are needed, and results that wait behind the one that is written."""

X = TypeVar("X")
Y = TypeVar("Y")
T = TypeVar("T")


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
