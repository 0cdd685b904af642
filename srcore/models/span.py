"""SPAN: attention without parameters, re-parameterised convolutions (Wan et al. 2023, arXiv:2311.12770).

Halo 3 blocks + 3, exact. Trained as three convolutions and a shortcut, saved and run as the one 3 x 3 convolution
that they are together.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import centre_crop, cropped_to
from srcore.models.generator import Residual


class WideConv(nn.Module):
    """3 x 3 convolution in its training form: project(conv(expand(x))) + shortcut(x), linear throughout."""

    def __init__(self, inputs: int, outputs: int, gain: int = 2) -> None:
        super().__init__()
        self.expand = nn.Conv2d(inputs, inputs * gain, 1, bias=False)
        self.conv = nn.Conv2d(inputs * gain, outputs * gain, 3, bias=False)
        self.project = nn.Conv2d(outputs * gain, outputs, 1)
        self.shortcut = nn.Conv2d(inputs, outputs, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, I, Y + 2, X + 2) -> (N, O, Y, X)
        wide: Tensor = self.project(self.conv(self.expand(x)))
        short: Tensor = self.shortcut(centre_crop(x, 1))
        return wide + short

    def fused(self) -> nn.Conv2d:
        """The same map as one convolution; multiplied out in float64, so that only the last rounding is left."""
        expand, project = self.expand.weight.double()[:, :, 0, 0], self.project.weight.double()[:, :, 0, 0]
        kernel = torch.einsum("op,pqyx,qi->oiyx", project, self.conv.weight.double(), expand)
        kernel[:, :, 1, 1] += self.shortcut.weight.double()[:, :, 0, 0]
        one = nn.Conv2d(kernel.shape[1], kernel.shape[0], 3).to(kernel.device)
        with torch.no_grad():
            one.weight.copy_(kernel)
            one.bias.copy_(self.project.bias)  # type: ignore[union-attr,arg-type]
        return one


class SpanBlock(nn.Module):
    """Three convolutions; what they found also says how much of it to let through."""

    margin_px = 3

    def __init__(self, width: int, wide: bool) -> None:
        super().__init__()
        self.conv1, self.conv2, self.conv3 = (_conv(width, width, wide) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 6, X + 6) -> (N, W, Y, X)
        found = self.conv3(functional.silu(self.conv2(functional.silu(self.conv1(x)))))
        attention = torch.sigmoid(found) - 0.5  # odd: what is found strongly, of either sign, counts
        let_through: Tensor = (found + centre_crop(x, self.margin_px)) * attention
        return let_through


class Span(Residual):
    """SR = cubic(LR) + F(LR); F joins the features of the first, the last but one and the last block.

    `wide` is the form for training.
    """

    def __init__(self, scale: int = 2, width: int = 32, blocks: int = 6, wide: bool = False, bands: int = 1) -> None:
        super().__init__(scale, bands)
        self.width = width
        self.head = _conv(bands, width, wide)
        self.blocks = nn.ModuleList(SpanBlock(width, wide) for _ in range(blocks))
        self.last = _conv(width, width, wide)
        self.join = nn.Conv2d(4 * width, width, 1)
        self.tail = nn.Conv2d(width, bands * scale**2, 3)
        self.halo = 1 + SpanBlock.margin_px * blocks + 1 + 1

    def residual(self, x: Tensor) -> Tensor:
        features = [self.head(x)]  # (N, W, Y + 2 (halo - 1), ...)
        for block in self.blocks:
            features.append(block(features[-1]))
        last = self.last(features[-1])  # (N, W, Y + 2, X + 2)
        chosen = [cropped_to(f, last) for f in (features[0], features[1], features[-2])]
        return functional.pixel_shuffle(self.tail(self.join(torch.cat([*chosen, last], 1))), self.scale)

    def fused(self) -> Span:
        if isinstance(self.last, nn.Conv2d):
            return self
        one = Span(self.scale, self.width, len(self.blocks), bands=self.bands).to(self.last.project.weight.device)
        with torch.no_grad():
            for name, part in self.named_modules():
                if isinstance(part, WideConv):
                    one.get_submodule(name).load_state_dict(part.fused().state_dict())
            one.join.load_state_dict(self.join.state_dict())
            one.tail.load_state_dict(self.tail.state_dict())
        return one


def _conv(inputs: int, outputs: int, wide: bool) -> nn.Conv2d | WideConv:
    return WideConv(inputs, outputs) if wide else nn.Conv2d(inputs, outputs, 3)
