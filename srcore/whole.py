"""A whole image in memory, from its LR to the SR that a run would publish: PLAN, INGEST and UPSCALE without files.

The functions are those of the stages, called on an array: whoever judges this judges what stands in a product. What
is left out is what changes no number: scratch, workers, export.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srcore.catalog import Dataset
from srcore.checkpoints import Spec
from srcore.engine import BlockFacts, Engine, choose_precision, super_resolve
from srcore.errors import SourceError
from srcore.filters import noise_deviation
from srcore.grid import Grid
from srcore.models import Generator
from srcore.stages.ingest import Sampler, core_inside, input_map, noise_windows
from srcore.stages.plan import tile_plan
from srcore.storage.cut import Cut, cut
from srcore.storage.header import Band, Header
from srcore.storage.numbers import nodata_form
from srcore.storage.whole_images import Image
from srcore.tiling import Tile, TilePlan, Window
from srcore.treatment import Treatment


@dataclass(frozen=True)
class Form:
    """In what form an SR is looked at: its treatment, and whether anybody gets it so."""

    treatment: Treatment = field(default_factory=Treatment)
    precision: str = "auto"
    published: bool = True
    """False: no dataset's settings, but the network looked at by itself."""

    def __str__(self) -> str:
        if not self.published:
            return "of the network alone, which is not what is published"
        number = self.treatment.back_projection
        steps = f"{number or 'no'} step{'' if number == 1 else 's'} of back-projection"
        filters = [f"{name} {amount:g}" for name, amount in self.treatment.filters().items()] or ["no filters"]
        return ", ".join([f"as published{' but for int8' if self.precision == 'int8' else ''}: {steps}", *filters])


PUBLISHED = Form()
"""What a dataset publishes that says nothing else."""
NETWORK_ALONE = Form(Treatment(back_projection=0), published=False)


def form_of(entry: Dataset) -> Form:
    """What a run publishes of the dataset's scenes."""
    return Form(entry.treatment, entry.precision)


def open_whole(spec: Spec, generator: Generator, precision: str = "auto") -> Engine:
    """The engine of a generator on the CPU, in the precision that a run would choose there.

    For int8, which every scene calibrates on its own tiles, the one that it would choose without.
    """
    device = torch.device("cpu")
    return Engine(spec, generator, device, choose_precision("auto" if precision == "int8" else precision, spec, device))


def super_resolved(engine: Engine, lr: Image, treatment: Treatment = PUBLISHED.treatment) -> NDArray[Any]:
    """The SR (C, ...) of an image in its dtype: normalised, filtered, back-projected, rounded and clipped as a scene.

    Invalid pixels come back as the nodata number, 0 where there is none. PlanError when the generator does not fit.
    """
    header = _header(lr)
    tiles = tile_plan(engine.spec, header, treatment)
    reader = _Reader(lr)
    sampler = Sampler(tiles, len(lr.values))
    noise = noise_deviation(list(noise_windows(reader, tiles.shape))) if treatment.denoise else ()
    cuts = []
    for tile in tiles:
        found = cut(reader, tiles, tile, [treatment.denoise * band for band in noise])
        core = core_inside(tiles, tile)
        sampler.add(tile, found.values[core], found.valid[core])
        cuts.append(found)
    normalisation = input_map(engine.spec, sampler.spread())
    facts = BlockFacts(normalisation, header.dtype, lr.nodata, treatment)
    whole = not treatment.back_projection or bool(lr.valid.all())
    sr = np.empty((len(lr.values), *tiles.shape_hr), lr.values.dtype)
    for tile, found in zip(tiles, cuts, strict=True):
        around = None if whole else _around(engine, tiles, tile, found)
        values = found.values[(slice(None), *tiles.clipped(tile, tiles.halo))]
        core_valid = found.valid[core_inside(tiles, tile)]
        sr[(slice(None), *tiles.window_hr(tile))] = super_resolve(engine, values, core_valid, facts, around)
    return sr


def _around(engine: Engine, tiles: TilePlan, tile: Tile, found: Cut) -> NDArray[np.bool_]:
    """Validity of the core with the margin of what follows the generator."""
    own = engine.spec.halo_for(len(tiles.shape))
    seen = found.valid[(slice(None), *(slice(o, n - o) for o, n in zip(own, tiles.tile_shape, strict=True)))]
    margin = [h - o for h, o in zip(tiles.halo, own, strict=True)]
    return seen[(slice(None), *tiles.clipped(tile, margin))]


def _header(lr: Image) -> Header:
    """What an image says: its shape, its dtype and its nodata. It lies nowhere."""
    shape, dtype = lr.values.shape[1:], lr.values.dtype.name
    axes = range(len(shape))
    nowhere = tuple((*(float(a == b) for b in reversed(axes)), 0.0) for a in axes)
    bands = tuple(Band("", index, f"band {index}", number) for index, number in enumerate(lr.nodata, 1))
    return Header("memory", Grid(shape, nowhere), dtype, bands, nodata_form(dtype, lr.nodata))


class _Reader:
    """An image as a scene that is read by windows."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def read(self, window: Window) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Values and validity (C, *window)."""
        where = (slice(None), *window)
        return self._image.values[where], self._image.valid[where]

    def read_alpha(self, window: Window) -> NDArray[Any]:
        """Raises SourceError."""
        raise SourceError("an image in memory has no alpha band", f"asked for {window}", "ask for its values")
