"""Patches of thin slabs: what lies beyond their ends comes by the rule that a run has, so a model learns of ends.

A volume of thick slices is often fewer slices than a generator's halo. So a patch needs its core alone in the slab.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.tiling import reflect
from srcore.training.data.degrade import REACH_LR, reduce, scale_of

if TYPE_CHECKING:
    from srcore.training.data.batches import Geometry, Plane


def slab_pair(
    plane: Plane,
    geometry: Geometry,
    kernels: Sequence[Tensor],
    slices: tuple[int, int],
    repeats: bool,
    rng: np.random.Generator,
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """LR (B, core + 2 halo, ...) and HR (B, core x scale, ...) in DN, of a slab of `slices` (least, most) thick ones.

    `kernels` (taps,) an axis make the LR; a measured one is taken as it is. `repeats`: beyond an end the last pixel
    comes again, else the reflection is about its centre.
    """
    shape = plane.values.shape[1:]
    index, first = [], []
    for axis, (size, scale, core) in enumerate(zip(shape, geometry.scales, geometry.cores, strict=True)):
        # an image of no more than the core has no room: its own ends are repeated then
        ends = 0 if plane.lr is not None else min(reach_of(kernels[axis]), (size - core * scale) // 2)
        phase = ends + (int(rng.integers(scale)) if plane.lr is None and size >= core * scale + 2 * ends + scale else 0)
        count = (size - phase - ends) // scale
        start, stop = _slab(count, core, slices, rng) if axis == 0 else (0, count)
        corner = start + int(rng.integers(stop - start - core + 1))
        seen = np.arange(corner - geometry.halo, corner + core + geometry.halo)
        index.append(start + reflect(seen - start, stop - start, repeats=repeats))
        first.append(phase + corner * scale)
        index[-1] = index[-1] if plane.lr is not None else index[-1] * scale + phase
    hr = plane.values[
        (slice(None), *(slice(a, a + c * s) for a, c, s in zip(first, geometry.cores, geometry.scales, strict=True)))
    ]
    if plane.lr is not None:
        lr = plane.lr[np.ix_(np.arange(len(plane.lr)), *index)]
    else:
        lr = _made(plane.values, index, geometry.scales, kernels)
    return np.ascontiguousarray(lr, np.float32), np.ascontiguousarray(hr, np.float32)


def reach_of(kernel: Tensor) -> int:
    """HR pixels beyond an LR pixel's own that its kernel weighs, on each side."""
    scale, weighed = scale_of(len(kernel)), np.flatnonzero(kernel.numpy())
    return max(0, REACH_LR * scale - int(weighed[0]))


def _slab(count: int, core: int, slices: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
    """First slice and the one behind the last of a slab within `count` slices."""
    size = min(count, max(core, int(rng.integers(slices[0], slices[1] + 1))))
    start = int(rng.integers(count - size + 1))
    return start, start + size


def _made(
    values: NDArray[np.generic], index: Sequence[NDArray[np.intp]], scales: Sequence[int], kernels: Sequence[Tensor]
) -> NDArray[np.float32]:
    """LR whose pixels begin at these HR pixels: each made once, then put wherever it is seen."""
    low = [int(i.min()) for i in index]
    high = [int(i.max()) + s for i, s in zip(index, scales, strict=True)]
    reach = [REACH_LR * s for s in scales]
    sides = [  # a kernel has room for REACH_LR on each side; what it does not weigh may be anything
        np.clip(np.arange(a - r, b + r), 0, size - 1)
        for a, b, r, size in zip(low, high, reach, values.shape[1:], strict=True)
    ]
    block = torch.from_numpy(np.ascontiguousarray(values[np.ix_(np.arange(len(values)), *sides)], np.float32))
    lr = reduce(block[None], [kernel[None] for kernel in kernels])[0].numpy()
    places = [(i - a) // s for i, a, s in zip(index, low, scales, strict=True)]
    found: NDArray[np.float32] = lr[np.ix_(np.arange(len(lr)), *places)]
    return found
