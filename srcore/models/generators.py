"""Generators: LR (N, 1, Y + 2 halo, X + 2 halo) in, SR (N, 1, Y * scale, X * scale) out.

They see one band at a time, so one checkpoint serves any band count. Each states its `halo` in LR pixels,
added up from its layers; `srcore.models.halo` proves the number.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import CubicUpsample, ResidualBlock, centre_crop


class Generator(nn.Module):
    """What the engine may count on: `scale`, `halo` (LR pixels on each side) and a forward without padding."""

    scale: int
    halo: int


class Edsr(Generator):
    """Residual generator: SR = cubic(LR) + F(LR), after EDSR (Lim et al. 2017, arXiv:1707.02921).

    F works at LR resolution and ends in a PixelShuffle. Without biases F(a x) = a F(x) for a > 0: the result
    does not depend on the contrast that a sensor happens to have (Mohan et al. 2020, arXiv:1906.05478).
    """

    def __init__(self, scale: int = 2, width: int = 48, blocks: int = 6, bias: bool = False) -> None:
        super().__init__()
        self.scale = scale
        self.base = CubicUpsample(scale)
        self.head = nn.Conv2d(1, width, 3, bias=bias)
        self.body = nn.Sequential(
            *(ResidualBlock(width, bias) for _ in range(blocks)), nn.Conv2d(width, width, 3, bias=bias)
        )
        self.tail = nn.Conv2d(width, scale * scale, 3, bias=bias)
        self.halo = 1 + (ResidualBlock.margin_px * blocks + 1) + 1

    def forward(self, x: Tensor) -> Tensor:
        base = self.base(centre_crop(x, self.halo - self.base.margin_px))
        sr: Tensor = base + self.residual(x.to(self.head.weight.dtype)).float()
        return sr

    def residual(self, x: Tensor) -> Tensor:
        features = self.head(x)  # (N, W, Y + 2 (halo - 1), ...)
        deep = self.body(features)  # (N, W, Y + 2, X + 2)
        skip = centre_crop(features, self.halo - 2)
        return functional.pixel_shuffle(self.tail(deep + skip), self.scale)


class Bicubic(Generator):
    """Cubic convolution alone: the floor that every trained generator must beat."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.halo = scale, CubicUpsample.margin_px
        self.base = CubicUpsample(scale)

    def forward(self, x: Tensor) -> Tensor:
        return self.base(x)  # type: ignore[no-any-return]


class Nearest(Generator):
    """Every LR pixel repeated: the null generator, for measuring the pipeline itself."""

    def __init__(self, scale: int = 2) -> None:
        super().__init__()
        self.scale, self.halo = scale, 0

    def forward(self, x: Tensor) -> Tensor:
        return functional.interpolate(x, scale_factor=self.scale, mode="nearest")
