"""A disk that forgets what was not synced: a run is recorded, and every state that a power cut could leave is built.

    record    each change of a name, each content, each fsync, in order
    replay    what is durable:   the content of a file as of its last fsync, the names of a folder as of its last fsync
              what is pending:   contents and names since; each may be on the disk or not, in any order

The disk of the model promises less than ext4, XFS or APFS do: an fsync of a file syncs no name, one of a folder no
content, and a file that moves from folder to folder can be in both. A rename within a folder is one step, and so is
any single name. What is pending of a content is there, gone, zeros of its length, or cut at half.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = 0
Name = tuple[int, str]
"""A folder's number, and a name in it."""
Change = Mapping[Name, int | None]
"""What names mean after a step: a file's or folder's number, or nothing."""
Tree = dict[str, bytes | None]
"""Content by path; None for a folder."""
Loss = Literal["kept", "lost", "zeros", "torn"]

PATH_OF = {"os.rename": 1, "os.remove": 0, "os.mkdir": 0, "os.rmdir": 0, "os.link": 1}
"""Audit event: which argument is the path that appears or goes."""
FOLDER_OF = {"os.remove": 1, "os.rmdir": 1, "os.mkdir": 2}
"""Which argument is the descriptor of the folder that a relative path starts at."""


@dataclass(frozen=True)
class Step:
    """One thing that happened: a name changed, a content changed, or something was synced."""

    what: str
    names: Change = field(default_factory=dict)
    contents: Mapping[int, bytes] = field(default_factory=dict)
    synced: int = -1


