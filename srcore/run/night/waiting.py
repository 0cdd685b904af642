"""Who asks for a scene by hand goes first: a mark in the store that nights look at between two scenes.

A mark is a lease, so that one whose process is gone holds up nobody.
"""

from __future__ import annotations

import logging
import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from srcore.errors import SRError
from srcore.layout import lease_path
from srcore.storage.disk.leases import held, holder, is_alive
from srcore.storage.disk.owner import Owner

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks at a mark."""


@contextmanager
def first(folder: Path) -> Iterator[None]:
    """While it is entered, nights of the store start no scene. Without the right to write there it only says so."""
    with ExitStack() as stack:
        try:
            stack.enter_context(held(lease_path(folder / secrets.token_hex(4))))
        except (SRError, OSError) as error:
            log.warning("nights will not wait for this scene: %s", error)
        yield


def let_first(folder: Path, ended: Callable[[], bool] = lambda: False) -> None:
    """Return when nobody waits any more, or when `ended` says so."""
    told: set[str] = set()
    while not ended() and (owner := _asked(folder)) is not None:
        if owner.id not in told:
            told.add(owner.id)
            log.info("%s goes first with a scene by hand: the next scene waits for it", owner)
        time.sleep(LOOK_SECONDS)


def _asked(folder: Path) -> Owner | None:
    """Somebody who waits."""
    for name in _names(folder):
        lease = lease_path(folder / name)
        owner = holder(lease)
        if owner is not None and is_alive(lease, owner):
            return owner
        _sweep(lease)
    return None


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)
    except OSError:  # there is none: nobody ever asked
        return []


def _sweep(lease: Path) -> None:
    """Of a process that is gone; one that is being made cannot be read yet, and stays."""
    owner = holder(lease)
    with suppress(OSError):
        if owner is not None and not is_alive(lease, owner):
            lease.unlink()
        lease.parent.rmdir()
