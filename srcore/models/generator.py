"""What every generator promises: LR with a halo in, SR of the core out, nothing invented at the edges.

2-D: (N, B, Y + 2 halo, X + 2 halo) in, (N, B, Y * scale, X * scale) out; volumes have Z before Y. B is `bands`.
With one band a checkpoint serves any band count, since the engine sends band by band.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srcore.models.blocks import CubicUpsample, centre_crop


class Generator(nn.Module):
    """What the engine may count on. `srcore.models.halo` proves halo and tiling of each class on numbers."""

    scale: int
    """SR pixels per LR pixel along the last axis; `scales` has all axes."""
    halo: int
    """LR pixels on each side of a core that the layers eat, the same on every axis of the generator's own."""
    axes = 2
    bands = 1
    zoom = 1
    """Above 1: pixels of the guides along a pixel of the band that it brings to their grid. It then takes that band,
    each pixel repeated, before any number of guides, and gives the band; `bands` is what it is probed with."""
    core_multiple = 1
    """Cores start and end at multiples of this: a stride or an attention window has a grid of its own, which must
    lie the same way in every tile."""

    @property
    def scales(self) -> tuple[int, ...]:
        return (self.scale,) * self.axes

    @property
    def memory_format(self) -> torch.memory_format:
        """In which the convolutions are fastest."""
        return torch.channels_last if self.axes == 2 else torch.channels_last_3d

    def fused(self) -> Generator:
        """The generator as it is saved and run; another one only where training has a form of its own."""
        return self


class Residual(Generator):
    """SR = cubic(LR) + F(LR): the network makes only what cubic convolution misses.

    The base stays in float32 whatever F computes in, so that rounding of F is never rounding of the image.
    """

    def __init__(self, scale: int, bands: int = 1) -> None:
        super().__init__()
        self.scale, self.bands = scale, bands
        self.base = CubicUpsample(scale)

    def forward(self, x: Tensor) -> Tensor:
        base: Tensor = self.base(centre_crop(x, self.halo - self.base.margin_px))
        return base + self.residual(x.to(next(self.parameters()).dtype)).float()

    def residual(self, x: Tensor) -> Tensor:
        """F: (N, B, Y + 2 halo, X + 2 halo) -> (N, B, Y * s, X * s)."""
        raise NotImplementedError
