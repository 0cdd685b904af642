"""VALIDATE: read the staged product as a stranger would, and say whether it may be published."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.checkpoints import read_spec
from srcore.checks import Check, Report
from srcore.checks.blocks import MARGIN_PX, Block, average_down, shrunk, view_by_profile
from srcore.checks.denoise import noise_check
from srcore.checks.drift import drift_checks
from srcore.checks.file import cube_checks, file_checks, unreadable
from srcore.checks.geometry import place_of
from srcore.checks.guided import GuidedSuite, averaged, no_self_test
from srcore.checks.suite import Scene, Suite
from srcore.checks.wald import Generate, self_test_pixels
from srcore.engine import Engine, open_engine, plain_sr
from srcore.errors import SourceError
from srcore.layout import ProductPaths
from srcore.limits import Limit, of_product, with_changes
from srcore.overlap import ahead
from srcore.progress import Progress, silent
from srcore.report.evidence import EvidenceCollector
from srcore.storage.archive.history import figures_before
from srcore.storage.disk.records import write_json
from srcore.storage.header import Header
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import hr_header, open_scene, read_header
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import Tile

__all__ = ["Report", "validate"]


SELF_TEST_SHARE = 0.01
"""Of the scene's pixels: what the self-test may cost. Below that it is left out."""
AHEAD_BYTES = 2**25
"""Of an SR block in its own dtype: all that is made of it is about five times as much."""

Blocks = Generator[tuple[Block, NDArray[Any]], None, None]
"""Every block in raster order, and its LR with a margin in pixels of the coarsest bands that a generator sees."""


def validate(plan: ScenePlan, progress: Progress = silent) -> Report:
    """Check the staged product against the scene's LR, and write the report beside it."""
    staged = ProductPaths(plan.scratch.staged, plan.product.name)
    ingested = Ingested.require(plan.scratch, plan.scene)
    evidence = EvidenceCollector(ingested.percentiles, np.dtype(plan.header.dtype), plan.tiles.shape, plan.is_shown)
    report = Report(tuple(_all_checks(plan, ingested, evidence, progress)))
    if "report" in plan.outputs:
        write_json(staged.report, report.to_json())
        evidence.evidence().save(plan.scratch.evidence)
    return report


def _all_checks(plan: ScenePlan, ingested: Ingested, evidence: EvidenceCollector, progress: Progress) -> list[Check]:
    staged = ProductPaths(plan.scratch.staged, plan.product.name)
    own = of_product(sharpened=bool(plan.treatment.sharpen), guided=bool(plan.header.guides))
    limits = with_changes(own, plan.limits)
    try:
        found = _as_written(plan, staged)
        suite = _suite(plan, _scene(plan, found, ingested), limits)
        with ExitStack() as stack:
            hr = stack.enter_context(open_scene(hr_header([plan.hr], plan.header, found))) if plan.hr else None
            counted = _counted(_blocks(plan, found, ingested), evidence, plan.header)
            blocks = stack.enter_context(closing(ahead(counted) if _has_room(plan) else counted))
            for number, (block, around) in enumerate(blocks, 1):
                suite.add(block, around, hr.read(block.window_hr) if hr is not None else None)
                progress(number, len(plan.tiles))
    except SourceError as error:
        return [unreadable(error)]
    checks = [
        *file_checks(staged, limits, cog=plan.form.name == "cog", stac="stac" in plan.outputs),
        *(cube_checks(staged, plan.header) if "zarr" in plan.outputs else []),
        *suite.checks(_self_test(plan)),
        *([noise_check(ingested.removed, ingested.noise, limits)] if plan.treatment.denoise else []),
    ]
    return [*checks, *drift_checks(checks, figures_before(plan), limits)]


def _has_room(plan: ScenePlan) -> bool:
    """Whether blocks are so small that two may be in memory: one is decoded and counted beside the one that the suite
    looks at."""
    return prod(plan.tiles.core_hr) * len(plan.header.bands) * np.dtype(plan.header.dtype).itemsize <= AHEAD_BYTES


def _counted(blocks: Blocks, evidence: EvidenceCollector, header: Header) -> Blocks:
    """The blocks, of which the page's figures have been counted."""
    with closing(blocks):
        for block, around in blocks:
            mean = averaged(block, header.guided, header.zoom)
            evidence.add(block.core, block.lr, block.valid, block.sr, block.sr_valid, mean)
            if block.trust is not None:
                wide = average_down(np.nan_to_num(block.trust), block.scale)
                evidence.add_trust(block.core, wide, block.valid)
            yield block, around


class _Plain:
    """The suite as it is, of a scene without guides."""

    def __init__(self, suite: Suite) -> None:
        self.suite = suite

    def add(self, block: Block, _around: NDArray[Any], hr: Any = None) -> None:
        self.suite.add(block, hr)

    def checks(self, generate: Generate | str) -> list[Check]:
        return self.suite.checks(generate)


