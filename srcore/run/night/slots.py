"""Slots of this machine: how many scenes, and how many of them on a GPU, whatever night or person began them.

A slot is a lease in srcore's cache folder, so that a process that was killed gives its slot back.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

from srcore.errors import LeaseError, SRError
from srcore.layout import lease_path
from srcore.settings import load_settings
from srcore.storage.disk.leases import held

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.5
"""Between two looks for a slot."""


@contextmanager
def slot(kind: str, count: int | None) -> Iterator[None]:
    """One of `count` slots of a kind, waited for; None: there is no limit."""
    with ExitStack() as stack:
        told = False
        while count is not None and not _taken(kind, count, stack):
            if not told:
                log.info("all %d slots for a %s on this machine are taken: waiting for one", count, kind)
            told = True
            time.sleep(LOOK_SECONDS)
        yield


def scene_slot() -> AbstractContextManager[None]:
    """A slot for a scene, by SRCORE_SCENES."""
    return slot("scene", load_settings().scenes)


def gpu_slot() -> AbstractContextManager[None]:
    """A slot on a GPU, by SRCORE_GPU; at once where there is none."""
    return slot("gpu", load_settings().gpu if has_gpu() else None)


def _taken(kind: str, count: int, stack: ExitStack) -> bool:
    folder = load_settings().cache_folder / "slots"
    for number in range(count):
        try:
            stack.enter_context(held(lease_path(folder / f"{kind}-{number}")))
        except LeaseError:
            continue
        except SRError as error:
            log.warning("the limit of %d for a %s cannot be kept: %s", count, kind, error)
        return True
    return False


def has_gpu(devices: Path = Path("/dev")) -> bool:
    """True where UPSCALE of this machine may take one: told by the driver's files, without torch."""
    return os.environ.get("CUDA_VISIBLE_DEVICES", "all") not in ("", "-1") and any(devices.glob("nvidia[0-9]*"))
