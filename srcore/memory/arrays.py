"""Arrays without files: the plan, the normalisation and the tiles of a scene that lies in memory.

    values (C, *shape) -> tile plan -> normalisation -> each tile: cut, generator -> SR (C, *shape * scale)

The functions of the stages do the work, so an array gets the numbers that its file would get. A tile needs its own
window of the values and nothing else, wherever it runs: `lazy` makes a Dask graph of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import psutil
from numpy.typing import NDArray

from srcore.checkpoints import Spec, read_spec
from srcore.errors import CheckpointError, PlanError, SourceError
from srcore.filters import noise_deviation
from srcore.grid import Grid
from srcore.job import Job
from srcore.nodata import is_nodata
from srcore.radiometry import Normalisation
from srcore.settings import load_settings
from srcore.stages.ingest import Sampler, noise_windows, undeclared_of
from srcore.stages.plan import lay_out
from srcore.stages.upscale import proved
from srcore.storage.band import Band
from srcore.storage.cut import cut
from srcore.storage.header import Header
from srcore.storage.numbers import DTYPES, fit_nodata, nodata_form
from srcore.tiling import Tile, TilePlan, core_inside
from srcore.treatment import Treatment

if TYPE_CHECKING:
    from srcore.engine import BlockFacts, Engine
    from srcore.engine.stream import Block

COMPUTING = Lock()
"""An engine is not thread-safe, and threads of Dask or of a notebook share one."""


class ArrayReader:
    """Windows of values (C, *shape) in memory, with what is valid in them, as `RasterReader` gives them.

    `start` says which pixel of the scene the first one of `values` is; `valid` (C, *shape) is known to whoever read
    them from a file.
    """

    def __init__(
        self, values: Any, header: Header, start: Sequence[int] = (), valid: NDArray[np.bool_] | None = None
    ) -> None:
        self._values, self.header, self._valid = values, header, valid
        self._start = tuple(start) or (0,) * len(header.grid.shape)

    def read(self, window: tuple[slice, ...]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values (C, *window) in the machine's byte order, and validity: neither nodata nor NaN nor Inf."""
        inside = (slice(w.start - first, w.stop - first) for w, first in zip(window, self._start, strict=True))
        here = (slice(None), *inside)
        values = np.asarray(self._values[here], self.header.dtype)
        if self._valid is not None:
            return values, self._valid[here]
        valid = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
        nodata = self.header.bands[0].hidden
        return values, valid if nodata is None else valid & ~is_nodata(values, nodata)

    def read_alpha(self, window: tuple[slice, ...]) -> NDArray[Any]:
        """Arrays have no alpha band: raises SourceError."""
        raise SourceError("an array has no alpha band", "", "ask for its values")


@dataclass(frozen=True)
class Chosen:
    """What computes the tiles of an array: each process opens its own."""

    model: Path
    digest: str
    device: str
    precision: Literal["float32", "bfloat16", "int8"]
    backend: str


@dataclass(frozen=True)
class ArrayPlan:
    """All that a tile of an array needs beside its window of the values and an engine."""

    header: Header
    tiles: TilePlan
    facts: BlockFacts
    own_halo: tuple[int, ...]
    """The generator's, on every axis; what `tiles.halo` has beyond it is for the steps behind the generator."""
    noise: tuple[float, ...] = ()
    """Deviation of the noise to take out of each band, in DN; () for none."""
    flags: tuple[str, ...] = ()
    """What a user should know: numbers that look like nodata."""


def array_header(shape: Sequence[int], dtype: Any, nodata: float | None) -> Header:
    """The header of values (C, *shape) that lie nowhere.

    SourceError for a dtype that has no super-resolution, and for a nodata number that the dtype cannot hold.
    """
    bands, name = shape[0], np.dtype(dtype).name
    if name not in DTYPES:
        do = f"convert it to one of {', '.join(DTYPES)}"
        raise SourceError("the data type has no super-resolution", name, do, code="NOT_SUPPORTED")
    fitted = None if nodata is None else fit_nodata(nodata, name)
    if nodata is not None and fitted is None:
        do = f"give a number that {name} can hold"
        raise SourceError(f"nodata {nodata:g} does not fit the pixels", name, do, code="BAD_SETTING")
    axes = len(shape) - 1
    if min(shape) < 1:
        raise SourceError("the array is empty", f"shape {tuple(shape)}", "give one with pixels")
    still = tuple((*(float(row == axis) for axis in range(axes)), 0.0) for row in range(axes))
    return Header(
        format="array",
        grid=Grid(tuple(shape[1:]), still),
        dtype=name,
        bands=tuple(Band("", index + 1, f"band {index + 1}", fitted, hidden=fitted) for index in range(bands)),
        nodata=nodata_form(name, [fitted]),
    )


def lay_out_array(header: Header, job: Job, spec: Spec) -> TilePlan:
    """The tiles of an array under a job's wishes; PlanError when they cannot be met."""
    job.treatment.check()
    if job.precision == "int8":
        do = "use another precision, or give a path"
        raise PlanError("int8 is calibrated on a scene's files", "an array", do, code="BAD_SETTING")
    return lay_out(spec, header, job)


