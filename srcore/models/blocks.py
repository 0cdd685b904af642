"""Building blocks of the generators, all without padding.

A layer without padding eats its own share of the tile's halo, so a tile of core + 2 halo goes in and
exactly core x scale comes out: tiled equals untiled by construction, and the halo is a shape difference.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


def centre_crop(x: Tensor, margin_px: int) -> Tensor:
    """x (..., Y, X) without `margin_px` pixels on each side."""
    if margin_px == 0:
        return x
    return x[..., margin_px:-margin_px, margin_px:-margin_px]


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), without normalisation layers (Lim et al. 2017, EDSR, fig. 2c)."""

    margin_px = 2

    def __init__(self, width: int, bias: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(width, width, 3, bias=bias)
        self.conv2 = nn.Conv2d(width, width, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 4, X + 4) -> (N, W, Y, X)
        residual: Tensor = self.conv2(functional.relu(self.conv1(x), inplace=True))
        return residual + centre_crop(x, self.margin_px)


class CubicUpsample(nn.Module):
    """Cubic convolution (Keys 1981, a = -1/2) on pixel centres, as one fixed convolution per output phase.

    Unlike `interpolate`, its weights do not depend on where the tile lies, so every tile gets the same bits.
    """

    margin_px = 2

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.scale = scale
        self.register_buffer("kernel", cubic_phases(scale), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, Y + 4, X + 4) -> (N, 1, Y * s, X * s)
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):  # bfloat16 steps by 20 DN in 16 bits: never for the base
                return self._upsample(x.float())
        return self._upsample(x)

    def _upsample(self, x: Tensor) -> Tensor:
        return functional.pixel_shuffle(functional.conv2d(x, self.kernel), self.scale)  # type: ignore[arg-type]


def cubic_weights(scale: int) -> Tensor:
    """Weights (scale, 5) of LR pixels -2 to 2 for every sub-pixel phase along one axis, each of sum 1; float64."""
    phase = (torch.arange(scale, dtype=torch.float64) + 0.5) / scale - 0.5  # (s,) in LR pixels
    tap = torch.arange(-2, 3, dtype=torch.float64)  # (5,)
    distance = (tap[None, :] - phase[:, None]).abs()
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = torch.where(distance <= 1, near, torch.where(distance < 2, far, torch.zeros_like(far)))
    return weight / weight.sum(dim=1, keepdim=True)


def cubic_phases(scale: int) -> Tensor:
    """Kernels (scale * scale, 1, 5, 5) of the cubic upsampling, one per sub-pixel phase, each of sum 1."""
    weight = cubic_weights(scale)
    return torch.einsum("ai,bj->abij", weight, weight).reshape(scale * scale, 1, 5, 5).float()
