"""The numerics gate: how far a backend's numbers lie from float32 in eager, and how far they may.

Measured on one texture that is always the same: integers from 0 to 10,000 DN with the spectrum of natural scenes
(amplitude 1/f in every plane; Field 1987), normalised as a scene is, by its 2nd and 98th percentile.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from srcore.models.backprojection import back_project
from srcore.models.blocks import grown_to_grid

if TYPE_CHECKING:
    from srcore.models import Generator

SPAN_DN = 10_000
CORE_PX, VOLUME_CORE_PX = 128, 32
"""LR pixels along the core that is compared, grown to the generator's grid."""
LIMITS: dict[str, tuple[float, float]] = {"float32": (0.05, 0.05), "bfloat16": (1.5, 100.0), "int8": (15.0, 1000.0)}
"""Precision to the largest rms and the largest single difference, in DN of 10,000.

int8 is not asked for by accident: its limit only finds what is broken.
"""


@dataclass(frozen=True)
class Difference:
    """Of a backend to float32 in eager, on the texture."""

    rms_dn: float
    max_dn: float

    def refused(self, precision: str) -> str:
        """Why a backend may not be used in this precision; '' when it may."""
        rms, largest = LIMITS[precision]
        if self.rms_dn <= rms and self.max_dn <= largest:
            return ""
        return (
            f"{self.rms_dn:.2f} DN rms and {self.max_dn:.1f} DN at most from float32, limits {rms} and {largest} "
            f"of {SPAN_DN} DN in {precision}"
        )


@lru_cache(maxsize=4)
def texture(side: int, axes: int = 2) -> NDArray[np.float64]:
    """The texture (side, side), or (side, side, side), in whole DN from 0 to SPAN_DN."""
    shape = (side,) * axes
    noise = np.fft.rfftn(np.random.default_rng(10_000).standard_normal(shape))
    grid = np.meshgrid(*[np.fft.fftfreq(side)] * (axes - 1), np.fft.rfftfreq(side), indexing="ij")
    frequency = np.sqrt(sum(np.square(axis) for axis in grid))
    frequency[(0,) * axes] = 1.0
    field = np.fft.irfftn(noise / frequency ** (axes / 2), shape, range(axes))  # a plane of a volume has 1 / f, too
    scaled: NDArray[np.float64] = np.rint((field - field.min()) / np.ptp(field) * SPAN_DN)
    return scaled


def _input(generator: Generator) -> tuple[NDArray[np.float64], float]:
    """The texture as network values (B, ...), each band another part of it; and DN of a network value."""
    core = grown_to_grid(CORE_PX if generator.axes == 2 else VOLUME_CORE_PX, generator.core_multiple)
    side = core + 2 * generator.halo
    dn = np.stack([np.roll(texture(side, generator.axes), 3 * band, axis=0) for band in range(generator.bands)])
    low, high = np.percentile(dn, (2, 98))
    return (dn - low) / (high - low), float(high - low)


def compare(
    reference: Generator, generator: Generator, device: torch.device, samples: Sequence[Tensor] = (), steps: int = 0
) -> Difference:
    """The difference of two generators of one checkpoint; both lie on `device`.

    `steps` of back-projection are what the checkpoint was trained behind, and what each of its products gets: it is
    refused without. Their part of a difference is that of the difference alone, since they are linear.

    On the texture, or on `samples` (1, 1, Y, X) where the generator was calibrated on them: what they do not reach,
    int8 cuts off.
    """
    dn, span = _input(reference)
    values = list(samples) or [torch.from_numpy(dn.astype(np.float32))[None]]
    with torch.inference_mode():
        off = [(generator(one.to(device)).double() - reference(one.to(device)).double()).cpu() for one in values]
        off = [_back_projected(one, reference.scales, steps) for one in off]
    error = torch.cat([one.flatten() for one in off]).abs() * span
    if not bool(torch.isfinite(error).all()):
        return Difference(float("inf"), float("inf"))
    return Difference(float(error.square().mean().sqrt()), float(error.max()))


def _back_projected(off: Tensor, scales: Sequence[int], steps: int) -> Tensor:
    """What is left of a difference of SR (N, B, ...) behind so many steps."""
    coarse = [size // scale for size, scale in zip(off.shape[2:], scales, strict=True)]
    return back_project(off, off.new_zeros(*off.shape[:2], *coarse), None, steps)


def largest(generator: Generator) -> float:
    """The largest size of a number that the generator, in float32 on the CPU, makes of the texture; NaN for a NaN.

    In network values: the texture's 2nd to 98th percentile is 0 to 1.
    """
    dn, _ = _input(generator)
    with torch.inference_mode():
        return float(generator(torch.from_numpy(dn.astype(np.float32))[None]).abs().max())
