"""A file of ours, read whole: a regular one, and no larger than it may be. A pipe in its place holds nobody up."""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

MAX_RECORD_BYTES = 64 << 20
"""Of a receipt, a spec, a plan: a thousand times what any has."""
MAX_WEIGHTS_BYTES = 16 << 30


def read_regular(path: Path, limit_bytes: int = MAX_RECORD_BYTES) -> bytes:
    """The content; OSError when it cannot be read, EINVAL for what is no regular file, EFBIG for a larger one."""
    # without O_NONBLOCK the opening of a pipe waits for somebody who writes to it
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        # one byte more, to see that it grew; not the limit's worth, which Python would ask the system for at once
        data = file.read(status.st_size + 1) if status.st_size <= limit_bytes else b""
    if max(status.st_size, len(data)) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", str(path))
    return data
