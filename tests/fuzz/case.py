"""A spoiled file meets the command line, in a process of its own: what it says, and what is wrong with that."""

from __future__ import annotations

import contextlib
import faulthandler
import hashlib
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from srcore.codes import CODES
from srcore.layout import ProductPaths
from srcore.storage.archive.publish import Receipt, is_whole

LIMIT_S = 120.0
"""Of wall time, on a busy machine too: a case takes two seconds."""
MEMORY_BYTES = 1 << 30
"""A scene of 40 x 52 px needs a hundredth of it beside what the libraries take."""
SPACE_BYTES = 8 << 30
"""Address space beyond which an allocation fails: threads and libraries reserve much that they never touch."""
EXITS = {0, 1, 2, 3, 4}
ERROR = re.compile(r"error: .+ \[([A-Z0-9_]+)\]")


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    status: int
    """As os.waitstatus_to_exitcode has it: -N for a signal."""
    seconds: float
    said: str
    """stdout and stderr."""
    memory_bytes: int
    """The most that was resident."""


def run(command: Sequence[str], folder: Path) -> Ended:
    """`srcore COMMAND` in a fork of this process, in `folder`."""
    told, began = folder / "told.txt", time.monotonic()
    child = os.fork()
    if child == 0:
        try:
            _become(command, folder, told)
        finally:
            os._exit(99)
    while time.monotonic() - began < LIMIT_S:
        done, status, used = os.wait4(child, os.WNOHANG)
        if done:
            break
        time.sleep(0.005)
    else:
        os.kill(child, signal.SIGKILL)
        _, status, used = os.wait4(child, 0)
    said = told.read_text(errors="replace")
    told.unlink()
    return Ended(os.waitstatus_to_exitcode(status), time.monotonic() - began, said, used.ru_maxrss * 1024)


def _become(command: Sequence[str], folder: Path, told: Path) -> None:
    os.chdir(folder)
    with open(told, "w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    faulthandler.enable(file=2)
    faulthandler.dump_traceback_later(LIMIT_S - 10, file=2)  # where a case hangs that hangs
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + SPACE_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.argv = ["srcore", *command]
    status = 98
    try:
        from flows.cli import main

        main()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 97
    except BaseException:
        traceback.print_exc()
    with contextlib.suppress(Exception):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def digests(folder: Path) -> dict[str, str]:
    """sha256 of every file, by its path."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def complaints(command: Sequence[str], ended: Ended, folder: Path) -> list[str]:
    """What is wrong with how a command ended."""
    if ended.status < 0:
        hung = ended.seconds >= LIMIT_S
        return [f"still ran after {LIMIT_S:.0f} s" if hung else f"died of {signal.Signals(-ended.status).name}"]
    wrong = []
    if ended.memory_bytes > MEMORY_BYTES:
        wrong.append(f"{ended.memory_bytes >> 20} MiB")
    if "Traceback" in ended.said:
        wrong.append("a traceback")
    if ended.status not in EXITS:
        wrong.append(f"exit code {ended.status}")
    if "UNEXPECTED" in ended.said or "unexpected " in ended.said:
        wrong.append("an error that nobody expected")
    if command[0] == "upscale":
        wrong += _upscaled(command, ended, folder)
    elif ended.status == 2 and not _has_code(ended.said):
        wrong.append("no error with a code")
    return wrong


def _has_code(said: str) -> bool:
    lines = [found for text in said.splitlines() if (found := ERROR.fullmatch(text.strip()))]
    return len(lines) == 1 and lines[0][1] in CODES


def _upscaled(command: Sequence[str], ended: Ended, folder: Path) -> list[str]:
    output = folder / command[2]
    visible = [path.name for path in output.parent.glob("*") if not path.name.startswith(".")]
    if ended.status in (0, 4):
        product = ProductPaths(output.parent, output.name)
        receipt = Receipt.load(product.receipt)
        whole = receipt is not None and is_whole(product, receipt, thorough=True)
        return [] if whole else ["told as published, and not whole"]
    wrong = [f"left {visible}"] if visible else []
    return wrong if _has_code(ended.said) else [*wrong, "no error of one line with a code"]
