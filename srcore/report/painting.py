"""The pictures of a scene, from its work store: the quicklook, and what its page shows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from srcore.layout import ProductPaths
from srcore.report.panels import Stretch
from srcore.report.pictures import paint_pictures
from srcore.report.planes import PlaneCollector, Planes
from srcore.report.quicklook import Look, look
from srcore.report.shades import by_percentiles, of_ct
from srcore.storage.cog import Pixels
from srcore.storage.disk.files import write_atomic
from srcore.storage.header import Header
from srcore.storage.hounsfield import Scale, hounsfield_of
from srcore.storage.scene import open_scene
from srcore.storage.work.ingested import Ingested
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import core_inside

SOFT_HU = (-160.0, 240.0)
"""What is black and white in the pictures of a CT that has no other light: soft tissue."""
SAMPLES = 2**18
"""Voxels of the LR that decide on what is black and white, about."""


def paint(plan: ScenePlan, store: TileStore, ingested: Ingested, staged: ProductPaths) -> None:
    """Make the quicklook and the pictures of the page, as far as the plan has them; the scene is looked at once."""
    hounsfield = hounsfield_of(plan.header, ingested.ends)
    encoded = store.encoded() if plan.form.name == "cog" else None
    with open_scene(_interpolated(plan.header)) as reader:
        seen = look(
            lambda window: reader.read(window)[0],
            store.lr.arrays["valid"].array,
            Pixels(encoded) if encoded else store.images["sr"].full,
            [band.name for band in plan.header.bands],
            _colours(plan.header),
            _light(hounsfield),
            Pixels(encoded, half=True) if encoded and encoded.half else None,
        )
        if hounsfield:
            seen = replace(seen, light="{:g} to {:g} HU from black to white".format(*SOFT_HU))
        _keep(plan, seen, staged, None if plan.header.kind == "raster" else _planes(plan, store, ingested, hounsfield))


def _keep(plan: ScenePlan, seen: Look, staged: ProductPaths, planes: Planes | None) -> None:
    if "quicklook" in plan.outputs:
        write_atomic(staged.quicklook, seen.quicklook())
    if "report" in plan.outputs:
        paint_pictures(seen, planes).save(plan.scratch.pictures)


def _light(hounsfield: Scale | None) -> Stretch | None:
    """Of the pictures of a CT."""
    if hounsfield is None:
        return None
    slope, intercept = hounsfield
    low, high = (np.array([(hu - intercept) / slope]) for hu in SOFT_HU)
    return Stretch(low, high)


def _planes(plan: ScenePlan, store: TileStore, ingested: Ingested, hounsfield: Scale | None) -> Planes:
    """Slices of a volume in three directions, tile by tile."""
    codes = of_ct(*hounsfield) if hounsfield else by_percentiles(_sample(plan, store, ingested))
    collector, image = PlaneCollector(plan.header.grid, plan.tiles.scale, codes), store.images["sr"].full
    for tile in plan.tiles:
        sums = ingested.sums[tile.index]
        lr = store.lr.read(tile, sums)[core_inside(plan.tiles, tile)]
        depth, rows, columns = plan.tiles.window_hr(tile)
        sr = np.asarray(image[0, depth, rows, columns])
        collector.add(tile.core, lr[0], sr, store.lr.valid(tile, sums)[0])
    return replace(collector.planes(), assumed=_is_assumed(plan.header))


def _is_assumed(header: Header) -> bool:
    """Whether nothing says which side of a volume is which: a NIfTI with neither form."""
    extra = header.extra
    return header.format == "nifti" and not (extra.get("qform_code", 0) or extra.get("sform_code", 0))


def _sample(plan: ScenePlan, store: TileStore, ingested: Ingested) -> NDArray[np.generic]:
    """Valid numbers of the LR, spread over it."""
    every, found = max(1, plan.values // SAMPLES), []
    for tile in plan.tiles:
        sums = ingested.sums[tile.index]
        values = store.lr.read(tile, sums)[core_inside(plan.tiles, tile)]
        found.append(values[store.lr.valid(tile, sums)][::every])
    return np.concatenate(found)


def _interpolated(header: Header) -> Header:
    """The header of what there is without guides: coarser bands by bicubic, as the picture says of its LR."""
    return replace(header, bands=tuple(replace(band, guided=False, injected=False) for band in header.bands))


def _colours(header: Header) -> list[str]:
    """What bands are shown as: of a scene with guides those that were made with them, the longest wave as red."""
    colours = [band.colour for band in header.bands]
    if not header.guides:
        return colours
    guided = header.guided
    three = ([guided[-1], guided[len(guided) // 2], guided[0]] if len(guided) > 2 else [*guided, *header.guides])[:3]
    named = dict(zip(three, ("red", "green", "blue"), strict=False))
    return [named.get(i, "undefined") for i in range(len(colours))]
