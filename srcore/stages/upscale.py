"""UPSCALE: every tile through the generator, straight into its place in the stitched scene."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property, lru_cache, partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from numpy.typing import NDArray

from srcore import dispatch
from srcore.checkpoints import Spec, read_spec
from srcore.errors import CheckpointError, StoreError
from srcore.overlap import Done, overlapped
from srcore.progress import Progress, silent
from srcore.settings import load_settings
from srcore.storage.disk.records import read_sealed, write_sealed_once
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.markers import Maker
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import Tile

if TYPE_CHECKING:
    from torch import Tensor
    from torch import device as device_type

    from srcore.engine import BlockFacts, Engine
    from srcore.engine.backends import Precision
    from srcore.engine.stream import Block
    from srcore.models import Generator

log = logging.getLogger(__name__)


TASK_PIXELS = 2**18
"""LR pixels times bands that a small generator does in about a second on one core."""

STREAMED_TILES, TASKS_A_WORKER = 4, 8
"""Tiles of a task at most, where there are enough that all workers end together all the same."""
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
    computing_s: float
    """All workers' time in the generator, of the tiles that were computed."""


@dataclass(frozen=True)
class TileDone:
    """What a worker reports of one tile."""

    tile: int
    seconds: float
    """Of computing."""


def nothing() -> None:
    """What is done meanwhile where nobody says anything."""


def upscale(
    plan: ScenePlan,
    workers: dispatch.Workers | None = None,
    progress: Progress = silent,
    meanwhile: Callable[[], object] = nothing,
) -> Upscaled:
    """Compute the SR of every tile that has no marker yet, on the workers.

    `meanwhile` is called in a thread of its own while the generator computes; nobody waits for it before the end.
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

    where = workers or dispatch.Workers()
    with ThreadPoolExecutor(1, "meanwhile") as aside:
        work = partial(upscale_tiles, plan.scratch.plan)
        if where.is_here:
            work = partial(work, begun=cache(partial(aside.submit, meanwhile)))
        else:
            aside.submit(meanwhile)
        dispatch.run_tiles(work, pending, where, arrived, partial(_batch, plan), plan.scratch.plan)
    makers = store.makers()
    device, precision, backend = (
        "+".join(sorted({getattr(maker, name) for maker in makers})) for name in ("device", "precision", "backend")
    )
    rms_dn = max(maker.rms_dn for maker in makers)
    computing_s = sum(tile.seconds for tile in done)
    seconds = time.monotonic() - started
    log.info(
        "%s: %s by %s on %s, %.2f DN rms of 10,000 off float32; %d tiles in %.1f s, %.1f s of computing",
        plan.scene,
        precision,
        backend,
        device,
        rms_dn,
        len(done),
        seconds,
        computing_s,
    )
    return Upscaled(total, len(done), device, precision, backend, rms_dn, seconds, computing_s)


def _restore_choice(store: TileStore) -> None:
    """A choice that is missing or damaged becomes again the one that the finished tiles were made by."""
    path = store.plan.scratch.engine
    try:
        read_sealed(path)
    except StoreError:
        path.unlink(missing_ok=True)
        for maker in store.makers()[:1]:
            write_sealed_once(path, asdict(maker))


def _batch(plan: ScenePlan, left: int, workers: int) -> int:
    """Tiles a task: about a second of work at least, and so many that reading and writing go on beside it."""
    if not workers:  # one task: reading and writing go on beside it without a break
        return left
    pixels = len(plan.header.bands) * prod(plan.tiles.tile_shape)
    return max(1, TASK_PIXELS // pixels, min(STREAMED_TILES, left // (TASKS_A_WORKER * workers)))


def upscale_tiles(
    plan_path: Path, tiles: Sequence[int], begun: Callable[[], object] = nothing
) -> Iterator[Done[TileDone]]:
    """Read tiles, super-resolve them, write their shards and then their markers. Runs on a worker.

    `begun` is called when all is there that computes.
    """
    scene = _opened(plan_path, os.stat(plan_path).st_mtime_ns)
    begun()
    return overlapped(tiles, scene.read, scene.compute, scene.write)


@dataclass(frozen=True)
class _Result:
    """The SR of a tile, and what it took."""

    sr: NDArray[Any]
    trust: NDArray[np.float32] | None
    seconds: float


@dataclass(frozen=True)
class _Scene:
    """What a worker process keeps between tiles of one scene: the three steps of a tile."""

    plan: ScenePlan
    ingested: Ingested
    engine: Engine
    maker: Maker

    @cached_property
    def store(self) -> TileStore:
        return TileStore(self.plan)

    @property
    def facts(self) -> BlockFacts:
        from srcore.engine import BlockFacts

        header = self.plan.header
        nodata, treatment = header.nodata_numbers, self.plan.treatment
        kept = header.copied, self.ingested.ranges(header), header.guides
        return BlockFacts(self.ingested.normalisation, header.dtype, nodata, treatment, *kept)

    def read(self, index: int) -> Block:
        """The tile and its validity, without what lies beyond the scene's edge."""
        from srcore.engine.stream import Block

        tiles, tile, sums = self.plan.tiles, self.plan.tiles[index], self.ingested.sums[index]
        values = self.store.lr.read(tile, sums)[(slice(None), *tiles.clipped(tile, tiles.halo))]
        return Block(values, self.store.lr.valid(tile, sums), self._around(tile))

    def _around(self, tile: Tile) -> NDArray[np.bool_] | None:
        """Validity of the core with the margin of back-projection; None where all of the scene is valid."""
        tiles = self.plan.tiles
        if not self.plan.treatment.steps or min(self.ingested.valid_share) == 1:
            return None
        own = self.engine.spec.halo_for(len(tiles.shape))
        margin = [h - o for h, o in zip(tiles.halo, own, strict=True)]
        seen = self.store.lr.valid_around(tile, margin, self.ingested.sums)
        return seen[(slice(None), *tiles.clipped(tile, margin))]

    def compute(self, blocks: Iterator[Block]) -> Iterator[_Result]:
        """The SR of every block: on a GPU as a stream, so that copies overlap."""
        from srcore.engine import super_resolve, super_resolve_stream, super_resolve_with_trust

        facts = self.facts
        started = time.monotonic()
        if self.engine.can_stream(facts) and facts.treatment.trust is None:
            for sr in super_resolve_stream(self.engine, blocks, facts):
                yield _Result(sr, None, time.monotonic() - started)
                started = time.monotonic()
            return
        for block in blocks:
            started, trust = time.monotonic(), None
            if facts.treatment.trust is None:
                sr = super_resolve(self.engine, block.values, block.valid, facts, block.around)
            else:
                sr, trust = super_resolve_with_trust(self.engine, block.values, block.valid, facts, block.around)
            yield _Result(sr, trust, time.monotonic() - started)

    def write(self, index: int, result: _Result) -> TileDone:
        """The shard, then the marker."""
        self.store.write_sr(self.plan.tiles[index], result.sr, self.ingested.sums[index], self.maker, result.trust)
        return TileDone(index, result.seconds)


