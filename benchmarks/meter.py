"""Seconds by room: functions whose time is taken, exclusive of the other rooms that they call. Imports nothing slow."""

from __future__ import annotations

import sys
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import reduce, wraps
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

Rooms = Mapping[str, Sequence[str]]
"""A room, and the functions that it is: module:function or module:Class.method."""


class Meter:
    """CPU and wall seconds by room; what is called inside a room and is another one counts there alone.

    Each thread has rooms of its own: with `time.thread_time` as `clock` they add up, with `time.process_time` those of
    one thread hold what it waits for, too.
    """

    def __init__(self, clock: Callable[[], float] = time.process_time) -> None:
        self.clock = clock
        self.cpu: defaultdict[str, float] = defaultdict(float)
        self.wall: defaultdict[str, float] = defaultdict(float)
        self._own = threading.local()

    def turn(self, room: str | None) -> None:
        """Enter a room, or leave the one that is on top."""
        inside: list[str] = self._own.__dict__.setdefault("inside", [])
        now = (self.clock(), time.monotonic())
        if inside:
            since = self._own.since
            self.cpu[inside[-1]] += now[0] - since[0]
            self.wall[inside[-1]] += now[1] - since[1]
        self._own.since = now
        if room is None:
            inside.pop()
        else:
            inside.append(room)

    def within(self, room: str, call: Callable[..., Any]) -> Callable[..., Any]:
        """`call`, whose seconds are those of a room."""

        @wraps(call)
        def timed(*arguments: Any, **options: Any) -> Any:
            self.turn(room)
            try:
                return call(*arguments, **options)
            finally:
                self.turn(None)

        return timed


@contextmanager
def metered(meter: Meter, rooms: Rooms) -> Iterator[None]:
    """The rooms are metered meanwhile; their modules are imported."""
    with ExitStack() as stack:
        for room, functions in rooms.items():
            for name in functions:
                module, _, function = name.partition(":")
                owner, last, kept = _found(import_module(module), function)
                setattr(owner, last, meter.within(room, kept))
                stack.callback(setattr, owner, last, kept)
        yield


def _found(module: Any, function: str) -> tuple[Any, str, Any]:
    """Where a function lies, by what name, and itself."""
    *owners, last = function.split(".")
    owner = reduce(getattr, owners, module)
    return owner, last, getattr(owner, last)


class ImportsMetered(MetaPathFinder):
    """Put first into `sys.meta_path` it meters `rooms` as their modules come, and what is imported from now on as rooms
    of its own: `apart` the packages that have one each, the others together."""

    def __init__(self, meter: Meter, rooms: Rooms, apart: Sequence[str] = ()) -> None:
        self.meter, self.apart = meter, apart
        self.functions: defaultdict[str, list[tuple[str, str]]] = defaultdict(list)
        for room, names in rooms.items():
            for name in names:
                module, _, function = name.partition(":")
                self.functions[module].append((function, room))

    def find_spec(self, name: str, path: Any, target: Any = None) -> ModuleSpec | None:
        """As the finder of paths gives it, with a loader that is metered."""
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return None
        package = name.partition(".")[0]
        room = f"import {package}" if package in self.apart else "imports"
        loader: Any = spec.loader
        if not hasattr(loader, "exec_module"):
            return spec
        execute = self.meter.within(room, loader.exec_module)

        def then(module: Any) -> None:
            execute(module)
            for function, own in self.functions.get(name, ()):
                owner, last, kept = _found(module, function)
                setattr(owner, last, self.meter.within(own, kept))

        loader.create_module = self.meter.within(room, loader.create_module)
        loader.exec_module = then
        return spec

    def install(self) -> None:
        """From here on."""
        sys.meta_path.insert(0, self)
