"""Where Prefect's workers put temporary files: one name for all users of a machine, so the first user's alone."""

from __future__ import annotations

import os
import stat
import tempfile
from contextlib import suppress
from pathlib import Path

SHARED = "runner_storage"
"""Prefect's folder in the machine's temporary one; whoever comes second may write nothing there."""


def use_own_temporary() -> None:
    """Give this process, and those that it starts, a temporary folder of their user's own where SHARED is another's."""
    machine = Path(tempfile.gettempdir())
    if not (machine / SHARED).exists() or os.access(machine / SHARED, os.W_OK):
        return
    own = machine / f"srcore-{os.getuid()}"
    with suppress(FileExistsError):
        own.mkdir(mode=0o700)
    found = own.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():  # somebody put it there
        own = Path(tempfile.mkdtemp(prefix="srcore-"))
    os.environ["TMPDIR"] = tempfile.tempdir = str(own)
