"""What a graph of others is, found on numbers: its scale, how far it sees, and the grid in it.

Nothing that a file says of itself is believed before it was measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from srcore.engine.opening import PROBE_LIMIT
from srcore.errors import CheckpointError
from srcore.exchange.facts import Facts
from srcore.exchange.place import with_move, with_values
from srcore.models.blocks import grown_to_grid
from srcore.models.halo import probe

SIDES = {2: (128, 192, 320, 576), 3: (16, 24, 40, 64)}
"""Of inputs that are tried, grown to a step; the last hold the largest field."""
STEPS = (48, 64, 56, 40)
"""Graphs with a stride or a window take multiples of it alone; each of GRIDS divides one of these."""
GRIDS = (1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, 24, 28, 32, 48, 64)
MAX_HALO = 256


@dataclass(frozen=True)
class Said:
    """The grid that a file says its graph has, and the halo that lies on it; believed where the numbers bear it out."""

    grid: int
    halo: int


def measured(model: bytes, axes: int, bands: int, zoom: int, values: str | None, said: Said | None) -> Facts:
    """What the graph is; `values` where the caller knows them.

    CheckpointError NOT_AN_UPSCALER, ONNX_SCALE, NO_FINITE_HALO, GRID_SHIFT.
    """
    if said is not None and not (said.grid <= GRIDS[-1] and said.halo <= MAX_HALO):
        said = None
    facts, sides = _sized(Facts(model, (1,) * axes, bands, grid=said.grid if said else 1, zoom=zoom), said)
    facts = with_halo(facts, sides, said)
    facts = with_values(facts, values)
    return with_move(facts)


def _noise(bands: int, sides: Sequence[int], seed: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(seed).random((1, bands, *sides), np.float32)


def _sized(facts: Facts, said: Said | None) -> tuple[Facts, list[int]]:
    """With the scale of every axis, and sides that the graph takes."""
    axes, refused = len(facts.scale), None
    around = 2 * said.halo if said else 0  # where a grid lies in the input, too
    for step in (said.grid,) if said else STEPS if axes == 2 else (1,):
        sides = [around + grown_to_grid(max(side - around, 8), step) for side in SIDES[axes]]
        sides = sorted({*sides, sides[-1] + step, sides[-1] + 2 * step})
        try:
            return _scaled(facts, sides), sides
        except CheckpointError as error:
            if error.code != "NOT_AN_UPSCALER":
                raise
            refused = refused or error
    assert refused is not None
    raise refused


def _scaled(facts: Facts, sides: Sequence[int]) -> Facts:
    """With the scale of every axis, and what the graph eats: from the sizes of its outputs."""
    axes, run = len(facts.scale), facts.graph().run
    found: list[tuple[list[int], tuple[int, ...]]] = []
    for turn in range(3):
        given = [sides[(turn + axis) % 3] for axis in range(axes)]
        out = run(_noise(facts.bands, given))
        if out.ndim != axes + 2 or out.shape[0] != 1 or out.shape[1] != (1 if facts.zoom > 1 else facts.bands):
            what, shape = "the graph is no image-to-image network", "x".join(map(str, out.shape))
            do = "give one that makes an image of an image, with as many bands"
            raise CheckpointError(what, f"{shape} of an image of {facts.bands} bands", do, code="NOT_AN_UPSCALER")
        found.append((given, out.shape[2:]))
    scale, eaten = [], set()
    for axis in range(axes):
        (a, x), (b, y), (c, z) = ((given[axis], out[axis]) for given, out in found)
        factor = (y - x) // (b - a)
        rest = factor * a - x
        straight = (y - x) % (b - a) == 0 and factor * c - z == rest
        if not straight or not 1 <= factor <= 8 or rest < 0 or rest % (2 * factor):
            what = "the graph has no fixed whole scale from 1 to 8"
            shapes = ", ".join(f"{given} to {list(out)}" for given, out in found)
            raise CheckpointError(what, shapes, "export it for one scale, with free sizes", code="ONNX_SCALE")
        scale.append(factor)
        eaten.add(rest // (2 * factor))
    if len(eaten) > 1:
        raise CheckpointError("the graph eats its axes unevenly", f"{sorted(eaten)} px", "", code="NOT_AN_UPSCALER")
    [own] = eaten
    return replace(facts, scale=tuple(scale), eaten=own, halo=own)


def with_halo(facts: Facts, sides: Sequence[int], said: Said | None) -> Facts:
    """With the grid and the halo: the field of pixels that are spoiled one at a time, proved by the probe of all."""
    reach = next((found for side in sides if (found := _reach(facts, side)) is not None), None)
    if reach is None:
        raise _no_halo(f"a pixel reaches {sides[-1] // 2 - 8} px and further")
    grid = said.grid if said else _grid(facts, reach, sides)
    least = grown_to_grid(max(reach, facts.eaten), grid)
    halos = [*range(least, min(2 * reach + 8 * grid, MAX_HALO) + 1, grid)]
    if said and said.halo >= max(reach - (grid - 1), facts.eaten):  # cores begin on the grid, spoiled pixels anywhere
        halos.insert(0, said.halo)
    for halo in halos:
        proved = replace(facts, halo=halo, grid=grid)
        if probe(proved.graph(), halo) <= PROBE_LIMIT:
            return proved
    raise _no_halo(f"tiles differ from the whole with a halo of {halos[-1] if halos else least} px")


def _no_halo(found: str) -> CheckpointError:
    do = "use a network without global layers, or whose windows have a fixed place"
    return CheckpointError("the graph has no halo within which all of its input lies", found, do, code="NO_FINITE_HALO")


def _reach(facts: Facts, side: int) -> int | None:
    """LR pixels that a pixel's influence reaches; None where that is not within an input of `side`."""
    axes, run = len(facts.scale), facts.graph().run
    base = _noise(facts.bands, (side,) * axes)
    plain, reach = run(base), 0
    if not np.array_equal(plain, run(base)):
        do = "export it for inference"
        raise CheckpointError("the graph gives another output each time", "", do, code="NOT_AN_UPSCALER")
    for turn in range(8 if axes == 2 else 2):
        at = side // 2 + turn
        for value in (float("nan"), float(base[(0, 0, *(at,) * axes)]) + 2):
            spoiled = base.copy()
            at_it: Any = (0, slice(None), *(at,) * axes)
            spoiled[at_it] = value
            out = run(spoiled)
            far = _extent((out != plain).any(axis=(0, 1)), facts, at, side)
            if far is None:
                return None
            reach = max(reach, far)
    return reach


