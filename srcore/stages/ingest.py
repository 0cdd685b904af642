"""INGEST: cut the scene into overlapping tiles of one static shape, nodata filled, one checksummed chunk each."""

from __future__ import annotations

import shutil
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from itertools import product
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import read_spec
from srcore.filters import noise_deviation, root_mean
from srcore.overlap import ahead
from srcore.progress import Progress, silent
from srcore.radiometry import Extent, Normalisation, percentile_normalisation
from srcore.storage.bounds import flags
from srcore.storage.cut import Cut, cut
from srcore.storage.disk.watch import changed, hidden_sources, identify
from srcore.storage.guides import Unguided, registered
from srcore.storage.header import Header
from srcore.storage.scene import SceneReader, open_scene
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import Tile, TilePlan, core_inside
from srcore.undeclared import Undeclared

SAMPLES = 2**18
"""Valid pixels of a band that decide its normalisation, at most."""
NOISE_WINDOW_PX, NOISE_WINDOWS = 64, 64
"""Side of the windows that the noise is estimated from, and how many of them at most."""

Cuts = Generator[tuple[Cut, NDArray[Any] | None], None, None]
"""Of each tile what was cut out of the scene, and the alpha of its core where the scene has one."""


def ingest(plan: ScenePlan, progress: Progress = silent) -> Ingested:
    """Fill `tiles` and `valid` of the scene's store; gives what the pixels told. Does nothing when it is done.

    SourceError when a file cannot be read to its end, changes while it is read (SOURCE_CHANGED), or holds numbers that
    nothing can be computed with and no header calls nodata (UNDECLARED).
    """
    store, done = TileStore(plan), Ingested.load(plan.scratch)
    if done is not None and store.is_intact(done):
        progress(len(plan.tiles), len(plan.tiles))
        return done
    plan.scratch.ingested.unlink(missing_ok=True)  # first: without it nothing in the store is believed
    shutil.rmtree(plan.scratch.done, ignore_errors=True)  # markers of an `sr` that is made anew
    # Hashed here and once more when all is cut: the receipt vouches for the bytes that the tiles are made of, and a
    # file can be rewritten in between with the same size and time.
    sources = tuple(identify(path) for path in plan.header.paths)
    if tuple(source.stamp for source in sources) != plan.sources:
        raise changed(plan.scene, "after it was planned")
    store.create()
    extent, sums = Extent(len(plan.header.bands), plan.header.ranges), []
    told: list[str] = []
    with ExitStack() as stack:
        reader = stack.enter_context(open_scene(plan.header.whole))
        unguided = Unguided(plan.header)
        if plan.header.guides:
            told.append(registered(plan.header.whole, reader).flag)
        # of the scene, before the first tile: every tile is denoised by the same numbers
        noise = _noise(reader, plan) if plan.treatment.denoise else ()
        pass_ = _Pass(reader, plan.header, [plan.treatment.denoise * band for band in noise])
        survey = _surveyed(plan, pass_, progress)
        cuts = stack.enter_context(closing(_cuts(plan, pass_)))
        for tile, (found, alpha) in zip(plan.tiles, cuts, strict=True):
            if plan.of is None:
                survey.add(plan.tiles, tile, found, alpha)
            core = core_inside(plan.tiles, tile)
            extent.add(found.plain[core], found.valid[core])
            unguided.add(found.valid[core])
            seen = None if plan.of is None else found.valid
            sums.append(store.lr.write(tile, found.values, found.valid[core], alpha, seen))
            progress(tile.index + 1, len(plan.tiles))
    sampler, undeclared = survey.sampler, survey.undeclared
    if tuple(identify(path) for path in plan.header.paths) != sources:
        raise changed(plan.scene, "while it was read")
    spread = sampler.spread()
    none = Normalisation((0.0,) * len(spread.scale), (1.0,) * len(spread.scale))
    normalisation = none if read_spec(plan.model).normalise == "none" else spread
    result = Ingested(
        hidden_sources(sources) if plan.private else sources,
        normalisation,
        spread,
        sampler.valid_share(),
        tuple(sums),
        store.layout(),
        noise,
        sampler.removed() if noise else (),
        (
            *told,
            *unguided.flags,
            *undeclared.flags(sampler.samples),
            *_beyond_range(plan.header, extent),
            *flags(plan.header, extent.ends),
        ),
        extent.ends,
    )
    result.save(plan.scratch)
    return result


@dataclass(frozen=True)
class _Pass:
    """How a scene's tiles are read in this run."""

    reader: SceneReader
    header: Header
    levels: Sequence[float]
    """Noise to take out, per band in DN; empty: none."""

    def cut(self, tiles: TilePlan, tile: Tile) -> tuple[Cut, NDArray[Any] | None]:
        """A tile, and the alpha of its core where the scene has one."""
        alpha = None if self.header.alpha is None else self.reader.read_alpha(tiles.in_scene(tile.core))
        return cut(self.reader, tiles, tile, self.levels), alpha


def _cuts(plan: ScenePlan, how: _Pass) -> Cuts:
    """All tiles in their order: of a raster the next is read while one is stored, by a reader of its own."""
    if plan.header.kind != "raster" or len(plan.tiles) == 1:
        return (how.cut(plan.tiles, tile) for tile in plan.tiles)

    def apart() -> Cuts:
        with open_scene(plan.header.whole) as reader:
            own = replace(how, reader=reader)
            for tile in plan.tiles:
                yield own.cut(plan.tiles, tile)

    return ahead(apart())