# By the plan's time, too: workers outlive a scene, and its next run writes another plan under the same name.
@lru_cache(maxsize=1)
def _opened(plan_path: Path, _version: int) -> _Scene:
    """The scene of a plan; opened once a worker and version of the plan."""
    plan = ScenePlan.load(plan_path)
    ingested = Ingested.require(plan.scratch, plan.scene)
    if read_spec(plan.model).digest != plan.model_digest:  # a user's folder can be trained into meanwhile
        raise CheckpointError(
            f"the checkpoint {plan.model} changed during the run",
            "another digest",
            "run again: all tiles are then done with the new one",
            code="MODEL_CHANGED",
        )
    return _Scene(plan, ingested, *_engine(plan, ingested))


def _engine(plan: ScenePlan, ingested: Ingested) -> tuple[Engine, Maker]:
    """The engine of all tiles of this scene: the first worker chooses, the others and resumed runs follow.

    CheckpointError NO_BACKEND on a worker that lacks what was chosen.
    """
    # PLAN, INGEST and EXPORT start without torch; so does this module until a tile comes.
    from srcore.engine import Engine, choose_device, choose_precision
    from srcore.engine.choice import Case, choose

    spec, generator = proved(plan.model, plan.model_digest)
    device = choose_device(plan.device)
    precision = choose_precision(plan.precision, spec, device)
    samples = _samples(plan, ingested) if precision == "int8" else ()
    if not plan.scratch.engine.exists():
        tiles = plan.of or plan.tiles  # a window is computed by what would compute the whole scene
        shape = tiles.tile_shape
        case = Case(spec, generator, device, precision, shape[-generator.axes :], samples)
        pixels = len(tiles) * len(plan.header.bands) * prod(shape)
        choice = choose(case, plan.backend, pixels, load_settings().cache_folder)
        write_sealed_once(plan.scratch.engine, {"device": str(device), **asdict(choice)})
    chosen = Maker(**read_sealed(plan.scratch.engine))
    maker = replace(chosen, device=str(device))
    chosen_precision = cast("Precision", chosen.precision)
    if samples:
        return Engine(spec, generator, device, chosen_precision, chosen.backend, samples), maker
    return _built(plan.model, plan.model_digest, device, chosen_precision, chosen.backend), maker


@lru_cache(maxsize=1)
def _built(model: Path, digest: str, device: device_type, precision: Precision, backend: str) -> Engine:
    """An engine that needs nothing of a scene: once a process, while the scenes of a night share a model."""
    from srcore.engine import Engine

    return Engine(*proved(model, digest), device, precision, backend)


@lru_cache(maxsize=2)
def proved(model: Path, _digest: str) -> tuple[Spec, Generator]:
    """A checkpoint whose halo is proved: once a process, not once a scene."""
    from srcore.engine import prove
    from srcore.weights import load_generator

    spec, generator = load_generator(model)
    prove(spec, generator)
    return spec, generator


def _samples(plan: ScenePlan, ingested: Ingested) -> tuple[Tensor, ...]:
    """Network values (1, 1, Y, X) from tiles all over the scene, the same on every worker."""
    import torch

    store, count = TileStore(plan), len(plan.tiles)
    samples: list[Tensor] = []
    for index in sorted({i * count // SAMPLES for i in range(SAMPLES)}):
        tile = plan.tiles[index]
        values = ingested.normalisation.apply(store.lr.read(tile, ingested.sums[index]))
        flat = torch.from_numpy(values.reshape(-1, 1, 1, *values.shape[-2:]))
        samples.append(flat[index % len(flat)][..., :SAMPLE_PX, :SAMPLE_PX])
    return tuple(samples)
