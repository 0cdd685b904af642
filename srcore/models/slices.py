"""A generator for thick slices: sees three slices to each side and far in the plane, where slanted edges move."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import CubicUpsample, centre_crop, voxel_shuffle
from srcore.models.generator import Generator

DILATIONS = (2, 4)
"""In the plane, of the blocks that see the next slices: between two slices of 5 mm an edge moves by many pixels."""


class Slices(Generator):
    """SR = cubic(LR) + F(LR) on (N, 1, Z, Y, X), scale (z, y, x), each any whole number.

    Convolutions reach three slices and 12 pixels to each side. The halo is the same on all axes, as the engine wants
    it; slices further away than three are cut off before anything is computed.
    """

    axes = 3

    def __init__(self, scale: Sequence[int] = (5, 1, 1), width: int = 32, bias: bool = True) -> None:
        super().__init__()
        self.sizes = (int(scale[0]), int(scale[1]), int(scale[2]))
        self.scale = self.sizes[-1]
        self.base = CubicUpsample(self.sizes)
        self.head = nn.Conv3d(1, width, 3, bias=bias)
        self.body = nn.Sequential(*(Step(width, far, bias) for far in DILATIONS), Step(width, 0, bias))
        self.tail = nn.Conv3d(width, self.sizes[0] * self.sizes[1] * self.sizes[2], (1, 3, 3), bias=bias)
        nn.init.zeros_(self.tail.weight)  # begins as the cubic
        if self.tail.bias is not None:
            nn.init.zeros_(self.tail.bias)
        self.reach = 1 + len(DILATIONS)
        self.halo = 1 + sum(far + 1 for far in DILATIONS) + 2 + 1

    @property
    def scales(self) -> tuple[int, ...]:
        return self.sizes

    def forward(self, x: Tensor) -> Tensor:
        base: Tensor = self.base(centre_crop(x, self.halo - self.base.margin_px, 3))
        beyond = self.halo - self.reach
        near = x.narrow(2, beyond, x.shape[2] - 2 * beyond).to(self.head.weight.dtype)
        return base + voxel_shuffle(self.tail(self.body(self.head(near))), self.sizes).float()


class Step(nn.Module):
    """x + conv(relu(conv(x))); with `far` above 0 the first sees the next slices, that far in the plane."""

    def __init__(self, width: int, far: int, bias: bool) -> None:
        super().__init__()
        first, spread = ((3, 3, 3), (1, far, far)) if far else ((1, 3, 3), (1, 1, 1))
        self.conv1 = nn.Conv3d(width, width, first, dilation=spread, bias=bias)
        self.conv2 = nn.Conv3d(width, width, (1, 3, 3), bias=bias)
        self.margins = (1 if far else 0, max(far, 1) + 1)

    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = self.conv2(functional.relu(self.conv1(x), inplace=True))
        across, planar = self.margins
        return found + centre_crop(x.narrow(2, across, found.shape[2]), planar)
