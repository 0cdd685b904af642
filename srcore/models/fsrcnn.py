"""FSRCNN: all work at LR resolution in few channels, for real time (Dong et al. 2016, arXiv:1608.00367).

Halo 2 + mappings + ceil((9 // scale) / 2), exact.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.generator import Residual


class Fsrcnn(Residual):
    """SR = cubic(LR) + F(LR), F = feature extraction, shrinking, mapping, expanding, deconvolution.

    The paper's 9 x 9 deconvolution of stride s is written as a convolution at LR resolution with an output channel
    a sub-pixel phase and a PixelShuffle: the same linear maps, without the overlap that a checkerboard comes from.
    """

    def __init__(self, scale: int = 2, width: int = 56, narrow: int = 12, mappings: int = 4, bands: int = 1) -> None:
        super().__init__(scale, bands)
        reach = (9 // scale + 1) // 2  # LR pixels on each side that a 9 x 9 kernel at HR sees
        self.extract = _activated(nn.Conv2d(bands, width, 5, bias=False), width)
        self.shrink = _activated(nn.Conv2d(width, narrow, 1, bias=False), narrow)
        self.mapping = nn.Sequential(
            *(_activated(nn.Conv2d(narrow, narrow, 3, bias=False), narrow) for _ in range(mappings))
        )
        self.expand = _activated(nn.Conv2d(narrow, width, 1, bias=False), width)
        self.deconvolution = nn.Conv2d(width, bands * scale**2, 2 * reach + 1, bias=False)
        self.halo = 2 + mappings + reach

    def residual(self, x: Tensor) -> Tensor:
        features = self.shrink(self.extract(x))  # (N, 12, Y + 2 (halo - 2), ...)
        mapped = self.expand(self.mapping(features))  # (N, 56, Y + 2 reach, ...)
        return functional.pixel_shuffle(self.deconvolution(mapped), self.scale)


def _activated(convolution: nn.Conv2d, width: int) -> nn.Sequential:
    return nn.Sequential(convolution, nn.PReLU(width))
