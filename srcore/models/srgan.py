"""SRResNet, the generator of SRGAN (Ledig et al. 2017, arXiv:1609.04802); its critic is in `discriminator`. Exact.

Halo 4 + 2 blocks + 1 + ceil(4 / scale). Without the paper's BatchNorm: in training it mixes the patches of a batch,
and the statistics of one sensor are wrong for the next; EDSR and ESRGAN measured that it helps neither (Lim et al.
2017; Wang et al. 2018). What is left is homogeneous, as `Edsr` is.
"""

from __future__ import annotations

from math import ceil

from torch import Tensor, nn

from srcore.models.blocks import centre_crop
from srcore.models.generator import Residual


class PreluBlock(nn.Module):
    """x + conv(prelu(conv(x)))."""

    margin_px = 2

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, bias=False)
        self.prelu = nn.PReLU()
        self.conv2 = nn.Conv2d(width, width, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 4, X + 4) -> (N, W, Y, X)
        residual: Tensor = self.conv2(self.prelu(self.conv1(x)))
        return residual + centre_crop(x, self.margin_px)


class SrResNet(Residual):
    """SR = cubic(LR) + F(LR); F ends in a PixelShuffle and a 9 x 9 convolution at HR resolution."""

    last_hr = 4
    """HR pixels that the last kernel takes on each side."""

    def __init__(self, scale: int = 2, width: int = 64, blocks: int = 16, bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.head = nn.Sequential(nn.Conv2d(bands, width, 9, bias=False), nn.PReLU())
        self.body = nn.Sequential(*(PreluBlock(width) for _ in range(blocks)), nn.Conv2d(width, width, 3, bias=False))
        self.upsample = nn.Sequential(
            nn.Conv2d(width, width * scale**2, 3, bias=False), nn.PixelShuffle(scale), nn.PReLU()
        )
        self.tail = nn.Conv2d(width, bands, 9, bias=False)
        self.last = ceil(self.last_hr / scale)  # LR pixels; what is more than the kernel needs is cut off
        self.deep = PreluBlock.margin_px * blocks + 1
        self.halo = 4 + self.deep + 1 + self.last

    def residual(self, x: Tensor) -> Tensor:
        features = self.head(x)  # (N, W, Y + 2 (halo - 4), ...)
        deep = self.body(features) + centre_crop(features, self.deep)  # (N, W, Y + 2 (1 + last), ...)
        fine = self.upsample(deep)  # (N, W, (Y + 2 last) * s, ...)
        fine = centre_crop(fine, self.last * self.scale - self.last_hr)
        out: Tensor = self.tail(fine)
        return out