def _suite(plan: ScenePlan, scene: Scene, limits: Mapping[str, Limit]) -> GuidedSuite | _Plain:
    zoom = plan.header.zoom
    if zoom == 1:
        return _Plain(Suite(scene, limits))
    return GuidedSuite(scene, limits, replace(scene.lr, grid=scene.lr.grid.coarser(zoom)), zoom)


def _as_written(plan: ScenePlan, staged: ProductPaths) -> Header:
    """What the file says of itself, not what the plan meant to write; but alpha of a product of ours always hides, and
    NIfTI has no field for the number that means nothing."""
    nodata = plan.header.bands[0].nodata if plan.header.kind == "volume" else None
    return read_header([staged.data], plan.header.kind, alpha="mask", axes=plan.header.axes, nodata=nodata)


def _scene(plan: ScenePlan, found: Header, ingested: Ingested) -> Scene:
    tiles, header = plan.tiles, plan.header
    nodata = tuple(band.nodata for band in header.bands)
    coverage = plan.treatment.trust.coverage if plan.treatment.trust else None
    return Scene(
        place_of(header),
        place_of(found),
        tiles.scale,
        len(header.bands),
        header.dtype,
        found.dtype,
        tiles.core,
        True,
        nodata,
        header.copied,
        ingested.ranges(header),
        ingested.ends,
        coverage,
        hounsfield_of(header, ingested.ends),
        plan.treatment.is_by_profile,
        least_contrast=read_spec(plan.model).least_contrast,
    )


def _blocks(plan: ScenePlan, found: Header, ingested: Ingested) -> Blocks:
    """Every block, and its LR with a margin in pixels of the coarsest bands that a generator sees."""
    store, staged = TileStore(plan), ProductPaths(plan.scratch.staged, plan.product.name)
    whole = plan.header.zoom == 1 and not any(plan.header.copied)  # else the suite looks at parts of a block
    with ExitStack() as stack:
        product = stack.enter_context(open_scene(found))
        trust = stack.enter_context(open_scene(read_header([staged.trust]))) if plan.treatment.trust else None
        for tile in plan.tiles:
            sums = ingested.sums[tile.index]
            around, valid = _around(plan, tile, store.lr.read(tile, sums)), store.lr.valid(tile, sums)
            near = shrunk(around, MARGIN_PX * (plan.header.zoom - 1))
            sr, sr_valid = product.read(plan.tiles.window_hr(tile))
            wide = np.asarray(trust.read(plan.tiles.window_hr(tile))[0], np.float32) if trust else None
            seen = view_by_profile(product, plan.tiles, tile) if plan.treatment.is_by_profile else None
            block = Block(tile.core, near, valid, sr, sr_valid, plan.tiles.scale, wide, seen)
            if whole and valid.any():
                block.prepare()
            yield block, around


def _around(plan: ScenePlan, tile: Tile, stored: NDArray[Any]) -> NDArray[Any]:
    """The tile's core with the margin of the checks; where the halo is narrower, edges are repeated."""
    halo, most = plan.tiles.halo, MARGIN_PX * plan.header.zoom
    margin = [min(h, most) if axis >= len(halo) - 2 else 0 for axis, h in enumerate(halo)]
    inside = stored[
        (
            slice(None),
            *(slice(h - m, h + w.stop - w.start + m) for h, m, w in zip(halo, margin, tile.core, strict=True)),
        )
    ]
    missing = most - margin[-1]
    if missing == 0:
        return inside
    return np.pad(inside, [(0, 0)] * (inside.ndim - 2) + [(missing, missing)] * 2, mode="edge")


def _self_test(plan: ScenePlan) -> Generate | str:
    """The scene's generator for the self-test, or why it is left out."""
    if plan.header.guides:
        return no_self_test(plan.header.names_of(plan.header.guides))
    if len(read_spec(plan.model).scale) > 2:
        return "the generator couples slices: a patch of one slice is no input for it"
    if self_test_pixels(plan.tiles.halo[-1], plan.tiles.scale[-1]) > SELF_TEST_SHARE * prod(plan.tiles.shape):
        return f"the scene is small: the self-test would cost more than {SELF_TEST_SHARE:.0%} of it"

    def generate(lr: NDArray[Any]) -> NDArray[Any]:
        return plain_sr(_engine(plan.model, plan.device, plan.precision), lr)

    return generate


# kept: the scenes of a night share a model, and its halo is proved whenever it is opened
@lru_cache(maxsize=1)
def _engine(model: Path, device: str, precision: str) -> Engine:
    return open_engine(model, device, precision)
