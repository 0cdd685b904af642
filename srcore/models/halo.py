"""The halo of a generator: found from its layers, proved on numbers."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor, nn

from srcore.models.blocks import centre_crop, grown_to_grid
from srcore.models.generator import Generator

PROBE_CORE = 16
"""LR pixels of the probe's core; of a volume's, 4 voxels."""


def halo_from_layers(generator: Generator) -> int:
    """LR pixels that the layers eat on each side of every axis: the shape difference of a small pass.

    -1 when the axes differ, which no generator here does. With numbers, though only shapes count: torch imports a
    second's worth of modules for its first tensor without.
    """
    side = 2 * generator.halo + _core(generator)
    with torch.inference_mode():
        out = generator(torch.zeros(1, generator.bands, *(side,) * generator.axes))
    own = out.shape[-generator.axes :]
    eaten = {side - int(n) // scale for n, scale in zip(own, generator.scales, strict=True)}
    return eaten.pop() // 2 if len(eaten) == 1 else -1


def activation_bytes_px(generator: Generator) -> int:
    """Projected peak of a pass in float32, in bytes an LR pixel of the tile.

    Three times the input and output of the widest layer: skips and the kernels' own copies are live beside them.
    Measured on a CPU, the families here take 0.4 to 0.8 of it.
    """
    meta = deepcopy(generator).to("meta")
    widest = 1

    def note(_: nn.Module, given: tuple[Tensor, ...], out: Tensor) -> None:
        nonlocal widest
        widest = max(widest, out.numel() + sum(x.numel() for x in given))

    for part in meta.modules():
        if not any(True for _ in part.children()):
            part.register_forward_hook(note)
    side = 2 * generator.halo + 512  # a usual core, so that the halo's share is the usual one
    x = torch.empty(1, generator.bands, *(side,) * generator.axes, device="meta")
    with torch.inference_mode():
        meta(x)
    before = 2 if generator.zoom > 1 else 1  # what a regression holds before the first layer; 4 guides: 0.74 of all
    return -(-before * 3 * 4 * widest // (x.numel() // generator.bands))


def probe(generator: Generator, halo: int) -> float:
    """Largest difference between a core computed alone with `halo` and the same core inside a larger input.

    Relative to the output's own largest value. Infinity when the output does not have core x scale pixels.
    0 (or the rounding of a kernel that changes its order) proves that no pixel beyond the halo matters.
    """
    margin = grown_to_grid(halo + 5 if generator.axes == 2 else 5, generator.core_multiple)
    core = _core(generator)
    whole = _noise(generator, core + 2 * (halo + margin))
    alone = centre_crop(whole, margin, generator.axes)
    with torch.inference_mode():
        expected, found = _core_of(generator, whole, core), generator(alone)
    wanted = tuple(core * scale for scale in generator.scales)
    if found.shape[-generator.axes :] != wanted or expected.shape != found.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def _core(generator: Generator) -> int:
    return grown_to_grid(PROBE_CORE if generator.axes == 2 else 4, generator.core_multiple)


def _core_of(generator: Generator, whole: Tensor, core: int) -> Tensor:
    """The SR of the middle `core` LR pixels of `whole`."""
    out: Tensor = generator(whole)
    for axis, scale in zip(range(-generator.axes, 0), generator.scales, strict=True):
        cut = (out.shape[axis] - core * scale) // 2
        out = out.narrow(axis, max(cut, 0), min(core * scale, out.shape[axis]))
    return out


def _noise(generator: Generator, side: int) -> Tensor:
    shape = (1, generator.bands, *(side,) * generator.axes)
    return torch.rand(shape, generator=torch.Generator().manual_seed(7))
