"""INGEST: cut the scene into overlapping tiles of one static shape, nodata filled, one checksummed chunk each."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import read_spec
from srcore.radiometry import Normalisation, percentile_normalisation
from srcore.storage.cut import cut
from srcore.storage.ingested import Ingested
from srcore.storage.scene import open_scene
from srcore.storage.scene_plan import ScenePlan
from srcore.storage.scratch import TileStore
from srcore.storage.watch import changed, identify
from srcore.tiling import Tile, TilePlan, Window

Progress = Callable[[int, int], None]

SAMPLES = 2**18
"""Valid pixels of a band that decide its normalisation, at most."""


def ingest(plan: ScenePlan, progress: Progress = lambda done, total: None) -> Ingested:
    """Fill `tiles` and `valid` of the scene's store; gives what the pixels told. Does nothing when it is done.

    SourceError when a file cannot be read to its end, or changes while it is read (SOURCE_CHANGED).
    """
    store, done = TileStore(plan), Ingested.load(plan.scratch)
    if done is not None and store.is_intact(done):
        progress(len(plan.tiles), len(plan.tiles))
        return done
    plan.scratch.ingested.unlink(missing_ok=True)
    shutil.rmtree(plan.scratch.done, ignore_errors=True)  # markers of an `sr` that is made anew
    sources = tuple(identify(path) for path in plan.header.paths)
    if tuple(source.stamp for source in sources) != plan.sources:
        raise changed(plan.scene, "after it was planned")
    store.create()
    sampler = _Sampler(plan.tiles, len(plan.header.bands))
    sums = []
    with open_scene(plan.header) as reader:
        for tile in plan.tiles:
            values, valid = cut(reader, plan.tiles, tile)
            core_valid = valid[_core_inside(plan.tiles, tile)]
            sampler.add(tile, values[_core_inside(plan.tiles, tile)], core_valid)
            alpha = None if plan.header.alpha is None else reader.read_alpha(tile.core)
            sums.append(store.write_tile(tile, values, core_valid, alpha))
            progress(tile.index + 1, len(plan.tiles))
    if tuple(identify(path) for path in plan.header.paths) != sources:
        raise changed(plan.scene, "while it was read")
    spread = sampler.spread()
    none = Normalisation((0.0,) * len(spread.scale), (1.0,) * len(spread.scale))
    normalisation = none if read_spec(plan.model).normalise == "none" else spread
    result = Ingested(sources, normalisation, spread, sampler.valid_share(), tuple(sums), store.layout())
    result.save(plan.scratch)
    return result


def _core_inside(tiles: TilePlan, tile: Tile) -> Window:
    return (
        slice(None),
        *(slice(h, h + w.stop - w.start) for h, w in zip(tiles.halo, tile.core, strict=True)),
    )


class _Sampler:
    """Every k-th valid pixel of the scene's own grid: the same sample for every way to cut it."""

    def __init__(self, tiles: TilePlan, bands: int) -> None:
        pixels = float(np.prod(tiles.shape, dtype=np.float64))
        self.step = max(1, ceil((pixels / SAMPLES) ** (1 / len(tiles.shape))))
        self.samples: list[list[NDArray[Any]]] = [[] for _ in range(bands)]
        self.valid = np.zeros(bands, np.int64)
        self.pixels = pixels

    def add(self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_]) -> None:
        self.valid += valid.sum(axis=tuple(range(1, valid.ndim)))
        grid = (..., *(slice(-w.start % self.step, None, self.step) for w in tile.core))
        for band, kept in enumerate(self.samples):
            kept.append(values[band][grid][valid[band][grid]])

    def spread(self) -> Normalisation:
        return percentile_normalisation([np.concatenate(kept) for kept in self.samples])

    def valid_share(self) -> tuple[float, ...]:
        return tuple(float(count / self.pixels) for count in self.valid)
