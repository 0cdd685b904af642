"""A whole image in memory, from its LR to the SR that a run would publish, and in which forms it can be looked at.

The functions are those of the stages, called on an array: whoever judges this judges what stands in a product. What
is left out is what changes no number: scratch, workers, export.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import torch
from numpy.typing import NDArray

from srcore.catalog.dataset import Dataset
from srcore.checkpoints import Spec
from srcore.engine import Engine, choose_precision
from srcore.memory.arrays import ArrayPlan, ArrayReader, array_header, joined_tiles, plan_array
from srcore.models import Generator
from srcore.stages.plan import tile_plan
from srcore.storage.numbers import nodata_form
from srcore.storage.whole_images import Image
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
        number = self.treatment.steps
        steps = f"{number or 'no'} step{'' if number == 1 else 's'} of back-projection"
        filters = [f"{name} {amount:g}" for name, amount in self.treatment.filters().items()] or ["no filters"]
        return ", ".join([f"as published{' but for int8' if self.precision == 'int8' else ''}: {steps}", *filters])

    def of(self, spec: Spec) -> Form:
        """The same of a checkpoint: with the steps, and the profile of slices, that it is published with."""
        return replace(self, treatment=self.treatment.for_model(spec.slice_profile, spec.usual_steps))


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
    reader, plan = planned_whole(engine, lr, treatment)
    return joined_tiles(reader, plan, engine)


def planned_whole(engine: Engine, lr: Image, treatment: Treatment) -> tuple[ArrayReader, ArrayPlan]:
    """An image as a reader, and the plan of its tiles; PlanError when the generator does not fit."""
    header = array_header(lr.values.shape, lr.values.dtype, None)
    bands = tuple(replace(band, nodata=number) for band, number in zip(header.bands, lr.nodata, strict=True))
    header = replace(header, bands=bands, nodata=nodata_form(header.dtype, lr.nodata))
    reader = ArrayReader(lr.values, header, valid=lr.valid)
    treatment = treatment.for_model(engine.spec.slice_profile, engine.spec.usual_steps)
    return reader, plan_array(reader, tile_plan(engine.spec, header, treatment), treatment, engine.spec)
