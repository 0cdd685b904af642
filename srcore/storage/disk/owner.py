"""Who holds a lease: a process, so that others know whether it still runs."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import psutil

WORDS = 4
"""Of a space: host, boot, pid namespace, and how `started` is counted."""


@dataclass(frozen=True)
class Owner:
    """The content of a lease: who holds it."""

    id: str
    """Random, new for every lease."""
    host: str
    space: str
    """Boot and pid namespace: only there does `pid` mean anything. Behind them, of a lease, its lock (`pulse`)."""
    pid: int
    started: float
    """When the process began, s since the system did: a pid is used again."""
    since: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"run {self.id} on {self.host} (pid {self.pid}) since {self.since}"


def still_runs(owner: Owner) -> bool | None:
    """True while the owner's process is there; None where only its beat can tell: in another pid namespace."""
    if not _is_here(owner):
        return None
    try:
        return _started(owner.pid) == owner.started
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # there is such a process, and it is another user's
        return True


def is_this_process(owner: Owner) -> bool:
    """Whether an owner is one of this very process."""
    return _is_here(owner) and owner.pid == os.getpid()


def _is_here(owner: Owner) -> bool:
    return owner.space.split()[:WORDS] == _space().split()[:WORDS]


def boot_of(owner: Owner | None = None) -> str | None:
    """Since which boot of which kernel an owner's machine runs, this one's by default; None where it does not say."""
    words = (_space() if owner is None else owner.space).split()
    return words[1] if len(words) >= WORDS else None


def myself() -> Owner:
    """This process, under a new random id."""
    pid = os.getpid()
    return Owner(
        id=secrets.token_hex(8),
        host=socket.gethostname(),
        space=_space(),
        pid=pid,
        started=_started(pid),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def _started(pid: int) -> float:
    """When a process began, s since the system did: no clock that somebody sets has a part in it.

    psutil.NoSuchProcess for one that is gone, and for one that ended and was not waited for, which does nothing more.
    """
    try:
        told = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        if Path("/proc/self/stat").exists():
            raise psutil.NoSuchProcess(pid) from None
        return psutil.Process(pid).create_time()  # not Linux
    if told[0] in "ZX":
        raise psutil.NoSuchProcess(pid)
    return int(told[19]) / os.sysconf("SC_CLK_TCK")


@cache
def _space() -> str:
    """Names the set of pids that this process sees: of one boot, and of one container.

    The last word says how `started` is counted: a version that counts otherwise judges by beats.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')} ticks"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
