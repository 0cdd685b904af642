"""What a worker is asked before its first tile, and the scheduler of its workers. Standard library alone.

The functions travel by value, so that they also run where another srcore is installed, or none.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import socket
import sys
import time
from pathlib import Path
from typing import Any

NONE, REMEMBERED = "none", "_srcore_code_digest"
GPU = "GPU"
"""The resource of Dask by which a worker says that a GPU is its own."""
PACKAGES = ("distributed", "torch", "zarr")
"""Beside srcore's own code: of other versions come other numbers, or none."""


def greet(shared: str | None, dask_worker: Any = None) -> dict[str, Any]:
    """Versions, a digest of srcore's code, one of the file `shared` (or why it cannot be read), and how many GPUs.

    `dask_worker` is given by Dask: its worker, which knows its resources (`--resources GPU=1`), or its scheduler.
    """
    versions = {package: _version(package) for package in PACKAGES}
    state = getattr(dask_worker, "state", None)
    gpus = 0 if state is None else state.total_resources.get(GPU, 0)
    return {"host": socket.gethostname(), "code": code(), **versions, "shared": _seen(shared), "gpus": gpus}


def roll(silent_s: float, dask_scheduler: Any = None) -> tuple[str, dict[str, tuple[str, float, bool, int, list[str]]]]:
    """Which process a scheduler is, and who is there: Dask gives `dask_scheduler`.

    Of each worker: its process, seconds since its heartbeat, whether it has a GPU, how many tasks; and the tasks' keys,
    where it was not heard of for `silent_s`.
    """
    now, found = time.time(), {}
    for address, worker in dask_scheduler.workers.items():
        unheard_s, tasks = now - worker.last_seen, worker.processing
        keys = [str(task.key) for task in tasks] if unheard_s > silent_s else []
        found[address] = worker.server_id, unheard_s, bool(worker.resources.get(GPU)), len(tasks), keys
    return dask_scheduler.id, found


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return NONE


def code() -> str:
    """Of all that lay as srcore here when this process was asked first: what is installed later is not what it runs."""
    if hasattr(sys, REMEMBERED):
        return str(getattr(sys, REMEMBERED))
    spec = importlib.util.find_spec("srcore")
    if spec is None or not spec.submodule_search_locations:
        return NONE
    folder, digest = Path(next(iter(spec.submodule_search_locations))), hashlib.sha256()
    for path in sorted(folder.rglob("*.py")):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    found = digest.hexdigest()[:12]
    setattr(sys, REMEMBERED, found)
    return found


def _seen(shared: str | None) -> str:
    if shared is None:
        return ""
    try:
        return hashlib.sha256(Path(shared).read_bytes()).hexdigest()
    except OSError as error:
        return f"{type(error).__name__}: {error.strerror}"


def differs(found: dict[str, Any], expected: dict[str, Any]) -> str:
    """Why a worker that answered `found` may not do tiles; '' when it may."""
    if found["code"] == NONE:
        return "has no srcore: install this version there"
    if found["code"] != expected["code"]:
        return f"runs other code of srcore ({found['code']}, here {expected['code']}): install this version there"
    for name in PACKAGES:
        if found[name] != expected[name]:
            return f"has {name} {found[name]}, here {expected[name]}: other numbers, or none, would come of it"
    if found["shared"] != expected["shared"]:
        why = found["shared"] if ":" in found["shared"] else "another file lies there"
        return f"cannot read the plan ({why}): the store must be one folder, under one path, on all machines"
    return ""
