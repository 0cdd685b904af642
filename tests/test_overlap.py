"""The three steps at once: order, isolation, and how much is in memory."""

from __future__ import annotations

import threading
import time
from collections.abc import Generator, Iterator
from contextvars import ContextVar

import pytest

from srcore.overlap import AHEAD, BEHIND, LANES, Done, ahead, behind, overlapped, side_by_side


def twice(values: Iterator[int]) -> Iterator[int]:
    for value in values:
        if value == 30:
            raise ValueError("thirty")
        yield 2 * value


def read(item: int) -> int:
    if item == 5:
        raise OSError("unreadable")
    return 10 * item


def write(item: int, result: int) -> str:
    if item == 7:
        raise OSError("full")
    return f"{item}:{result}"


def test_every_item_is_told_once_and_failures_stay_alone() -> None:
    done = {one.item: one for one in overlapped(range(12), read, twice, write)}
    assert sorted(done) == list(range(12))
    for item, one in done.items():
        if item in (3, 5, 7):
            assert str(one.error) == {3: "thirty", 5: "unreadable", 7: "full"}[item]
        else:
            assert one == Done(item, result=f"{item}:{20 * item}")


def test_what_a_failing_stream_held_is_told_too() -> None:
    def several(values: Iterator[int]) -> Iterator[int]:
        held: list[int] = []
        for value in values:
            held.append(value)
            if 30 in held and len(held) == 3:
                raise ValueError("lost")
            if len(held) == 3:
                yield held.pop(0)
        yield from held

    done = {one.item: one.error for one in overlapped(range(8), lambda item: 10 * item, several, lambda i, r: r)}
    assert sorted(done) == list(range(8))
    assert {item for item, error in done.items() if error} == {1, 2, 3}


def test_reading_and_writing_go_on_while_one_is_computed() -> None:
    next_is_read, first_is_written = threading.Event(), threading.Event()

    def read_on(item: int) -> int:
        if item == 1:
            next_is_read.set()
        return item

    def waits(values: Iterator[int]) -> Iterator[int]:
        for value in values:
            if value == 0:
                assert next_is_read.wait(30), "nothing was read ahead"
            if value == 1:
                assert first_is_written.wait(30), "nothing was written behind"
            yield value

    def note(item: int, result: int) -> int:
        first_is_written.set()
        return result

    assert [one.result for one in overlapped(range(3), read_on, waits, note)] == [0, 1, 2]


def test_memory_is_bounded() -> None:
    lock, alive, most = threading.Lock(), 0, 0

    def count(step: int) -> None:
        nonlocal alive, most
        with lock:
            alive += step
            most = max(most, alive)

    def counted(item: int) -> int:
        count(1)
        return item

    def slowly(item: int, result: int) -> None:
        time.sleep(0.005)
        count(-1)

    list(overlapped(range(40), counted, iter, slowly))
    assert most <= AHEAD + BEHIND + 3


def test_an_abandoned_run_ends_its_threads() -> None:
    run = overlapped(range(1000), read, twice, write)
    next(run)
    before = threading.active_count()
    run.close()  # type: ignore[attr-defined]
    assert threading.active_count() < before


def test_nothing_to_do() -> None:
    assert list(overlapped([], read, twice, write)) == []


def test_a_crash_is_no_failure_of_a_tile() -> None:
    def crash(item: int) -> int:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(overlapped(range(3), crash, twice, write))


def told(threads: list[str], ended: list[str], most: int = 5) -> Generator[int, None, None]:
    try:
        for number in range(most):
            threads.append(threading.current_thread().name)
            yield number
    finally:
        ended.append(threading.current_thread().name)


def test_a_generator_runs_ahead_in_one_thread_of_its_own_to_its_end() -> None:
    threads: list[str] = []
    ended: list[str] = []
    assert list(ahead(told(threads, ended))) == [0, 1, 2, 3, 4]
    assert len({*threads, *ended}) == 1
    assert threads[0] != threading.current_thread().name
    assert len(ended) == 1


def test_the_next_value_is_made_while_the_caller_has_one() -> None:
    second = threading.Event()

    def values() -> Generator[int, None, None]:
        yield 1
        second.set()
        yield 2

    for value in ahead(values()):
        assert value == 2 or second.wait(30), "nothing was made ahead"


def test_who_leaves_early_ends_what_runs_ahead() -> None:
    threads: list[str] = []
    ended: list[str] = []
    values = ahead(told(threads, ended, 1000))
    next(values)
    values.close()
    assert len(threads) == 2
    assert len(ended) == 1


def test_an_error_ahead_comes_where_its_value_would() -> None:
    def values() -> Generator[int, None, None]:
        yield 1
        raise OSError("unreadable")

    found = ahead(values())
    assert next(found) == 1
    with pytest.raises(OSError, match="unreadable"):
        next(found)


def test_what_is_done_behind_is_done_at_the_end() -> None:
    found: list[int] = []
    with behind() as aside:
        for number in range(5):
            aside(found.append, number)
    assert found == [0, 1, 2, 3, 4]


def test_an_error_behind_is_raised_at_the_end() -> None:
    def fail() -> None:
        raise OSError("full")

    with pytest.raises(OSError, match="full"), behind() as aside:
        aside(fail)


def test_the_callers_own_error_goes_before_one_behind() -> None:
    done: list[int] = []

    def run() -> None:
        with behind() as aside:
            aside(int, "no number")
            aside(done.append, 1)
            raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        run()
    assert done == [1]


def test_side_by_side_keeps_the_order_and_is_bounded() -> None:
    both, alive, most, lock = threading.Barrier(LANES), 0, 0, threading.Lock()

    def work(item: int) -> int:
        nonlocal alive, most
        with lock:
            alive += 1
            most = max(most, alive)
        both.wait(30)  # broken unless as many are at work
        time.sleep(0.01 * (item % LANES == 0))
        with lock:
            alive -= 1
        return 10 * item

    assert list(side_by_side(work, range(3 * LANES))) == [10 * item for item in range(3 * LANES)]
    assert most == LANES


def test_the_first_error_ends_side_by_side() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        if item == 3:
            raise OSError("differs")
        return item

    found: list[int] = []
    with pytest.raises(OSError, match="differs"):
        found.extend(side_by_side(work, iter(range(1000))))
    assert len(begun) <= 3 + 1 + LANES


def test_threads_see_what_the_caller_has_set() -> None:
    kept: ContextVar[str] = ContextVar("kept", default="lost")
    kept.set("mine")

    def values() -> Generator[str, None, None]:
        yield kept.get()

    found = [*ahead(values()), *side_by_side(lambda _: kept.get(), range(3))]
    with behind() as aside:
        aside(lambda: found.append(kept.get()))
    assert set(found) == {"mine"}
