"""SRCNN: three convolutions on the bicubic image (Dong et al. 2014, arXiv:1501.00092).

Halo ceil(6 / scale) + 2, exact.
"""

from __future__ import annotations

from math import ceil

from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import centre_crop
from srcore.models.generator import Residual


class Srcnn(Residual):
    """SR = Z + F(Z) with Z = cubic(LR), F = 9 x 9, 1 x 1 and 5 x 5 convolutions at HR resolution.

    The paper's F gives the image itself; here it gives what Z misses, which trains in a tenth of the steps and
    keeps the radiometry when F computes in bfloat16.
    """

    eaten_hr = 4 + 2
    """HR pixels that the 9 x 9 and the 5 x 5 kernel take on each side."""

    def __init__(self, scale: int = 2, widths: tuple[int, int] = (64, 32), bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.patches = nn.Conv2d(bands, widths[0], 9, bias=False)
        self.mapping = nn.Conv2d(widths[0], widths[1], 1, bias=False)
        self.reconstruction = nn.Conv2d(widths[1], bands, 5, bias=False)
        self.margin = ceil(self.eaten_hr / scale)
        self.halo = self.margin + self.base.margin_px

    def forward(self, x: Tensor) -> Tensor:
        z: Tensor = self.base(x)  # (N, B, (Y + 2 margin) * s, ...)
        margin_hr = self.margin * self.scale
        residual = self.residual(z.to(self.patches.weight.dtype))
        return centre_crop(z, margin_hr) + centre_crop(residual, margin_hr - self.eaten_hr).float()

    def residual(self, z: Tensor) -> Tensor:
        features = functional.relu(self.patches(z))  # (N, 64, ...): 9 x 9 patches as vectors
        mapped = functional.relu(self.mapping(features))  # (N, 32, ...)
        out: Tensor = self.reconstruction(mapped)
        return out
