"""What a run would do and cost: from headers, the spec and what this machine measured before. Writes nothing.

As earlier runs of the model took here; where there was none, a guess, and called so:
seconds = start + owned pixels / speed + the other stages by the pixels of the product
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import psutil

from srcore.checkpoints import Spec, read_spec
from srcore.dispatch import Workers
from srcore.errors import SRError, StoreError
from srcore.job import Job
from srcore.run.measured import known_run
from srcore.settings import load_settings
from srcore.stages.needs import disk_bytes, product_bytes, slab_bytes, worker_bytes
from srcore.stages.plan import plan_scene
from srcore.storage.disk.files import free_bytes
from srcore.storage.disk.records import read_sealed
from srcore.storage.disk.veil import without_names
from srcore.storage.remote.fetch import nothing_fetched
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import makespan

START_S = 3.0
"""Of a run, before its first tile and behind its last."""
OTHER_S_MPX = 0.12
"""CPU seconds of the other stages, a megapixel of a band of the product (docs/benchmarks.md)."""
ASSUMED_FLOPS = 1e11
"""A second's work of a core, where nothing was measured."""


@dataclass(frozen=True)
class Forecast:
    """What would be done to one scene."""

    scene: str
    product: str
    shape: tuple[int, ...]
    shape_hr: tuple[int, ...]
    bands: int
    dtype: str
    model: str
    tiles: int
    core: tuple[int, ...]
    halo: tuple[int, ...]
    seconds: float
    """Of wall time, about."""
    seconds_by: str
    """What the time is known from."""
    scratch_bytes: int
    """At most, while it runs."""
    product_bytes: int
    """At most: as if nothing compressed."""
    free_bytes: int
    memory_bytes: int
    """Of all workers together, at most."""
    available_bytes: int
    workers: int
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Refused:
    """Why a scene would not be done."""

    scene: str
    code: str
    message: str


def forecast(job: Job, where: Workers) -> Forecast:
    """What the job would do there, by itself; the SRError of PLAN where it would be refused.

    NOT_FETCHED for a scene elsewhere whose files are not in the cache.
    """
    plan = _planned(job, where.resolved)
    workers, spec = where.worth(plan.values * plan.passes).resolved, read_spec(plan.model)
    seconds, by = _seconds(plan, spec, workers)
    kept = product_bytes(plan)
    return Forecast(
        scene=plan.scene,
        product=plan.product.name,
        shape=plan.tiles.shape,
        shape_hr=plan.tiles.shape_hr,
        bands=len(plan.header.bands),
        dtype=plan.header.dtype,
        model=spec.name,
        tiles=len(plan.tiles),
        core=plan.tiles.core,
        halo=plan.tiles.halo,
        seconds=seconds,
        seconds_by=by,
        scratch_bytes=disk_bytes(plan) - kept,
        product_bytes=kept,
        free_bytes=free_bytes(plan.product.folder),
        memory_bytes=max(workers, 1) * worker_bytes(spec, plan.header, plan.tiles) + slab_bytes(plan),
        available_bytes=psutil.virtual_memory().available,
        workers=workers,
        flags=plan.header.flags,
    )


def _planned(job: Job, workers: int) -> ScenePlan:
    try:
        with nothing_fetched():
            return plan_scene(job, workers)
    except SRError as error:
        if not (telling := job.telling):
            raise
        told = without_names(error, telling)
    raise told  # out here, without the one that names files


def forecasts(jobs: Iterator[Job], workers: int) -> Iterator[Forecast | Refused]:
    """The forecast of each job on so many worker processes; of one that PLAN refuses, why."""
    for job in jobs:
        try:
            yield forecast(job, Workers(workers))
        except SRError as error:
            yield Refused(job.scene, error.code, str(error))


def _seconds(plan: ScenePlan, spec: Spec, workers: int) -> tuple[float, str]:
    """Wall seconds of a scene, and what they are known from."""
    if (known := known_run(plan, workers)) is not None:
        runs = "one run" if known.runs == 1 else f"{known.runs} runs"
        return round(known.seconds, 1), f"as {runs} of {spec.name} took on this machine"
    speed, device, by = _speed(plan, spec)
    cores = len(os.sched_getaffinity(0))
    lanes = 1 if device == "cuda" else min(workers, len(plan.tiles), cores) if workers else cores
    pixels = plan.passes * plan.header.copied.count(False) * makespan(plan.tiles, lanes)
    computing = pixels / 1e6 / speed if speed else 0.0
    read = len(plan.header.bands) * prod(plan.tiles.scene_shape) if plan.of else 0  # the whole decides the numbers
    other = (len(plan.header.bands) * prod(plan.tiles.shape_hr) + read) / 1e6 * OTHER_S_MPX
    return round(START_S + computing + other, 1), f"a guess, no such run was measured here: {by}"


def _speed(plan: ScenePlan, spec: Spec) -> tuple[float, str, str]:
    """LR megapixels a second of a lane (0: nothing to compute), the device, and where that is known from."""
    found = _measured(spec, plan)
    if found is not None:
        device, backend, speed = found
        return speed, device, f"from the measured speed of {spec.name} by {backend} on {device}, for an idle machine"
    weights = plan.model / spec.weights_file
    if not weights.exists():
        return 0.0, "cpu", "the time of the other stages, an interpolation costs next to nothing"
    flops = 2 * weights.stat().st_size / 4
    return ASSUMED_FLOPS / flops / 1e6, "cpu", "from the model's size"


def _measured(spec: Spec, plan: ScenePlan) -> tuple[str, str, float] | None:
    """Device, backend and speed of the best that was measured here for this model."""
    found = [
        (content["device"], trial["backend"], trial["lr_mpx_s"])
        for content in _records(load_settings().cache_folder / "engines")
        if content.get("digest") == spec.digest
        and plan.precision in ("auto", content.get("precision"))
        and plan.device in ("auto", content.get("device"))
        for trial in content["trials"]
        if trial.get("lr_mpx_s") and plan.backend in ("auto", trial["backend"])
    ]
    return max(found, key=lambda one: (one[0] == "cuda", one[2]), default=None)


def _records(folder: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(folder.glob("*.json")):
        try:
            yield read_sealed(path)
        except StoreError:
            continue  # who measures next writes it anew
