"""UPSCALE: every tile through the generator, straight into its place in the stitched scene."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from srcore import dispatch
from srcore.checkpoints import read_spec
from srcore.errors import CheckpointError, StoreError
from srcore.storage.ingested import Ingested
from srcore.storage.scene_plan import ScenePlan
from srcore.storage.scratch import TileStore

if TYPE_CHECKING:
    from srcore.engine import Engine

Progress = Callable[[int, int], None]

TASK_PIXELS = 2**18
"""LR pixels times bands that a small generator does in about a second on one core."""


@dataclass(frozen=True)
class Upscaled:
    """What UPSCALE did in this call."""

    tiles: int
    computed: int
    """Tiles that had no marker."""
    device: str
    precision: str
    seconds: float


@dataclass(frozen=True)
class TileDone:
    """What a worker reports of one tile."""

    tile: int
    device: str
    precision: str
    seconds: float


def upscale(
    plan: ScenePlan, workers: dispatch.Workers | None = None, progress: Progress = lambda done, total: None
) -> Upscaled:
    """Compute the SR of every tile that has no marker yet, on the workers.

    TileError names a tile that failed after its retries; the tiles beside it are finished first.
    """
    started = time.monotonic()
    plan.scratch.done.mkdir(parents=True, exist_ok=True)
    store = TileStore(plan)
    pending, total = store.pending(), len(plan.tiles)
    progress(total - len(pending), total)
    done: list[TileDone] = []

    def arrived(result: TileDone) -> None:
        done.append(result)
        progress(total - len(pending) + len(done), total)

    work = partial(upscale_tile, plan.scratch.plan)
    dispatch.run_tiles(work, pending, workers or dispatch.Workers(), arrived, _batch(plan))
    device, precision = store.makers()
    return Upscaled(total, len(done), device, precision, time.monotonic() - started)


def _batch(plan: ScenePlan) -> int:
    """Tiles a task: about a second of work, so that small tiles do not drown in messages."""
    pixels = len(plan.header.bands) * prod(plan.tiles.tile_shape)
    return max(1, TASK_PIXELS // pixels)


def upscale_tile(plan_path: Path, index: int) -> TileDone:
    """Read one tile, super-resolve it, write its shard and then its marker. Runs on a worker."""
    started = time.monotonic()
    plan, ingested, engine = _opened(plan_path, os.stat(plan_path).st_mtime_ns)
    from srcore.engine import BlockFacts, super_resolve, super_resolve_with_trust

    store, tile = TileStore(plan), plan.tiles[index]
    facts = BlockFacts(
        ingested.normalisation,
        plan.header.dtype,
        tuple(_fill(band.nodata, plan.header.nodata) for band in plan.header.bands),
        plan.back_projection,
        plan.trust,
    )
    around = None
    if plan.back_projection and min(ingested.valid_share) < 1:
        own = engine.spec.halo_for(len(plan.tiles.shape))
        margin = [h - o for h, o in zip(plan.tiles.halo, own, strict=True)]
        seen = store.read_valid_around(tile, margin, ingested.sums)
        around = seen[(slice(None), *plan.tiles.clipped(tile, margin))]
    sums = ingested.sums[index]
    values = store.read_tile(tile, sums)[(slice(None), *plan.tiles.clipped(tile, plan.tiles.halo))]
    valid = store.read_valid(tile, sums)
    if plan.trust is None:
        block, trust = super_resolve(engine, values, valid, facts, around), None
    else:
        block, trust = super_resolve_with_trust(engine, values, valid, facts, around)
    store.write_sr(tile, block, sums, str(engine.device), engine.precision, trust)
    return TileDone(index, str(engine.device), engine.precision, time.monotonic() - started)


def _fill(nodata: float | None, form: str) -> float | None:
    return float("nan") if form == "nan" else nodata


@lru_cache(maxsize=1)
def _opened(plan_path: Path, _version: int) -> tuple[ScenePlan, Ingested, Engine]:
    """What a worker process keeps between tiles of one scene."""
    # PLAN, INGEST and EXPORT start without torch; so does this module until a tile comes.
    from srcore.engine import open_engine

    plan = ScenePlan.load(plan_path)
    ingested = Ingested.load(plan.scratch)
    if ingested is None:
        raise StoreError(f"{plan.scene} is not ingested", "no ingest.json", "run ingest first")
    if read_spec(plan.model).digest != plan.model_digest:
        raise CheckpointError(f"the checkpoint {plan.model} changed during the run", "another digest",
                              "run again: all tiles are then done with the new one", code="MODEL_CHANGED")  # fmt: skip
    return plan, ingested, open_engine(plan.model, plan.device, plan.precision)