class Recorder:
    """Writes down what this process does below `root`, from `install` until it ends."""

    def __init__(self, root: Path) -> None:
        self.root, self.lock = root, threading.RLock()
        self.names: dict[Name, int] = {}
        self.contents: dict[int, bytes] = {}
        self.count = ROOT
        self._scan(root, ROOT)
        self.before = dict(self.names), dict(self.contents)
        self.steps: list[Step] = []
        self.written: set[int] = set()

    def _scan(self, folder: Path, number: int) -> None:
        for entry in sorted(folder.iterdir()):
            self.count += 1
            node = self.names[number, entry.name] = self.count
            if entry.is_dir():
                self._scan(entry, node)
            else:
                self.contents[node] = entry.read_bytes()

    def install(self) -> None:
        """From now on, and until this process ends."""
        fsync = os.fsync

        def recorded(descriptor: int) -> None:
            path = os.readlink(f"/proc/self/fd/{descriptor}")
            with self.lock:
                fsync(descriptor)
                if self._inside(path):
                    self._note(Step(f"fsync {self._short(path)}", synced=self._at(path)))

        os.fsync = recorded
        sys.addaudithook(self._audit)

    def end(self) -> Sequence[Step]:
        """All that happened."""
        with self.lock:
            self._note(Step("end"))
        return self.steps

    def _inside(self, path: str) -> bool:
        return path == str(self.root) or path.startswith(f"{self.root}{os.sep}")

    def _short(self, path: str) -> str:
        return os.path.relpath(path, self.root)

    def _at(self, path: str) -> int:
        """The number of what stands at a path."""
        number = ROOT
        for part in Path(path).relative_to(self.root).parts:
            number = self.names[number, part]
        return number

    def _name(self, path: str) -> Name:
        return self._at(os.path.dirname(path)), os.path.basename(path)

    def _note(self, step: Step) -> None:
        """Append a step, and before it what was written since the last one."""
        where = {node: name for name, node in self.names.items()}
        found = {node: self._read(node, where) for node in self.written if node in where}
        changed = {node: data for node, data in found.items() if data is not None and self.contents.get(node) != data}
        if changed:
            self.contents |= changed
            self.steps.append(Step("write", contents=changed))
        self.steps.append(step)
        for name, number in step.names.items():
            if number is None:
                self.names.pop(name, None)
            else:
                self.names[name] = number

    def _read(self, node: int, where: Mapping[int, Name]) -> bytes | None:
        parts: list[str] = []
        while node != ROOT:
            node, part = where[node]
            parts.append(part)
        path = self.root.joinpath(*reversed(parts))
        return path.read_bytes() if path.is_file() else None

    def _audit(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "open":
            path, _, flags = args
            writes = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
            if writes and isinstance(path, str) and self._inside(path) and os.path.isdir(os.path.dirname(path)):
                with self.lock:
                    self._opened(path, flags)
        elif event in PATH_OF:
            folder = args[FOLDER_OF[event]] if event in FOLDER_OF else -1
            path = _absolute(args[PATH_OF[event]], folder)
            if self._inside(path):
                with self.lock:
                    self._moved(event, path, _absolute(args[0], folder))

    def _opened(self, path: str, flags: int) -> None:
        if os.path.lexists(path):
            self.written.add(self._at(path))
        elif flags & os.O_CREAT:
            self.count += 1
            self._note(Step(f"create {self._short(path)}", {self._name(path): self.count}, {self.count: b""}))
            self.contents[self.count] = b""
            self.written.add(self.count)

    def _moved(self, event: str, path: str, source: str) -> None:
        kind, there = event.removeprefix("os."), os.path.lexists(path)
        change: dict[Name, int | None]
        if kind in ("remove", "rmdir"):
            if not there or (kind == "rmdir" and os.listdir(path)):
                return  # it will fail
            change = {self._name(path): None}
        elif kind == "mkdir":
            if there or not os.path.isdir(os.path.dirname(path)):
                return
            self.count += 1
            change = {self._name(path): self.count}
        elif not os.path.lexists(source) or (kind == "link" and there):
            return
        else:
            change = {self._name(path): self._at(source), **({self._name(source): None} if kind == "rename" else {})}
        self._note(Step(f"{kind} {self._short(path)}", change))


def _absolute(path: Any, folder: int) -> str:
    if isinstance(path, int):
        return ""
    name = os.fsdecode(path)
    return name if folder < 0 else os.path.join(os.readlink(f"/proc/self/fd/{folder}"), name)


class Disk:
    """What a power cut could leave, step by step."""

    def __init__(self, names: Mapping[Name, int], contents: Mapping[int, bytes]) -> None:
        self.names: dict[Name, int | None] = dict(names)
        self.stable, self.contents = dict(contents), dict(contents)
        self.folders = {folder for folder, _ in names}
        self.pending: list[tuple[str, Change]] = []

    def do(self, step: Step) -> None:
        """The next step of the recorded run."""
        self.contents |= step.contents
        if step.names:
            self.folders |= {folder for folder, _ in step.names}
            self.folders |= {step.names[name] or 0 for name in step.names} if step.what.startswith("mkdir") else set()
            if len({folder for folder, _ in step.names}) > 1:  # to another folder: it may be in both for a while
                self.pending.append((step.what, dict(list(step.names.items())[:1])))
            self.pending.append((step.what, step.names))
        if step.synced in self.folders:
            self._sync(step.synced)
        elif step.synced >= 0:
            self.stable[step.synced] = self.contents[step.synced]

    def _sync(self, folder: int) -> None:
        pending, self.pending = self.pending, []
        for what, change in pending:
            inside = {name: node for name, node in change.items() if name[0] == folder}
            leaves = inside and all(node is None for node in inside.values())
            done = change if leaves else inside  # a name that went from here is known to have arrived elsewhere
            self.names |= done
            if rest := {name: node for name, node in change.items() if name not in done}:
                self.pending.append((what, rest))

    def tree(self, kept: Sequence[bool], loss: Loss) -> Tree:
        """What is on the disk when of the pending names those `kept` arrived, and of the pending contents `loss`."""
        names = dict(self.names)
        for (_, change), arrived in zip(self.pending, kept, strict=True):
            if arrived:
                names |= change
        inside: dict[int, list[tuple[str, int]]] = {}
        for (folder, name), node in names.items():
            if node is not None:
                inside.setdefault(folder, []).append((name, node))
        tree: Tree = {}
        self._walk("", ROOT, inside, loss, tree)
        return tree

    def _walk(
        self, path: str, folder: int, inside: Mapping[int, list[tuple[str, int]]], loss: Loss, tree: Tree
    ) -> None:
        for name, node in inside.get(folder, ()):
            below = f"{path}/{name}" if path else name
            if node in self.contents:
                tree[below] = self._content(node, loss)
            else:
                tree[below] = None
                self._walk(below, node, inside, loss, tree)

    def _content(self, node: int, loss: Loss) -> bytes:
        now, stable = self.contents[node], self.stable.get(node, b"")
        if loss == "kept" or now == stable:
            return now
        return {"lost": stable, "zeros": bytes(len(now)), "torn": now[: len(now) // 2]}[loss]

    def states(self, rng: random.Random) -> Iterator[tuple[str, Tree]]:
        """States that a power cut here could leave: all and nothing of what is pending, each name alone or all but
        it, and some at random."""
        count = len(self.pending)
        for loss in ("kept", "lost", "zeros", "torn"):
            yield f"all names, contents {loss}", self.tree([True] * count, loss)
            yield f"no names, contents {loss}", self.tree([False] * count, loss)
        for number, (what, _) in enumerate(self.pending):
            if ".scratch" not in what and ".srcore" not in what:
                yield f"all but {what}", self.tree([place != number for place in range(count)], "lost")
                yield f"only {what}", self.tree([place == number for place in range(count)], "lost")
        for loss in ("kept", "lost", "zeros", "torn"):
            yield f"some names, contents {loss}", self.tree([rng.random() < 0.5 for _ in range(count)], loss)
