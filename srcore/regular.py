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
    return read_part(path, 0, None, limit_bytes)


def read_part(path: Path, start: int, length: int | None, limit_bytes: int) -> bytes:
    """The content from `start` on, `length` bytes of it or all (None), fewer where it ends; errors as `read_regular`,
    EFBIG where more than the limit would be read."""
    # without O_NONBLOCK the opening of a pipe waits for somebody who writes to it
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", str(path))
        left = max(status.st_size - start, 0)
        file.seek(start)
        if length is not None:
            data = file.read(min(left, length)) if min(left, length) <= limit_bytes else None
        else:
            # one byte more, to see that it grew; not the limit's worth, which Python would ask the system for at once
            data = file.read(left + 1) if left <= limit_bytes else None
    if data is None or len(data) > limit_bytes:
        raise OSError(errno.EFBIG, f"larger than {limit_bytes} bytes", str(path))
    return data
