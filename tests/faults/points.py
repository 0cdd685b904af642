"""Every point at which a run changes the disk, counted; at one of them a fault is injected.

Points: opening a file for writing, each write (torn: half of the bytes arrive), fsync, rename, link, remove,
making and removing a folder. Python tells of most of them by its audit events; the others are wrapped here, in the
process that is to be broken, and nothing of it is in srcore. GDAL writes in memory only.
"""

from __future__ import annotations

import builtins
import errno
import io
import os
import signal
import sys
from pathlib import Path
from typing import Any, Literal

Fault = Literal["kill", "full"]

CHANGES = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.link": 1}
"""Audit event: which argument is the path that appears or goes."""
TAKES_AWAY = ("os.remove", "os.rmdir")
IN_FOLDER = ("os.remove", "os.rmdir", "os.mkdir")
"""The last argument is the descriptor of the folder that a relative path starts at, or -1."""


class Points:
    """Counts the points below `root`, and injects `fault` at the `at`-th (from 1; 0: never)."""

    def __init__(self, root: Path, at: int = 0, fault: Fault = "kill") -> None:
        self.root, self.at, self.fault = str(root), at, fault
        self.seen: list[str] = []

    def reached(self, kind: str, path: str) -> bool:
        """Note a point; True when the fault is due here."""
        self.seen.append(f"{kind} {os.path.relpath(path, self.root)}")
        return len(self.seen) == self.at

    def strike(self) -> None:
        """Inject the fault."""
        if self.fault == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def point(self, kind: str, path: str) -> None:
        """A point at which all or nothing happens."""
        if self.reached(kind, path):
            self.strike()

    def install(self) -> None:
        """From now on, and until this process ends."""
        sys.addaudithook(self._audit)
        fsync, opened = os.fsync, io.open

        def counted_fsync(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            if path.startswith(self.root):
                self.point("fsync", path)
            fsync(descriptor)

        def counted_open(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            stream = opened(file, mode, *args, **options)
            inside = not isinstance(file, int) and os.fsdecode(file).startswith(self.root)
            return _Torn(stream, self, os.fsdecode(file)) if inside and set(mode) & set("wxa+") else stream

        os.fsync = counted_fsync
        io.open = builtins.open = counted_open  # type: ignore[assignment]

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            if isinstance(path, str) and path.startswith(self.root) and flags & (os.O_WRONLY | os.O_RDWR):
                self.point("open", path)
        elif event in CHANGES:
            path = _absolute(args[CHANGES[event]], args[-1] if event in IN_FOLDER else -1)
            happens = event == "os.rename" or os.path.lexists(path) == (event in TAKES_AWAY)
            if happens and path.startswith(self.root):
                self.point(event.removeprefix("os."), path)


def _absolute(path: Any, folder: int) -> str:
    if isinstance(path, int):
        return ""
    name = os.fsdecode(path)
    return name if folder < 0 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)


class _Torn:
    """A file whose write is a point: when the fault strikes, half of the bytes are in the file."""

    def __init__(self, stream: Any, points: Points, path: str) -> None:
        self._stream, self._points, self._path = stream, points, path

    def write(self, data: Any) -> int:
        if self._points.reached("write", self._path):
            whole: Any = data if isinstance(data, str) else memoryview(data).cast("B")
            self._stream.write(whole[: len(whole) // 2])
            self._stream.flush()
            self._points.strike()
        return int(self._stream.write(data))

    def __enter__(self) -> _Torn:
        self._stream.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self._stream.__exit__(*error)

    def __iter__(self) -> Any:
        return iter(self._stream)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
