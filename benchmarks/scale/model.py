"""The model: who works how long on a night, and who is the first that cannot do more.

A scene goes through stations, one behind the other: the flow's process (plan, ingest, export, validate, publish), the
scheduler, the workers, the store, Prefect's server. Two bounds hold whatever the order (Denning and Buzen's): a night
takes as long as its busiest station has work, and no less than all scenes one behind the other over how many are in
work at once. The model is the larger of the two.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

TILE_PX = 1024**2
"""LR pixels of a large tile, of one band."""
BATCH = 4
"""Tiles of a task at most, where there are many."""


@dataclass(frozen=True)
class Units:
    """What one of each costs. Seconds are CPU of one core, but for `request_s`."""

    tile_s: float = 3.1
    """A worker, a tile of TILE_PX, `srcore-x2` in bfloat16: 0.338 LR MP a CPU second (benchmarks.throughput)."""
    task_flow_s: float = 0.0025
    """The flow's process, a task that it hands out and hears of."""
    task_scheduler_s: float = 0.0037
    """The scheduler, a task."""
    ask_s: float = 0.002
    """The scheduler, a worker that a scene asks what it runs."""
    asked: int = 2
    """Workers that are asked a tile, where there are more (srcore.dispatch.SPARE)."""
    start_s: float = 0.1
    """The flow's process, a scene whose tiles go to a scheduler: the connection."""
    scene_s: float = 0.17
    """The flow's process, a scene, however small."""
    mp_s: float = 0.52
    """The flow's process, a megapixel of LR: INGEST, EXPORT and VALIDATE."""
    known_s: float = 0.0010
    """The flow's process, a scene of the archive that is not due, pages and STAC included."""
    night_s: float = 2.0
    """A night's own, whatever is in it."""
    requests: int = 35
    """To an object store, a scene."""
    request_s: float = 0.03
    """Wall time of one, assumed: an object store's usual first byte."""
    requests_a_second: float = 3500.0
    """That S3 promises a prefix, of writes."""
    calls: int = 24
    """Of Prefect's API, a flow run."""
    call_s: float = 0.025
    """Prefect's server, a call."""
    shared_run: int = 200
    """Small scenes that share a flow run."""
    base_mb: float = 130.0
    scene_mb: float = 0.0037
    """The flow's process, a scene of the archive, pages included."""
    tile_mb: float = 0.0012
    """The flow's process, a tile of the scene in work: its checksums, its mark, its place in the queue."""


@dataclass(frozen=True)
class Night:
    """What is due, and who does it."""

    scenes: int
    tiles: int
    """Of a scene."""
    workers: int
    px: int = TILE_PX
    """LR pixels of a tile."""
    beside: int = 1
    """Scenes in work at once, in all flows together."""
    flows: int = 1
    """Processes that run a part of the archive each."""
    bucket: bool = True
    """Whether the store is an object store."""

    @property
    def mp(self) -> float:
        """LR megapixels of a scene."""
        return self.tiles * self.px / 1e6

    @property
    def tasks(self) -> int:
        """Of a scene, as UPSCALE cuts it."""
        return ceil(self.tiles / max(1, min(BATCH, self.tiles // (8 * self.workers))))

    @property
    def small(self) -> bool:
        """Whether its scenes share flow runs."""
        return self.tiles * self.px <= 2**22


def scene_seconds(units: Units, night: Night) -> dict[str, float]:
    """Seconds that a scene spends at each station when nobody else is there."""
    tile_s = units.tile_s * night.px / TILE_PX
    return {
        "flow": units.start_s + units.scene_s + units.mp_s * night.mp + units.task_flow_s * night.tasks,
        "scheduler": units.task_scheduler_s * night.tasks + units.ask_s * min(night.workers, units.asked * night.tiles),
        "workers": tile_s * ceil(night.tiles / night.workers),
        "store": units.requests * units.request_s if night.bucket else 0.0,
        "Prefect": units.calls * units.call_s / (units.shared_run if night.small else 1),
    }


def busy_seconds(units: Units, night: Night) -> dict[str, float]:
    """Seconds that each station is busy in the whole night: what it cannot do in less."""
    one = scene_seconds(units, night)
    known = units.known_s * night.scenes
    return {
        "flow": units.night_s + (one["flow"] * night.scenes + known) / night.flows,
        "scheduler": one["scheduler"] * night.scenes,
        "workers": units.tile_s * night.px / TILE_PX * night.tiles * night.scenes / night.workers,
        "store": units.requests * night.scenes / units.requests_a_second if night.bucket else 0.0,
        "Prefect": one["Prefect"] * night.scenes,
    }


def seconds(units: Units, night: Night) -> float:
    """How long the night takes: no less than its busiest station, nor than its scenes one behind the other."""
    waiting = sum(scene_seconds(units, night).values()) * night.scenes / min(night.beside, night.scenes)
    return max(waiting, *busy_seconds(units, night).values())


def first(units: Units, night: Night) -> str:
    """Who is the first that cannot do more: the busiest station. 'waiting' where none is busy for half of the night."""
    busy = busy_seconds(units, night)
    name = max(busy, key=lambda station: busy[station])
    return name if 2 * busy[name] > seconds(units, night) else "waiting"


def memory_mb(units: Units, night: Night) -> float:
    """Of a flow's process."""
    beside = ceil(night.beside / night.flows)
    return units.base_mb + units.scene_mb * night.scenes / night.flows + units.tile_mb * night.tiles * beside


def flows_wanted(units: Units, night: Night) -> int:
    """Flows that keep the workers busy: as many as the flow's work is longer than theirs."""
    busy = busy_seconds(units, night)
    return min(night.scenes, max(1, ceil((busy["flow"] - units.night_s) * night.flows / busy["workers"])))
