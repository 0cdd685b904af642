"""What a network calls black and white, and where its SR lies: found on a texture, the SR averaged down."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.engine.gate import texture
from srcore.errors import CheckpointError
from srcore.exchange.facts import Facts
from srcore.models import Generator
from srcore.models.backprojection import mean_down
from srcore.models.blocks import centre_crop, grown_to_grid
from srcore.shift import LEAST_LIKENESS, beside
from srcore.weights.onnx_graph import RANGES

MOVED_LIMIT = 0.15
"""SR pixels that the SR may lie off the LR, once whole ones are moved back: where VALIDATE begins to warn."""

SURE = 0.7
"""Part of the error in the first range that fits, below which another range is taken for it."""


@lru_cache(maxsize=4)
def _seen(axes: int, side: int) -> NDArray[np.float64]:
    """The gate's texture, its 2nd and 98th percentile at 0 and 1."""
    plane = texture(side, axes)
    low, high = np.percentile(plane, (2, 98))
    return np.asarray((plane - low) / (high - low))


def seen(generator: Generator, sides: Sequence[int], turn: int = 0) -> Tensor:
    """What a generator sees of the texture, (B, *sides) in network values: each band another part of it, a band that
    has guides with its pixels repeated; `turn` gives other parts."""
    plane = _seen(generator.axes, max(sides))[tuple(slice(side) for side in sides)]
    image = np.stack([np.roll(plane, 3 * band + turn, axis=0) for band in range(generator.bands)])
    zoom = generator.zoom
    if zoom > 1:
        coarse = mean_down(torch.from_numpy(image[:1].copy()), (zoom,) * 2)
        image[:1] = np.kron(coarse.numpy(), np.ones((1, zoom, zoom)))
    return torch.from_numpy(image.astype(np.float32))


def _averaged(generator: Generator) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The SR (B, ...) of the texture averaged to the LR's pixels, and the LR itself."""
    core = grown_to_grid(96 if generator.axes == 2 else 24, generator.core_multiple * generator.zoom)
    side = core + 2 * generator.halo
    image = seen(generator, (side,) * generator.axes)
    with torch.inference_mode():
        sr = generator(image[None])[0].double()
    lr = centre_crop(image[: len(sr)].double(), generator.halo, generator.axes).contiguous()
    zoom = (generator.zoom,) * generator.axes
    down = [scale * generator.zoom for scale in generator.scales]
    return mean_down(sr, down).numpy(), mean_down(lr, zoom).numpy()


def with_values(facts: Facts, wished: str | None) -> Facts:
    """With the range that the graph takes for black and white: the one in which its SR is nearest to the LR."""
    errors = {}
    for values in [wished] if wished else RANGES:
        found = replace(facts, values=values)
        ours, theirs = _averaged(found.graph())
        likeness = _likeness(ours, theirs)
        if likeness >= LEAST_LIKENESS:
            errors[values] = float(np.sqrt(np.mean((ours - theirs) ** 2)))
    if not errors:
        what = "the SR of the graph, averaged, is not like its LR"
        do = "give a network for super-resolution, or --range if it takes other numbers"
        raise CheckpointError(what, f"a correlation of {likeness:.2f}", do, code="NOT_AN_UPSCALER")
    nearest = min(errors, key=errors.__getitem__)
    first = next(iter(errors))  # what a network without biases makes is the same in all of them
    return replace(facts, values=nearest if errors[nearest] < SURE * errors[first] else first)


def _likeness(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    a, b = ours - ours.mean(), theirs - theirs.mean()
    length = float(np.sqrt((a**2).sum() * (b**2).sum()))
    return float((a * b).sum() / length) if 0 < length < np.inf else 0.0


def off(generator: Generator) -> tuple[float, ...]:
    """SR pixels that the SR lies beside the LR, an axis each; CheckpointError GRID_SHIFT where that cannot be told."""
    ours, theirs = (values.mean(axis=0) for values in _averaged(generator))
    found: list[float] = []
    for axis in range(generator.axes):
        other = (axis + 1) % generator.axes
        planes = [_plane(values, axis, other) for values in (ours, theirs)]
        shift = beside(*(plane - plane.mean() for plane in planes))
        if shift is None:
            what = "it cannot be told where the SR of the graph lies"
            raise CheckpointError(what, "no likeness to the LR", "use another model", code="GRID_SHIFT")
        found.append(shift[0] * generator.scales[axis] * generator.zoom)
    return tuple(found)


def _plane(values: NDArray[np.float64], axis: int, other: int) -> NDArray[np.float64]:
    """The middle plane along two axes, `axis` first."""
    rest = [a for a in range(values.ndim) if a not in (axis, other)]
    for a in rest:
        values = values.take(values.shape[a] // 2, a)
    return values if axis < other else values.T


def with_move(facts: Facts) -> Facts:
    """With whole SR pixels moved back; CheckpointError GRID_SHIFT for what is left."""
    first = off(facts.graph())
    moved = tuple(int(np.rint(shift)) for shift in first)
    if any(moved):
        more = max(-(-abs(step) // scale) for step, scale in zip(moved, facts.scale, strict=True))
        halo = grown_to_grid(facts.halo + more, facts.grid)
        facts = replace(facts, moved=moved, halo=halo)
    refuse_moved(facts.graph())
    return facts


def refuse_moved(generator: Generator) -> None:
    """CheckpointError GRID_SHIFT for a generator whose SR does not lie where its LR lies."""
    shifts = off(generator)
    if max(map(abs, shifts)) > MOVED_LIMIT:
        raise CheckpointError(
            "the SR of the model does not lie on the grid of its LR",
            f"{', '.join(f'{shift:+.2f}' for shift in shifts)} SR px down and right",
            f"outer edges of LR and SR must coincide: {MOVED_LIMIT} px at most",
            code="GRID_SHIFT",
        )
