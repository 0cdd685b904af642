"""Arrays of Dask: the SR as a graph of tiles, each computed when it is asked for; whoever computes, to the same bits.

    values (chunks of any size) --window of a tile--> cut, generator --> one chunk of the SR (core * scale)

The normalisation needs the scene's numbers, so they are read once when the graph is made: every k-th pixel is kept,
no more. In the same graph they would hold every chunk of the input in memory until the last one has been looked at.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import Spec
from srcore.errors import PlanError, SourceError
from srcore.job import Job
from srcore.memory.arrays import (
    COMPUTING,
    ArrayPlan,
    ArrayReader,
    Chosen,
    array_header,
    block_facts,
    choose_engine,
    engine_of,
    joined_tiles,
    lay_out_array,
    no_normalisation,
    plan_array,
    through,
    tile_block,
)
from srcore.radiometry import percentile_normalisation
from srcore.stages.ingest import sample_step, undeclared_of
from srcore.storage.cut import cut_window
from srcore.storage.header import Header

if TYPE_CHECKING:
    from dask.array import Array

    from srcore.engine import Engine


def super_resolve_values(values: Any, nodata: float | None, job: Job, spec: Spec, engine: Engine | None = None) -> Any:
    """SR (C, *shape * scale) of values (C, *shape): NumPy is computed, Dask becomes a graph.

    `nodata` is the number for 'nothing here'; an engine is for NumPy only.
    """
    header = array_header(values.shape, values.dtype, nodata)
    if not hasattr(values, "dask"):
        reader = ArrayReader(values, header)
        plan = plan_array(reader, lay_out_array(header, job, spec), job.treatment, spec)
        tell(plan.flags)
        return joined_tiles(reader, plan, engine or engine_of(choose_engine(plan, job)))
    if engine is not None:
        raise PlanError(
            "an array in chunks is computed elsewhere",
            "an engine of this process",
            "name its model",
            code="BAD_SETTING",
        )
    plan = plan_lazy(values, header, job, spec)
    tell(plan.flags)
    return lazily_super_resolved(values, plan, choose_engine(plan, job))


def tell(flags: Iterable[str]) -> None:
    """What a user should know of an array, which goes no way past a report: a warning each."""
    for flag in flags:
        warnings.warn(f"srcore: {flag}", UserWarning, stacklevel=2)


def stacked(slices: Sequence[Any]) -> Any:
    """Arrays of one shape along a new first axis; Dask stays lazy."""
    if not hasattr(slices[0], "dask"):
        return np.stack(slices)
    import dask.array as da

    return da.stack(slices)


def plan_lazy(values: Array, header: Header, job: Job, spec: Spec) -> ArrayPlan:
    """The plan that `plan_array` makes of the same numbers; `values` (C, *shape) are computed once, chunk by chunk.

    PlanError for denoising, which needs to see every tile before the first is computed.
    """
    if np.isnan(values.shape).any():
        raise SourceError(
            "the chunks of the array have no known size", "", "call compute_chunk_sizes()", code="NOT_SUPPORTED"
        )
    if job.treatment.denoise:
        wish = f"denoise {job.treatment.denoise:g}"
        raise PlanError(
            "an array in chunks is not denoised", wish, "load it (.load()), or give a path", code="BAD_SETTING"
        )
    tiles = lay_out_array(header, job, spec)
    normalisation, flags = no_normalisation(header), tuple[str, ...]()
    if spec.normalise != "none":
        step = sample_step(tiles.shape)
        sample = np.asarray(values[(slice(None), *(slice(None, None, step) for _ in tiles.shape))])
        usable, flags = _usable(sample, header)
        normalisation = percentile_normalisation(usable)
    facts = block_facts(header, job.treatment, normalisation)
    return ArrayPlan(header, tiles, facts, spec.halo_for(len(tiles.shape)), flags=flags)


def _usable(sample: NDArray[Any], header: Header) -> tuple[list[NDArray[Any]], tuple[str, ...]]:
    """The valid numbers of every band of a sample (C, *shape), and what a user should know of them."""
    seen = array_header(sample.shape, sample.dtype, header.bands[0].hidden)
    window, undeclared = tuple(slice(0, size) for size in seen.grid.shape), undeclared_of(seen)
    values, valid = ArrayReader(sample, seen).read(window)
    undeclared.add(window, values, valid)
    usable = [band[known] for band, known in zip(values, valid, strict=True)]
    return usable, undeclared.flags([[band] for band in usable])


def lazily_super_resolved(values: Array, plan: ArrayPlan, chosen: Chosen) -> Array:
    """The SR (C, *shape * scale) of `values` (C, *shape): a graph with one chunk a tile; nothing is computed."""
    import dask.array as da
    from dask.delayed import delayed

    bands, tiles = len(plan.header.bands), plan.tiles
    blocks = np.empty(tiles.counts, object)
    for tile in tiles:
        window = cut_window(tiles, tile)
        seen = values[(slice(None), *window)]
        start = tuple(w.start for w in window)
        block = delayed(_tile, pure=True)(plan, chosen, tile.index, start, seen)
        shape = (bands, *(w.stop - w.start for w in tiles.window_hr(tile)))
        blocks[np.unravel_index(tile.index, tiles.counts)] = da.from_delayed(block, shape, plan.header.dtype)
    found: Array = da.block(blocks[np.newaxis].tolist())
    return found


def _tile(plan: ArrayPlan, chosen: Chosen, index: int, start: Sequence[int], values: NDArray[Any]) -> NDArray[Any]:
    """The SR of one tile from what `cut` reads for it."""
    block = tile_block(plan, ArrayReader(values, plan.header, start), plan.tiles[index])
    with COMPUTING:
        return next(through(engine_of(chosen), iter([block]), plan.facts))
