"""Building blocks of the generators, all without padding.

A layer without padding eats its own share of the tile's halo, so a tile of core + 2 halo goes in and
exactly core x scale comes out: tiled equals untiled by construction, and the halo is a shape difference.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional


def centre_crop(x: Tensor, margin_px: int, axes: int = 2) -> Tensor:
    """x (..., Y, X) without `margin_px` pixels on each side; of the last `axes` axes, 2 or 3."""
    if margin_px == 0:
        return x
    inside = slice(margin_px, -margin_px)
    return x[..., inside, inside] if axes == 2 else x[..., inside, inside, inside]


def cropped_to(x: Tensor, target: Tensor) -> Tensor:
    """The centre of x (N, C, Y, X) with as many pixels as `target` has; both are square cuts of one place."""
    return centre_crop(x, (x.shape[-1] - target.shape[-1]) // 2)


def grown_to_grid(margin_px: int, step: int, phase: int = 0) -> int:
    """The smallest margin not below `margin_px` that ends `phase` pixels outside a line of a grid of `step`."""
    return margin_px + (phase - margin_px) % step


class ResidualBlock(nn.Module):
    """x + conv(relu(conv(x))), without normalisation layers (Lim et al. 2017, EDSR, fig. 2c)."""

    margin_px = 2

    def __init__(self, width: int, bias: bool, conv: type[nn.Conv2d] | type[nn.Conv3d] = nn.Conv2d) -> None:
        super().__init__()
        self.conv1 = conv(width, width, 3, bias=bias)
        self.conv2 = conv(width, width, 3, bias=bias)

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 4, X + 4) -> (N, W, Y, X), or with Z before Y
        residual: Tensor = self.conv2(functional.relu(self.conv1(x), inplace=True))
        return residual + centre_crop(x, self.margin_px, x.ndim - 2)


class CubicUpsample(nn.Module):
    """Cubic convolution (Keys 1981, a = -1/2) on pixel centres, as one fixed convolution per output phase.

    Unlike `interpolate`, its weights do not depend on where the tile lies, so every tile gets the same bits.
    `scale` is one number for (Y, X), or (z, y, x) for volumes.
    """

    margin_px = 2

    def __init__(self, scale: int | tuple[int, int, int]) -> None:
        super().__init__()
        self.scale = scale
        scales = (scale, scale) if isinstance(scale, int) else scale
        self.register_buffer("kernel", cubic_phases(scales), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, B, Y + 4, X + 4) -> (N, B, Y * s, X * s)
        device = x.device.type
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):  # bfloat16 steps by 20 DN in 16 bits: never for the base
                return self._upsample(x.float())
        return self._upsample(x)

    def _upsample(self, x: Tensor) -> Tensor:
        bands = x.flatten(0, 1)[:, None]  # each on its own
        kernel: Tensor = self.kernel  # type: ignore[assignment]
        if isinstance(self.scale, int):
            fine = functional.pixel_shuffle(functional.conv2d(bands, kernel), self.scale)
        else:
            fine = voxel_shuffle(functional.conv3d(bands, kernel), self.scale)
        return fine.reshape(*x.shape[:2], *fine.shape[2:])


def voxel_shuffle(x: Tensor, scale: tuple[int, int, int]) -> Tensor:
    """PixelShuffle for volumes: (N, C * z * y * x, Z, Y, X) to (N, C, Z * z, Y * y, X * x)."""
    n, channels, depth, height, width = x.shape
    z, y, x_scale = scale
    count = channels // (z * y * x_scale)
    phases = x.reshape(n, count, z, y, x_scale, depth, height, width).permute(0, 1, 5, 2, 6, 3, 7, 4)
    return phases.reshape(n, count, depth * z, height * y, width * x_scale)


def cubic_weights(scale: int) -> NDArray[np.float64]:
    """Weights (scale, 5) of LR pixels -2 to 2 for every sub-pixel phase along one axis, each of sum 1.

    By NumPy: torch's `arange` on the meta device, where a generator is sketched, imports its compiler: two seconds.
    """
    phase = (np.arange(scale) + 0.5) / scale - 0.5  # (s,) in LR pixels
    distance = np.abs(np.arange(-2, 3)[None, :] - phase[:, None])  # (s, 5)
    near = 1.5 * distance**3 - 2.5 * distance**2 + 1
    far = -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weight = np.where(distance <= 1, near, np.where(distance < 2, far, 0.0))
    return np.asarray(weight / weight.sum(axis=1, keepdims=True))


def cubic_phases(scales: Sequence[int]) -> Tensor:
    """Kernels (product of scales, 1, 5, ...) of the cubic upsampling, one per sub-pixel phase, each of sum 1."""
    phases = np.ones((1, 1))  # (phases, taps) so far
    for scale in scales:
        weights = cubic_weights(scale)
        pairs = np.einsum("ai,bj->abij", phases, weights)
        phases = pairs.reshape(len(phases) * scale, -1)
    return torch.from_numpy(phases.reshape(-1, 1, *(5,) * len(scales)).astype(np.float32))
