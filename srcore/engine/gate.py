"""The numerics gate: how far a backend's numbers lie from float32 in eager, and how far they may.

Measured on one texture that is always the same: integers from 0 to 10,000 DN with the spectrum of natural scenes
(amplitude 1/f; Field 1987), normalised as a scene is, by its 2nd and 98th percentile.
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

if TYPE_CHECKING:
    from srcore.models import Generator

SPAN_DN = 10_000
CORE_PX = {2: 128, 3: 32}
"""Sides of its core, by the axes of the generator."""
LIMITS: dict[str, tuple[float, float]] = {
    "float32": (0.05, 0.05), "bfloat16": (1.5, 100.0), "int8": (15.0, 1000.0)
}  # fmt: skip
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
    """The texture (side, side), or a cube of it, in whole DN from 0 to SPAN_DN."""
    shape = (side,) * axes
    noise = np.fft.rfftn(np.random.default_rng(10_000).standard_normal(shape))
    steps = [np.fft.fftfreq(side)] * (axes - 1) + [np.fft.rfftfreq(side)]
    frequency = np.sqrt(sum(step**2 for step in np.meshgrid(*steps, indexing="ij")))
    frequency[(0,) * axes] = 1.0
    # Amplitude 1/f in the plane is power 1/f^2; a cube has one more axis to spread it over.
    field = np.fft.irfftn(noise / frequency ** (axes / 2), shape, axes=tuple(range(axes)))
    scaled: NDArray[np.float64] = np.rint((field - field.min()) / np.ptp(field) * SPAN_DN)
    return scaled


def compare(
    reference: Generator, generator: Generator, device: torch.device, samples: Sequence[Tensor] = ()
) -> Difference:
    """The difference of two generators of one checkpoint; both lie on `device`.

    On the texture, or on `samples` (1, 1, Y, X) where the generator was calibrated on them: what they do not reach,
    int8 cuts off.
    """
    dn = texture(CORE_PX[reference.axes] + 2 * reference.halo, reference.axes)
    low, high = np.percentile(dn, (2, 98))
    seen = torch.from_numpy(((dn - low) / (high - low)).astype(np.float32)).expand(1, reference.bands, *dn.shape)
    values = list(samples) or [seen]
    with torch.inference_mode():
        off = [(generator(one.to(device)).double() - reference(one.to(device)).double()).cpu() for one in values]
    error = torch.cat([one.flatten() for one in off]).abs() * float(high - low)
    if not bool(torch.isfinite(error).all()):
        return Difference(float("inf"), float("inf"))
    return Difference(float(error.square().mean().sqrt()), float(error.max()))
