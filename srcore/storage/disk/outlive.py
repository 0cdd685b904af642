"""Waiting for a lease whose process cannot be asked from here, and which may be dead: of a container that was started
again, of a pod on another machine."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from srcore.storage.disk.leases import STALE_SECONDS, holder, is_alive, is_there, silent_s, told_of
from srcore.storage.disk.owner import still_runs

WATCH_SECONDS = 5.0
"""Between two looks at whether a beat came."""


def outlive(path: Path, say: Callable[[str], None]) -> None:
    """Return when the lease at `path` is nobody's, or shows that it lives: by its process, a beat, or another owner.

    Nobody's is what gave no beat for STALE_SECONDS: so long it takes at most. That it waits is said, once.
    """
    owner = holder(path)
    if not is_there(path) or not is_alive(path, owner) or (owner is not None and still_runs(owner)):
        return
    silent = silent_s(path) or 0.0
    who, _ = told_of(path, owner)
    say(f"{who}: waiting for one, or until it is taken over, {max(STALE_SECONDS - silent, 0.0):.0f} s at most")
    while is_there(path) and holder(path) == owner and is_alive(path, owner):
        time.sleep(WATCH_SECONDS)
        now = silent_s(path)
        if now is None or now < silent:
            return
        silent = now
