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


@dataclass(frozen=True)
class Owner:
    """The content of a lease: who holds it."""

    id: str
    """Random, new for every lease."""
    host: str
    space: str
    """Boot and pid namespace: only there does `pid` mean anything."""
    pid: int
    started: float
    """When the process began, s since 1970: a pid is used again."""
    since: str
    """UTC, ISO 8601."""

    def __str__(self) -> str:
        return f"run {self.id} on {self.host} (pid {self.pid}) since {self.since}"


def still_runs(owner: Owner) -> bool | None:
    """True while the owner's process is there; None where only its beat can tell: in another pid namespace."""
    if owner.space != _space():
        return None
    try:
        # within a second: psutil counts from the time of boot, which moves a little when the clock is set
        return abs(psutil.Process(owner.pid).create_time() - owner.started) < 1.0
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:  # there is such a process, and it is another user's
        return True


def myself() -> Owner:
    """This process, under a new random id."""
    pid = os.getpid()
    return Owner(
        id=secrets.token_hex(8),
        host=socket.gethostname(),
        space=_space(),
        pid=pid,
        started=psutil.Process(pid).create_time(),
        since=datetime.now(UTC).isoformat(timespec="seconds"),
    )


@cache
def _space() -> str:
    """Names the set of pids that this process sees: of one boot, and of one container."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{socket.gethostname()} {boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {psutil.boot_time():.0f}"
