"""INGEST: cut the scene into overlapping tiles of one static shape, nodata filled, one checksummed chunk each."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import Spec, read_spec
from srcore.errors import SourceError
from srcore.radiometry import Normalisation, percentile_normalisation
from srcore.storage.cut import cut
from srcore.storage.files import sha256_file
from srcore.storage.scene import open_scene
from srcore.storage.scratch import Ingested, ScenePlan, Source, TileStore
from srcore.tiling import Tile, TilePlan, Window

Progress = Callable[[int, int], None]

SAMPLES = 2**18
"""Valid pixels of a band that decide its normalisation, at most."""


def ingest(plan: ScenePlan, progress: Progress = lambda done, total: None) -> Ingested:
    """Fill `tiles` and `valid` of the scene's store; gives what the pixels told. Does nothing when it is done.

    SourceError when a file cannot be read to its end, or changes while it is read (SOURCE_CHANGED).
    """
    done = Ingested.load(plan.scratch)
    if done is not None:
        progress(len(plan.tiles), len(plan.tiles))
        return done
    sources = tuple(identify(path) for path in plan.header.paths)
    store = TileStore(plan)
    store.create()
    sampler = _Sampler(plan.tiles, len(plan.header.bands))
    crc32 = []
    with open_scene(plan.header) as reader:
        for tile in plan.tiles:
            values, valid = cut(reader, plan.tiles, tile)
            core_valid = valid[_core_inside(plan.tiles, tile)]
            sampler.add(tile, values[_core_inside(plan.tiles, tile)], core_valid)
            crc32.append(store.write_tile(tile, values, core_valid))
            if plan.header.alpha is not None:
                store.write_alpha(tile, reader.read_alpha(tile.core))
            progress(tile.index + 1, len(plan.tiles))
    if tuple(identify(path) for path in plan.header.paths) != sources:
        raise SourceError(f"a source of {plan.scene} changed while it was read", "another digest", "run again",
                          code="SOURCE_CHANGED")  # fmt: skip
    result = Ingested(sources, sampler.normalisation(read_spec(plan.model)), sampler.valid_share(), tuple(crc32))
    result.save(plan.scratch)
    return result


def identify(path: Path) -> Source:
    """A file's digest, size and time."""
    try:
        status = path.stat()
        return Source(str(path), sha256_file(path), status.st_size, status.st_mtime_ns)
    except OSError as error:
        raise SourceError(f"{path} cannot be read", error.strerror or str(error), "check the file") from error


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

    def normalisation(self, spec: Spec) -> Normalisation:
        bands = len(self.samples)
        if spec.normalise == "none":
            return Normalisation((0.0,) * bands, (1.0,) * bands)
        return percentile_normalisation([np.concatenate(kept) for kept in self.samples])

    def valid_share(self) -> tuple[float, ...]:
        return tuple(float(count / self.pixels) for count in self.valid)
