"""U-Net: encoder and decoder with skips (Ronneberger et al. 2015, arXiv:1505.04597). Exact on aligned cores.

Pooling has a grid: 2^levels LR pixels at the deepest level, so cores are multiples of that, and every tile pools
the same pixels together. Margins on each side of a core, in pixels of the level, for two levels (halo 22):

    level 0   22 convs 20 ---------------- skip, cropped ----------------> 3 convs 1 tail 0
    level 1        pool 10 convs 8 ------- skip, cropped -----> 4 convs 2 up 4, cropped 3
    level 2                 pool 4 convs 2 up 4
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import centre_crop, cropped_to
from srcore.models.generator import Residual


class TwoConvs(nn.Sequential):
    """relu(conv(relu(conv(x)))): two pixels of margin."""

    margin_px = 2

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(
            nn.Conv2d(inputs, outputs, 3, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(outputs, outputs, 3, bias=False),
            nn.ReLU(inplace=True),
        )


class UNet(Residual):
    """SR = cubic(LR) + F(LR), F an encoder-decoder at LR resolution and a sub-pixel tail."""

    def __init__(self, scale: int = 2, width: int = 32, levels: int = 2, bands: int = 1) -> None:
        super().__init__(scale, bands)
        widths = [width * 2**level for level in range(levels + 1)]
        self.core_multiple = 2**levels
        self.encoders = nn.ModuleList(
            TwoConvs(inputs, outputs) for inputs, outputs in zip([bands, *widths], widths, strict=False)
        )
        self.ups = nn.ModuleList(
            nn.ConvTranspose2d(below, own, 2, stride=2, bias=False) for own, below in pairwise(widths)
        )
        self.decoders = nn.ModuleList(TwoConvs(2 * own, own) for own in widths[:-1])
        self.tail = nn.Conv2d(width, bands * scale**2, 3, bias=False)
        self.halo, self.surplus = _margins(levels)

    def residual(self, x: Tensor) -> Tensor:
        skips: list[Tensor] = []
        for level, encoder in enumerate(self.encoders):
            x = encoder(functional.max_pool2d(x, 2) if level else x)  # (N, W * 2^level, ...)
            skips.append(x)
        for level in reversed(range(len(self.ups))):
            up = centre_crop(self.ups[level](x), self.surplus[level])
            x = self.decoders[level](torch.cat([up, cropped_to(skips[level], up)], 1))
        return functional.pixel_shuffle(self.tail(x), self.scale)  # (N, W, Y + 2, X + 2) before


def _margins(levels: int) -> tuple[int, list[int]]:
    """The halo, and for each level how many pixels of the upsampled margin are more than its decoder needs."""
    margin, surplus = 1, []  # before the tail
    for _ in range(levels):
        joined = margin + TwoConvs.margin_px
        margin = (joined + 1) // 2
        surplus.append(2 * margin - joined)
    margin += TwoConvs.margin_px
    for _ in range(levels):
        margin = 2 * margin + TwoConvs.margin_px
    return margin, surplus
