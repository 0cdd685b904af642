"""Arrays of Dask: the SR as a graph of tiles, each computed when it is asked for; whoever computes, to the same bits.

    values (chunks of any size) --window of a tile--> cut, generator --> one chunk of the SR (core * scale)

The normalisation needs the scene's numbers, so they are read once when the graph is made: every k-th pixel is kept,
no more. In the same graph they would hold every chunk of the input in memory until the last one has been looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from srcore.arrays import (
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
from srcore.checkpoints import Spec
from srcore.errors import PlanError, SourceError
from srcore.job import Job
from srcore.radiometry import percentile_normalisation
from srcore.stages.ingest import sample_step
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
        return joined_tiles(reader, plan, engine or engine_of(choose_engine(plan, job)))
    if engine is not None:
        raise PlanError("an array in chunks is computed elsewhere", "an engine of this process", "name its model")
    plan = plan_lazy(values, header, job, spec)
    return lazily_super_resolved(values, plan, choose_engine(plan, job))


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
        raise SourceError("the chunks of the array have no known size", "", "call compute_chunk_sizes() on it first")
    if job.treatment.denoise:
        wish = f"denoise {job.treatment.denoise:g}"
        raise PlanError("an array in chunks is not denoised", wish, "load it (.load()), or give a path")
    tiles = lay_out_array(header, job, spec)
    normalisation = no_normalisation(header)
    if spec.normalise != "none":
        step = sample_step(tiles.shape)
        sample = np.asarray(values[(slice(None), *(slice(None, None, step) for _ in tiles.shape))])
        found, valid = ArrayReader(sample, header).read(tuple(slice(0, size) for size in sample.shape[1:]))
        normalisation = percentile_normalisation([band[known] for band, known in zip(found, valid, strict=True)])
    return ArrayPlan(header, tiles, block_facts(header, job.treatment, normalisation), spec.halo_for(len(tiles.shape)))


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
