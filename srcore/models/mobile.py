"""Depthwise-separable residual network, for real time (Sandler et al. 2018, arXiv:1801.04381).

Halo blocks + 2, exact.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import centre_crop
from srcore.models.generator import Residual


class InvertedBlock(nn.Module):
    """x + project(relu(depthwise(relu(expand(x))))): the 3 x 3 kernel sees each channel alone, 1 x 1 mixes them."""

    margin_px = 1

    def __init__(self, width: int, expansion: int) -> None:
        super().__init__()
        wide = width * expansion
        self.expand = nn.Conv2d(width, wide, 1, bias=False)
        self.depthwise = nn.Conv2d(wide, wide, 3, groups=wide, bias=False)
        self.project = nn.Conv2d(wide, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 2, X + 2) -> (N, W, Y, X)
        wide = functional.relu(self.expand(x), inplace=True)
        residual: Tensor = self.project(functional.relu(self.depthwise(wide), inplace=True))
        return residual + centre_crop(x, self.margin_px)


class Mobile(Residual):
    """SR = cubic(LR) + F(LR), F with inverted blocks between a head and a sub-pixel tail."""

    def __init__(self, scale: int = 2, width: int = 32, blocks: int = 6, expansion: int = 2, bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.head = nn.Conv2d(bands, width, 3, bias=False)
        self.body = nn.Sequential(*(InvertedBlock(width, expansion) for _ in range(blocks)))
        self.tail = nn.Conv2d(width, bands * scale**2, 3, bias=False)
        self.halo = 1 + InvertedBlock.margin_px * blocks + 1

    def residual(self, x: Tensor) -> Tensor:
        features = self.head(x)  # (N, W, Y + 2 (halo - 1), ...)
        deep = self.body(features) + centre_crop(features, self.halo - 2)  # (N, W, Y + 2, X + 2)
        return functional.pixel_shuffle(self.tail(deep), self.scale)
