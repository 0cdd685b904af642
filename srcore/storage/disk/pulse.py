"""A file that stays locked as long as its process lives, whatever container that is in: proof that a holder is dead.

A pid means nothing in another container, and beats that stay away say so after minutes. But all containers of a machine
have one kernel, which lets go of a process's locks when it ends. So whoever gets the lock of that very file (same boot,
same device and inode, so the same file to the same kernel) knows that its process is gone. That it is locked proves
nothing: a child may have inherited it.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import IO

from srcore.storage.disk.owner import Owner, boot_of

LOCKED = "locked"


def begin(path: Path, owner: Owner) -> tuple[Owner, IO[bytes]]:
    """Make the file, locked, with `owner` in it; gives the owner, whose `space` names the file now, and the open file.

    The lock holds until that is closed. Where the file system has no locks, `space` says nothing of one. OSError.
    """
    file = open(path, "xb", buffering=0)  # noqa: SIM115  # it stays open: that is the lock
    try:
        with suppress(OSError):
            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            owner = replace(owner, space=f"{owner.space} {_word(file.fileno())}")
        file.write(json.dumps(asdict(owner)).encode())
    except BaseException:
        file.close()
        raise
    return owner, file


def has_ended(path: Path, owner: Owner) -> bool:
    """True where the file at `path` proves that its process is gone; False where it proves nothing."""
    if boot_of(owner) is None or boot_of(owner) != boot_of():
        return False
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if owner.space.split()[-1] != _word(file):
            return False
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: NFS wants to write for another, and others look, too
    except OSError:
        return False
    finally:
        os.close(file)
    return True


def _word(file: int) -> str:
    status = os.fstat(file)
    return f"{LOCKED}:{status.st_dev}:{status.st_ino}"
