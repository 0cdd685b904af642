"""Residual network with a learned deconvolution: Y = X + F(X), X the cubic image. Halo 2 blocks + 2, exact.

F is a stack of residual blocks at LR resolution (He et al. 2016, arXiv:1512.03385) and a transposed convolution
(Zeiler et al. 2010). A transposed convolution with random weights begins with a checkerboard, since neighbouring
output pixels see different numbers of kernel taps (Odena et al. 2016, doi 10.23915/distill.00003). Here the kernel
is three strides wide, so that every output pixel sees the same number, and begins as linear interpolation.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from srcore.models.blocks import ResidualBlock, centre_crop
from srcore.models.generator import Residual


class ResnetDeconv(Residual):
    """SR = cubic(LR) + deconvolution(blocks(LR))."""

    def __init__(self, scale: int = 2, width: int = 48, blocks: int = 6, bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.head = nn.Conv2d(bands, width, 3, bias=False)
        self.body = nn.Sequential(*(ResidualBlock(width, bias=False) for _ in range(blocks)))
        self.deconvolution = nn.ConvTranspose2d(width, bands, 3 * scale, stride=scale, bias=False)
        with torch.no_grad():
            self.deconvolution.weight.copy_(linear_kernels(width, bands, scale))
        self.halo = 1 + ResidualBlock.margin_px * blocks + 1

    def residual(self, x: Tensor) -> Tensor:
        deep = self.body(self.head(x))  # (N, W, Y + 2, X + 2)
        # Y + 2 inputs make (Y + 4) * s outputs; the two LR pixels at each end lack a neighbour.
        return centre_crop(self.deconvolution(deep), 2 * self.scale)


def linear_kernels(width: int, bands: int, scale: int) -> Tensor:
    """Kernels (width, bands, 3 s, 3 s): linear interpolation on pixel centres times a random mixing of the channels."""
    tap = torch.arange(3 * scale, dtype=torch.float32)
    distance = (tap - (3 * scale - 1) / 2).abs() / scale  # from the input pixel's centre, in LR pixels
    triangle = (1 - distance).clamp_min(0)
    mixing = torch.randn(width, bands) / width**0.5
    return torch.einsum("wb,y,x->wbyx", mixing, triangle, triangle)