def _extent(changed: NDArray[np.bool_], facts: Facts, at: int, side: int) -> int | None:
    """How far from LR pixel `at` outputs changed; None when an outermost one did."""
    far = 0
    for axis, scale in enumerate(facts.scale):
        rows = np.flatnonzero(changed.any(axis=tuple(a for a in range(changed.ndim) if a != axis)))
        if not rows.size:
            continue
        first, last = (int(row) // scale + facts.eaten for row in (rows[0], rows[-1]))
        if first <= facts.eaten or last >= side - facts.eaten - 1:
            return None
        far = max(far, at - first, last - at)
    return far


def _grid(facts: Facts, reach: int, sides: Sequence[int]) -> int:
    """The smallest shift of the input, in LR pixels, that moves the output along."""
    axes = len(facts.scale)
    needed = 2 * reach + (96 if axes == 2 else 16)
    side = next((side for side in sides if side >= needed), sides[-1])
    graph = replace(facts, halo=max(reach, facts.eaten)).graph()
    whole = _noise(facts.bands, (side + GRIDS[-1],) * axes)
    core = side - 2 * graph.halo

    def window(start: int) -> NDArray[np.float32]:
        inside: Any = (..., *(slice(start, start + side),) * axes)
        with torch.inference_mode():
            return np.asarray(graph(torch.from_numpy(np.ascontiguousarray(whole[inside]))).numpy())

    first = window(0)
    for grid in GRIDS:
        if grid >= core:
            break
        moved: Any = (..., *(slice(grid * scale, None) for scale in facts.scale))
        kept: Any = (..., *(slice(0, (core - grid) * scale) for scale in facts.scale))
        if np.abs(first[moved] - window(grid)[kept]).max() <= PROBE_LIMIT * np.abs(first).max():
            return grid
    raise _no_halo("no shift of the input moves the output along")


def _sizes(values: Sequence[Any]) -> dict[str, int]:
    """Numbers in each value whose shape is known, by name."""
    shaped = [one for one in values if one.type.tensor_type.HasField("shape")]
    known = [one for one in shaped if all(dim.HasField("dim_value") for dim in one.type.tensor_type.shape.dim)]
    return {one.name: prod(dim.dim_value for dim in one.type.tensor_type.shape.dim) for one in known}


def activation_bytes_px(facts: Facts) -> int:
    """Projected peak of a pass in bytes an LR pixel, as `srcore.models.halo` does it, from the shapes of the graph."""
    import onnx

    model = onnx.ModelProto.FromString(facts.model)
    side = grown_to_grid(512 if len(facts.scale) == 2 else 64, facts.grid) + 2 * facts.halo
    for dim, size in zip(
        model.graph.input[0].type.tensor_type.shape.dim, (1, facts.bands, *(side,) * len(facts.scale)), strict=True
    ):
        dim.dim_value = size
    for value in model.graph.output:
        value.type.tensor_type.ClearField("shape")  # it says nothing of these sizes
    del model.graph.value_info[:]
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
    sizes = _sizes([*inferred.input, *inferred.value_info, *inferred.output])
    made = {name for node in inferred.node for name in node.output if name}
    largest = max(sizes.values())  # what nothing is known of counts as this
    sizes = {**dict.fromkeys(made, largest), **sizes}
    widest = max(sum(sizes.get(name, 0) for name in (*node.input, *node.output)) for node in inferred.node)
    pixels = side ** len(facts.scale)
    return int(min(max(64, -(-3 * 4 * widest // pixels)), 2**30))
