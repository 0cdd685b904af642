"""What VALIDATE would say of the SR of a whole image in memory: the suite of a product, with no product."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import Spec
from srcore.checks import Report
from srcore.checks.blocks import MARGIN_PX
from srcore.checks.geometry import Place, place_of
from srcore.checks.pair import blocks_of
from srcore.checks.suite import Scene, Suite
from srcore.engine import Engine
from srcore.limits import SHARPENED, Changes, with_changes
from srcore.memory.arrays import ArrayPlan, ArrayReader, joined_tiles
from srcore.memory.whole import planned_whole
from srcore.nodata import is_nodata
from srcore.progress import silent
from srcore.radiometry import Extent, nearest
from srcore.storage.whole_images import Image
from srcore.tiling import TilePlan
from srcore.treatment import Treatment

NO_SELF_TEST = "an image in memory has no self-test"


def checked(
    engine: Engine,
    lr: Image,
    treatment: Treatment,
    changes: Changes,
    hr: NDArray[Any] | None = None,
    sr: NDArray[Any] | None = None,
) -> Report:
    """Every check of pixels on what a run would publish of `lr`, under a dataset's `changes` of the limits.

    `hr` (C, ..., Y, X) is its measured HR; `sr`, of the same form, is looked at in place of what the engine makes. What
    is said of files, of noise and of products before stays out: it does not depend on the generator. PlanError when the
    generator does not fit.
    """
    reader, plan = planned_whole(engine, lr, treatment)
    limits = with_changes(SHARPENED if treatment.sharpen else {}, changes)
    suite = Suite(_scene(reader, plan, engine.spec), limits)
    sr = joined_tiles(reader, plan, engine) if sr is None else sr
    product = ArrayReader(sr, plan.header, valid=_read_as_valid(sr, lr, plan))
    tiles = plan.tiles
    seen = TilePlan(tiles.shape, tiles.core, (0,) * (len(tiles.shape) - 2) + (MARGIN_PX,) * 2, tiles.scale)
    for block in blocks_of(seen, reader, product, silent, plan.noise):
        here = None if hr is None else hr[(slice(None), *block.window_hr)]
        suite.add(block, None if here is None else (here, np.ones(here.shape, np.bool_)))
    return Report(tuple(suite.checks(NO_SELF_TEST)))


def _scene(reader: ArrayReader, plan: ArrayPlan, spec: Spec) -> Scene:
    header, scale = plan.header, plan.tiles.scale
    extent = Extent(len(header.bands))
    extent.add(*reader.read(tuple(slice(0, size) for size in header.grid.shape)))
    return Scene(
        place_of(header),
        Place(header.grid.scaled(scale)),
        scale,
        len(header.bands),
        header.dtype,
        header.dtype,
        plan.tiles.core,
        True,
        header.nodata_numbers,
        header.copied,
        header.ranges,
        extent.ends,
        least_contrast=spec.least_contrast,
    )


def _read_as_valid(sr: NDArray[Any], lr: Image, plan: ArrayPlan) -> NDArray[np.bool_]:
    """What a reader of the product would take for valid: by its nodata number, or by the mask that is written."""
    masks = nearest(lr.valid, plan.tiles.scale)
    shown = [
        mask if number is None else ~is_nodata(band, number)
        for band, mask, number in zip(sr, masks, lr.nodata, strict=True)
    ]
    return np.stack(shown) & (np.isfinite(sr) if sr.dtype.kind == "f" else True)
