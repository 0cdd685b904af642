"""UPSCALE: every tile through the generator, straight into its place in the stitched scene."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import lru_cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, cast

from srcore import dispatch
from srcore.checkpoints import read_spec
from srcore.errors import CheckpointError, StoreError
from srcore.settings import load_settings
from srcore.storage.ingested import Ingested
from srcore.storage.records import read_sealed, write_sealed_once
from srcore.storage.scene_plan import ScenePlan
from srcore.storage.scratch import Maker, TileStore

if TYPE_CHECKING:
    from torch import Tensor

    from srcore.engine import Engine
    from srcore.engine.backends import Precision

Progress = Callable[[int, int], None]

TASK_PIXELS = 2**18
"""LR pixels times bands that a small generator does in about a second on one core."""

SAMPLES, SAMPLE_PX = 16, 256
"""Tiles that int8 is calibrated on, and the largest side of each."""


@dataclass(frozen=True)
class Upscaled:
    """What UPSCALE did in this call."""

    tiles: int
    computed: int
    """Tiles that had no marker."""
    device: str
    precision: str
    backend: str
    rms_dn: float
    """Of the backend to float32 in eager, in DN of 10,000, on the gate's texture."""
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
    _restore_choice(store)

    def arrived(result: TileDone) -> None:
        done.append(result)
        progress(total - len(pending) + len(done), total)

    work = partial(upscale_tile, plan.scratch.plan)
    dispatch.run_tiles(work, pending, workers or dispatch.Workers(), arrived, _batch(plan))
    makers = store.makers()
    device, precision, backend = ("+".join(sorted({getattr(maker, name) for maker in makers}))
                                  for name in ("device", "precision", "backend"))  # fmt: skip
    rms_dn = max(maker.rms_dn for maker in makers)
    return Upscaled(total, len(done), device, precision, backend, rms_dn, time.monotonic() - started)


def _restore_choice(store: TileStore) -> None:
    """A choice that is missing or damaged becomes again the one that the finished tiles were made by."""
    path = store.plan.scratch.engine
    try:
        read_sealed(path)
    except StoreError:
        path.unlink(missing_ok=True)
        for maker in store.makers()[:1]:
            write_sealed_once(path, asdict(maker))


def _batch(plan: ScenePlan) -> int:
    """Tiles a task: about a second of work, so that small tiles do not drown in messages."""
    pixels = len(plan.header.bands) * prod(plan.tiles.tile_shape)
    return max(1, TASK_PIXELS // pixels)


def upscale_tile(plan_path: Path, index: int) -> TileDone:
    """Read one tile, super-resolve it, write its shard and then its marker. Runs on a worker."""
    started = time.monotonic()
    plan, ingested, engine, maker = _opened(plan_path, os.stat(plan_path).st_mtime_ns)
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
    store.write_sr(tile, block, sums, maker, trust)
    return TileDone(index, str(engine.device), engine.precision, time.monotonic() - started)


def _fill(nodata: float | None, form: str) -> float | None:
    return float("nan") if form == "nan" else nodata


@lru_cache(maxsize=1)
def _opened(plan_path: Path, _version: int) -> tuple[ScenePlan, Ingested, Engine, Maker]:
    """What a worker process keeps between tiles of one scene."""
    plan = ScenePlan.load(plan_path)
    ingested = Ingested.load(plan.scratch)
    if ingested is None:
        raise StoreError(f"{plan.scene} is not ingested", "no ingest.json", "run ingest first")
    if read_spec(plan.model).digest != plan.model_digest:
        raise CheckpointError(f"the checkpoint {plan.model} changed during the run", "another digest",
                              "run again: all tiles are then done with the new one", code="MODEL_CHANGED")  # fmt: skip
    return plan, ingested, *_engine(plan, ingested)


def _engine(plan: ScenePlan, ingested: Ingested) -> tuple[Engine, Maker]:
    """The engine of all tiles of this scene: the first worker chooses, the others and resumed runs follow.

    CheckpointError NO_BACKEND on a worker that lacks what was chosen.
    """
    # PLAN, INGEST and EXPORT start without torch; so does this module until a tile comes.
    from srcore.engine import Engine, choose_device, choose_precision, prove
    from srcore.engine.choice import Case, choose
    from srcore.weights import load_generator

    spec, generator = load_generator(plan.model)
    prove(spec, generator)
    device = choose_device(plan.device)
    precision = choose_precision(plan.precision, spec, device)
    samples = _samples(plan, ingested) if precision == "int8" else ()
    if not plan.scratch.engine.exists():
        shape = plan.tiles.tile_shape
        case = Case(spec, generator, device, precision, shape[-generator.axes :], samples)
        pixels = len(plan.tiles) * len(plan.header.bands) * prod(shape)
        choice = choose(case, plan.backend, pixels, load_settings().cache_folder)
        write_sealed_once(plan.scratch.engine, {"device": str(device), **asdict(choice)})
    chosen = Maker(**read_sealed(plan.scratch.engine))
    maker = replace(chosen, device=str(device))
    return Engine(spec, generator, device, cast("Precision", chosen.precision), chosen.backend, samples), maker


def _samples(plan: ScenePlan, ingested: Ingested) -> tuple[Tensor, ...]:
    """Network values (1, 1, Y, X) from tiles all over the scene, the same on every worker."""
    import torch

    store, count = TileStore(plan), len(plan.tiles)
    samples: list[Tensor] = []
    for index in sorted({i * count // SAMPLES for i in range(SAMPLES)}):
        tile = plan.tiles[index]
        values = ingested.normalisation.apply(store.read_tile(tile, ingested.sums[index]))
        flat = torch.from_numpy(values.reshape(-1, 1, 1, *values.shape[-2:]))
        samples.append(flat[index % len(flat)][..., :SAMPLE_PX, :SAMPLE_PX])
    return tuple(samples)
