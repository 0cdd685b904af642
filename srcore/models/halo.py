"""The halo of a generator: found from its layers, proved on numbers."""

from __future__ import annotations

from copy import deepcopy

import torch
from torch import Tensor

from srcore.models.generators import Generator

PROBE_CORE = 12
"""LR pixels of the probe's core."""


def halo_from_layers(generator: Generator) -> int:
    """LR pixels that the layers eat on each side: the shape difference of a pass without numbers."""
    meta = _copy_to_meta(generator)
    side = 2 * generator.halo + 4 * PROBE_CORE
    with torch.inference_mode():
        out = meta(torch.empty(1, 1, side, side, device="meta"))
    return (side - int(out.shape[-1]) // generator.scale) // 2


def probe(generator: Generator, halo: int) -> float:
    """Largest difference between a core computed alone with `halo` and the same core inside a larger input.

    Relative to the output's own largest value. Infinity when the output does not have core x scale pixels.
    0 (or the rounding of a kernel that changes its order) proves that no pixel beyond the halo matters.
    """
    margin = halo + 5
    whole = _noise(PROBE_CORE + 2 * (halo + margin))
    alone = whole[..., margin:-margin, margin:-margin]
    with torch.inference_mode():
        expected, found = _core_of(generator, whole, margin), generator(alone)
    side_hr = PROBE_CORE * generator.scale
    if found.shape[-2:] != (side_hr, side_hr) or expected.shape != found.shape:
        return float("inf")
    return float((found - expected).abs().max() / expected.abs().max().clamp_min(1e-12))


def _core_of(generator: Generator, whole: Tensor, margin_px: int) -> Tensor:
    out: Tensor = generator(whole)
    cut = (out.shape[-1] - PROBE_CORE * generator.scale) // 2
    return out[..., cut:-cut, cut:-cut] if cut > 0 else out


def _noise(side: int) -> Tensor:
    return torch.rand(1, 1, side, side, generator=torch.Generator().manual_seed(7))


def _copy_to_meta(generator: Generator) -> Generator:
    return deepcopy(generator).to("meta")
