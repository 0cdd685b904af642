"""A night of several flows on one scheduler with many workers, played, against the model's bounds.

What a flow does itself, tiles and requests of the store are pauses, as long as their units say. Connections, questions
to workers and tasks are real. A flow has one core, for which its scenes take turns.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from threading import Lock
from typing import Any

from benchmarks.scale.model import TILE_PX, Night, Units, first, seconds
from benchmarks.scale.simulated import Cluster, Cost, waits


@dataclass(frozen=True)
class Played:
    """What a night took."""

    night: Night
    cost: Cost
    model_s: float
    first: str
    """Who is the first that can do no more, by the model."""
    workers_busy: float
    """Share of the night, by the pauses that they made."""
    load: float


def night_of(workers: int, flows: int, scenes: int, tiles: int) -> Night:
    """So many `scenes` in each flow, two of them at once."""
    return Night(flows * scenes, tiles, workers, beside=2 * flows, flows=flows)


def play(cluster: Cluster, night: Night, units: Units) -> Played:
    """Do the night's scenes; without a Prefect server, and what a night costs before its first scene."""
    played = replace(units, calls=0, night_s=0.0, known_s=0.0)
    tile_s = units.tile_s * night.px / TILE_PX
    cost = cluster.cost(partial(_all, cluster.address, night, played, tile_s))
    busy = tile_s * night.tiles * night.scenes / night.workers / cost.wall
    return Played(night, cost, seconds(played, night), first(played, night), busy, os.getloadavg()[0])


def _all(address: str, night: Night, units: Units, tile_s: float) -> None:
    with ExitStack() as ended:
        done = []
        for _ in range(night.flows):
            flow, core = ended.enter_context(ThreadPoolExecutor(night.beside // night.flows)), Lock()
            for _ in range(night.scenes // night.flows):
                done.append(flow.submit(_scene, address, night, units, tile_s, core))
        for scene in done:
            scene.result()


def _scene(address: str, night: Night, units: Units, tile_s: float, core: Lock) -> None:
    from srcore.dispatch import Workers, run_tiles

    with core:
        time.sleep(units.scene_s + units.mp_s * night.mp)
    came: list[Any] = []
    run_tiles(partial(waits, tile_s), range(night.tiles), Workers(scheduler=address), came.append)
    if len(came) != night.tiles:
        raise SystemExit(f"{len(came)} of {night.tiles} tiles came")
    time.sleep(units.requests * units.request_s if night.bucket else 0.0)
