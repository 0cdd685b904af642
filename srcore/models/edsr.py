"""EDSR: residual blocks without normalisation layers (Lim et al. 2017, arXiv:1707.02921). Halo 2 blocks + 3, exact."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import ResidualBlock, centre_crop
from srcore.models.generator import Residual


class Edsr(Residual):
    """SR = cubic(LR) + F(LR); F works at LR resolution and ends in a PixelShuffle.

    `width=64, blocks=16` is the baseline of the paper. Without biases F(a x) = a F(x) for a > 0: the result
    does not depend on the contrast that a sensor happens to have (Mohan et al. 2020, arXiv:1906.05478).
    """

    def __init__(self, scale: int = 2, width: int = 48, blocks: int = 6, bias: bool = False, bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.head = nn.Conv2d(bands, width, 3, bias=bias)
        self.body = nn.Sequential(
            *(ResidualBlock(width, bias) for _ in range(blocks)), nn.Conv2d(width, width, 3, bias=bias)
        )
        self.tail = nn.Conv2d(width, bands * scale**2, 3, bias=bias)
        self.halo = 1 + (ResidualBlock.margin_px * blocks + 1) + 1

    def residual(self, x: Tensor) -> Tensor:
        features = self.head(x)  # (N, W, Y + 2 (halo - 1), ...)
        deep = self.body(features)  # (N, W, Y + 2, X + 2)
        skip = centre_crop(features, self.halo - 2)
        return functional.pixel_shuffle(self.tail(deep + skip), self.scale)
