"""EDSR for volumes: 3-D convolutions, a scale of its own on every axis. Halo 2 blocks + 3 on each axis, exact."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from srcore.models.blocks import CubicUpsample, ResidualBlock, centre_crop, voxel_shuffle
from srcore.models.generator import Generator


class EdsrVolume(Generator):
    """SR = cubic(LR) + F(LR) on (N, 1, Z, Y, X); scale (5, 1, 1) makes thick slices thin, (2, 2, 2) all of it finer.

    Slices above and below help in the plane as well, so the convolutions couple all axes whatever their scale.
    """

    axes = 3

    def __init__(self, scale: Sequence[int] = (2, 2, 2), width: int = 32, blocks: int = 4, bias: bool = False) -> None:
        super().__init__()
        self.sizes = (int(scale[0]), int(scale[1]), int(scale[2]))
        self.scale = self.sizes[-1]
        self.base = CubicUpsample(self.sizes)
        self.head = nn.Conv3d(1, width, 3, bias=bias)
        self.body = nn.Sequential(
            *(ResidualBlock(width, bias, nn.Conv3d) for _ in range(blocks)), nn.Conv3d(width, width, 3, bias=bias)
        )
        self.tail = nn.Conv3d(width, self.sizes[0] * self.sizes[1] * self.sizes[2], 3, bias=bias)
        self.halo = 1 + (ResidualBlock.margin_px * blocks + 1) + 1

    @property
    def scales(self) -> tuple[int, ...]:
        return self.sizes

    def forward(self, x: Tensor) -> Tensor:
        base: Tensor = self.base(centre_crop(x, self.halo - self.base.margin_px, 3))
        features = self.head(x.to(self.head.weight.dtype))  # (N, W, Z + 2 (halo - 1), ...)
        deep = self.body(features)  # (N, W, Z + 2, Y + 2, X + 2)
        skip = centre_crop(features, self.halo - 2, 3)
        return base + voxel_shuffle(self.tail(deep + skip), self.sizes).float()
