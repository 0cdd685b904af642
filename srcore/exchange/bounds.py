"""How much memory a file of others may take while it is looked at: what is free."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import torch  # what it maps when it is first there is none of the file's

from srcore.errors import CheckpointError, shortened

try:
    import resource
except ImportError:  # not on Windows
    resource = None  # type: ignore[assignment]


@contextmanager
def bounded_memory(path: Path) -> Iterator[None]:
    """A few bytes of a graph can ask for any amount: CheckpointError MODEL_TOO_LARGE beyond the memory that is free
    now, where the system would end this process, or another one."""
    if resource is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    room = psutil.Process().memory_info().vms + psutil.virtual_memory().available
    resource.setrlimit(resource.RLIMIT_AS, (room if soft == resource.RLIM_INFINITY else min(room, soft), hard))
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, (MemoryError, torch.OutOfMemoryError)) and "allocate memory" not in str(error):
            raise
        raise CheckpointError(
            f"{path} needs more memory than there is",
            shortened(str(error).partition("\n")[0]),
            "use a smaller network, or more memory",
            code="MODEL_TOO_LARGE",
        ) from error
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