def plan_array(reader: ArrayReader, tiles: TilePlan, treatment: Treatment, spec: Spec) -> ArrayPlan:
    """The plan of an array that can be read at will: looks at it tile by tile for its statistics.

    PlanError NO_MEMORY when the SR does not fit in memory, SourceError UNDECLARED for numbers that nothing can be
    computed with.
    """
    header, denoise = reader.header, treatment.denoise
    _check_memory(header, tiles)
    found = noise_deviation(list(noise_windows(reader, tiles.shape))) if denoise else ()
    facts = block_facts(header, treatment, no_normalisation(header))
    bare = ArrayPlan(header, tiles, facts, spec.halo_for(len(tiles.shape)))
    plan = replace(bare, noise=tuple(denoise * band for band in found))
    sampler, undeclared = Sampler(tiles, len(header.bands)), undeclared_of(header)
    for tile in tiles:
        values, valid = reader.read(tile.core)
        undeclared.add(tile.core, values, valid)
        sampler.add(tile, _denoised(plan, reader, tile) if plan.noise else values, valid)
    plan = replace(plan, flags=undeclared.flags(sampler.samples))
    return plan if spec.normalise == "none" else replace(plan, facts=block_facts(header, treatment, sampler.spread()))


def _denoised(plan: ArrayPlan, reader: ArrayReader, tile: Tile) -> NDArray[Any]:
    """What a tile owns of the LR, as its generator sees it."""
    return cut(reader, plan.tiles, tile, plan.noise).values[core_inside(plan.tiles, tile)]


def _check_memory(header: Header, tiles: TilePlan) -> None:
    needed = len(header.bands) * prod(tiles.shape_hr) * np.dtype(header.dtype).itemsize
    available = psutil.virtual_memory().available
    if needed > available:
        raise PlanError(
            "the SR does not fit in memory",
            f"{needed / 2**30:.1f} GiB, and {available / 2**30:.1f} GiB free",
            "give an array in chunks (Dask), or a path",
            code="NO_MEMORY",
        )


def no_normalisation(header: Header) -> Normalisation:
    """DN as they are, for a generator that wants them so."""
    return Normalisation((0.0,) * len(header.bands), (1.0,) * len(header.bands))


def block_facts(header: Header, treatment: Treatment, normalisation: Normalisation) -> BlockFacts:
    """What the engine has to know of an array's numbers."""
    from srcore.engine import BlockFacts

    return BlockFacts(normalisation, header.dtype, header.nodata_numbers, treatment, header.copied, header.ranges)


def choose_engine(plan: ArrayPlan, job: Job) -> Chosen:
    """The device, the precision and the backend that a scene of this size gets; CheckpointError as the stages raise."""
    from srcore.engine import choose_device, choose_precision
    from srcore.engine.choice import Case, choose

    spec, generator = proved(job.model.folder, job.model.digest)
    device = choose_device(job.device)
    precision = choose_precision(job.precision, spec, device)
    shape = plan.tiles.tile_shape
    case = Case(spec, generator, device, precision, shape[-generator.axes :])
    pixels = len(plan.tiles) * len(plan.header.bands) * prod(shape)
    choice = choose(case, job.backend, pixels, load_settings().cache_folder)
    return Chosen(job.model.folder, spec.digest, str(device), choice.precision, choice.backend)


@lru_cache(maxsize=2)
def engine_of(chosen: Chosen) -> Engine:
    """The engine, opened once a process; CheckpointError MODEL_CHANGED when its folder holds another model by now."""
    import torch

    from srcore.engine import Engine

    spec, generator = proved(chosen.model, chosen.digest)
    if spec.digest != chosen.digest or read_spec(chosen.model).digest != chosen.digest:
        raise CheckpointError(
            f"the checkpoint {chosen.model} changed", "another digest", "ask for the SR again", code="MODEL_CHANGED"
        )
    return Engine(spec, generator, torch.device(chosen.device), chosen.precision, chosen.backend)


def joined_tiles(reader: ArrayReader, plan: ArrayPlan, engine: Engine) -> NDArray[Any]:
    """The SR (C, *shape * scale) of an array (C, *shape), in its dtype."""
    tiles = plan.tiles
    found = np.empty((len(plan.header.bands), *tiles.shape_hr), plan.header.dtype)
    with COMPUTING:
        blocks = (tile_block(plan, reader, tile) for tile in tiles)
        for tile, block in zip(tiles, through(engine, blocks, plan.facts), strict=True):
            found[(slice(None), *tiles.window_hr(tile))] = block
    return found


def tile_block(plan: ArrayPlan, reader: ArrayReader, tile: Tile) -> Block:
    """A tile of an array as the engine takes it, without what lies beyond the scene's edge."""
    from srcore.engine.stream import Block

    tiles, own = plan.tiles, plan.own_halo
    found = cut(reader, tiles, tile, plan.noise)
    around = None
    if plan.facts.treatment.steps and not found.valid.all():
        inner = (slice(o, size - o) for o, size in zip(own, tiles.tile_shape, strict=True))
        margin = [h - o for h, o in zip(tiles.halo, own, strict=True)]
        around = found.valid[(slice(None), *inner)][(slice(None), *tiles.clipped(tile, margin))]
    values = found.values[(slice(None), *tiles.clipped(tile, tiles.halo))]
    return Block(values, found.valid[core_inside(tiles, tile)], around)


def through(engine: Engine, blocks: Iterator[Block], facts: BlockFacts) -> Iterator[NDArray[Any]]:
    """The SR of every block: on a GPU as a stream, so that copies overlap."""
    from srcore.engine import super_resolve, super_resolve_stream

    if engine.can_stream(facts):
        yield from super_resolve_stream(engine, blocks, facts)
        return
    for block in blocks:
        yield super_resolve(engine, block.values, block.valid, facts, block.around)