class Survey:
    """What the pixels of the whole scene tell, a core at a time: what decides how its numbers are treated."""

    def __init__(self, tiles: TilePlan, header: Header, *, denoised: bool) -> None:
        self.sampler, self.undeclared = Sampler(tiles, len(header.bands)), undeclared_of(header)
        self.denoised = denoised

    def add(self, tiles: TilePlan, tile: Tile, found: Cut, alpha: NDArray[Any] | None) -> None:
        """Take the core of a tile into account."""
        core = core_inside(tiles, tile)
        valid = found.valid[core]
        self.sampler.add(tile, found.values[core], valid, found.plain[core] if self.denoised else None)
        self.undeclared.add(tile.core, found.plain[core], valid)
        self.undeclared.add_raw(found.raw[core])
        if alpha is not None:
            self.undeclared.add_alpha(alpha)


def _surveyed(plan: ScenePlan, how: _Pass, progress: Progress) -> Survey:
    """The survey of the whole scene where the plan is of a window of it; else one that its own tiles will fill."""
    survey = Survey(plan.of or plan.tiles, plan.header.whole, denoised=bool(how.levels))
    if plan.of is not None:
        tiles = replace(plan.of, halo=(0,) * len(plan.of.shape))
        for tile in tiles:
            survey.add(tiles, tile, *how.cut(tiles, tile))
            progress(0, len(plan.tiles))
    return survey


def undeclared_of(header: Header) -> Undeclared:
    """What looks out for numbers of a scene that mean something which its header does not say."""
    declared = any(band.hidden is not None or band.mask is not None for band in header.bands)
    return Undeclared(header.grid.shape, [band.name for band in header.bands], header.dtype, declared=declared)


def _beyond_range(header: Header, extent: Extent) -> tuple[str, ...]:
    """What a user should know of bands that do not keep to their valid range."""
    told = zip(header.bands, header.ranges, extent.outside, extent.valid, strict=True)
    return tuple(
        f"{100 * outside / valid:.3g} % of {band.name} lies beyond its valid range, {ends[0]:g} to {ends[1]:g}, "
        "which the SR keeps to"
        for band, ends, outside, valid in told
        if ends is not None and outside
    )


def _noise(reader: SceneReader, plan: ScenePlan) -> tuple[float, ...]:
    """Deviation of the noise of every band; 0 of those that are no amounts, so that nothing is taken out of them."""
    found = noise_deviation(list(noise_windows(reader, plan.tiles.scene_shape)))
    return tuple(0.0 if copied else band for copied, band in zip(plan.header.copied, found, strict=True))


def noise_windows(reader: SceneReader, shape: Sequence[int]) -> Iterator[tuple[NDArray[Any], NDArray[np.bool_]]]:
    """Values and validity (C, Y, X) of windows spread over the scene: the same for every way to cut it."""
    each = max(1, int(NOISE_WINDOWS ** (1 / len(shape))))
    sides = [min(n, NOISE_WINDOW_PX if axis >= len(shape) - 2 else 1) for axis, n in enumerate(shape)]
    starts = [
        np.unique(np.linspace(0, n - side, min(each, ceil(n / side))).astype(int))
        for n, side in zip(shape, sides, strict=True)
    ]
    for start in product(*starts):
        values, valid = reader.read(tuple(slice(int(s), int(s) + n) for s, n in zip(start, sides, strict=True)))
        yield values.reshape(-1, *values.shape[-2:]), valid.reshape(-1, *valid.shape[-2:])


def sample_step(shape: Sequence[int]) -> int:
    """Every which pixel along each axis of a scene decides its normalisation."""
    pixels = float(np.prod(shape, dtype=np.float64))
    return max(1, ceil(float((pixels / SAMPLES) ** (1 / len(shape)))))


class Sampler:
    """Every k-th valid pixel of the scene's own grid: the same sample for every way to cut it."""

    def __init__(self, tiles: TilePlan, bands: int) -> None:
        pixels = float(np.prod(tiles.shape, dtype=np.float64))
        self.step = sample_step(tiles.shape)
        self.samples: list[list[NDArray[Any]]] = [[] for _ in range(bands)]
        self.valid = np.zeros(bands, np.int64)
        self.squares = np.zeros(bands)
        self.pixels = pixels

    def add(
        self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_], plain: NDArray[Any] | None = None
    ) -> None:
        """Take a core into account; `plain` is what it was before it was denoised."""
        axes = tuple(range(1, valid.ndim))
        self.valid += valid.sum(axis=axes)
        if plain is not None:
            self.squares += (np.where(valid, values.astype(np.float64) - plain, 0) ** 2).sum(axis=axes)
        grid = (..., *(slice(-w.start % self.step, None, self.step) for w in tile.core))
        for band, kept in enumerate(self.samples):
            kept.append(values[band][grid][valid[band][grid]])

    def spread(self) -> Normalisation:
        """The map that takes the 2nd and the 98th percentile of each band to 0 and 1."""
        return percentile_normalisation([np.concatenate(kept) for kept in self.samples])

    def removed(self) -> tuple[float, ...]:
        """Root mean square of what was taken out of the valid pixels of each band, in DN."""
        return root_mean(self.squares, self.valid)

    def valid_share(self) -> tuple[float, ...]:
        """Valid pixels over all pixels, per band."""
        return tuple(float(count / self.pixels) for count in self.valid)
