"""SwinIR, light: attention in shifted windows (Liang et al. 2021, arXiv:2108.10257). Exact on aligned cores.

Attention in a window is as local as a convolution: a token sees its own window and nothing else. What makes tiled
differ from untiled elsewhere is padding and windows that lie differently in every tile. Here cores start at
multiples of the window, and each layer first drops the tokens whose window is cut. With windows of 8, the margin
on each side of a core goes down like this for one group of a plain and a shifted layer (read from the left):

    head 9 -> 8 | plain: a multiple of 8 -> 4 | shifted by 4: 4 more than a multiple of 8 -> 3 | convs 3 -> 2 -> 1 -> 0

No cyclic shift, no mask, no padding; the receptive field is finite and is the halo.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import centre_crop, grown_to_grid
from srcore.models.generator import Residual


class WindowAttention(nn.Module):
    """Self-attention of the tokens of each window, with a learned bias for every relative position."""

    def __init__(self, width: int, window: int, heads: int) -> None:
        super().__init__()
        self.window, self.heads = window, heads
        self.qkv = nn.Linear(width, 3 * width)
        self.project = nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, (2 * window - 1) ** 2))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.register_buffer("pairs", relative_positions(window), persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, Y, X, W), Y and X multiples of the window
        n, height, width_px, width = x.shape
        m = self.window
        windows = x.reshape(n, height // m, m, width_px // m, m, width).transpose(2, 3).reshape(-1, m * m, width)
        q, k, v = self.qkv(windows).reshape(-1, m * m, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.bias[:, self.pairs].to(q.dtype)  # type: ignore[index]
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=bias[None])  # (windows, heads, m * m, ...)
        out: Tensor = self.project(mixed.transpose(1, 2).reshape(-1, m * m, width))
        grid = out.reshape(n, height // m, width_px // m, m, m, width).transpose(2, 3)
        return grid.reshape(n, height, width_px, width)


class SwinLayer(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); LayerNorm looks at one token only, so it stays local."""

    def __init__(self, width: int, window: int, heads: int, drop_px: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = WindowAttention(width, window, heads)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.drop_px = drop_px
        """Margin that the next layer has no use for."""

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 2 drop, X + 2 drop) -> (N, W, Y, X)
        x = x.permute(0, 2, 3, 1)
        x = x + self.attention(self.norm1(x))
        x = centre_crop(x.permute(0, 3, 1, 2), self.drop_px).permute(0, 2, 3, 1)
        x = x + self.mlp(self.norm2(x))
        return x.permute(0, 3, 1, 2)


class SwinGroup(nn.Module):
    """x + conv(layers(x)), plain and shifted layers in turn (the paper's RSTB)."""

    def __init__(self, width: int, layers: list[SwinLayer], margin_px: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.conv = nn.Conv2d(width, width, 3)
        self.margin_px = margin_px

    def forward(self, x: Tensor) -> Tensor:  # (N, W, Y + 2 margin, X + 2 margin) -> (N, W, Y, X)
        deep: Tensor = self.conv(self.layers(x))
        return deep + centre_crop(x, self.margin_px)


class SwinIR(Residual):
    """SR = cubic(LR) + F(LR), F with groups of window attention at LR resolution."""

    def __init__(
        self,
        scale: int = 2,
        width: int = 48,
        depths: tuple[int, ...] = (4, 4),
        heads: int = 4,
        window: int = 8,
        bands: int = 1,
    ) -> None:
        super().__init__(scale, bands)
        self.core_multiple = window
        groups: list[SwinGroup] = []
        margin = 2  # before the tail and the convolution that ends the body, 1 each
        for depth in reversed(depths):
            group, margin = _group(width, depth, heads, window, margin)
            groups.insert(0, group)
        self.head = nn.Conv2d(bands, width, 3)
        self.body = nn.Sequential(*groups, nn.Conv2d(width, width, 3))
        self.tail = nn.Conv2d(width, bands * scale**2, 3)
        self.halo = margin + 1

    def residual(self, x: Tensor) -> Tensor:
        features = self.head(x)  # (N, W, Y + 2 (halo - 1), ...)
        deep = self.body(features) + centre_crop(features, self.halo - 2)  # (N, W, Y + 2, X + 2)
        return functional.pixel_shuffle(self.tail(deep), self.scale)


def _group(width: int, depth: int, heads: int, window: int, after: int) -> tuple[SwinGroup, int]:
    """A group whose output has a margin of `after`, and the margin of its input."""
    layers: list[SwinLayer] = []
    margin = after + 1
    for index in reversed(range(depth)):
        needed = grown_to_grid(margin, window, window // 2 if index % 2 else 0)
        layers.insert(0, SwinLayer(width, window, heads, needed - margin))
        margin = needed
    return SwinGroup(width, layers, margin - after), margin


def relative_positions(window: int) -> Tensor:
    """Index (m * m, m * m) into (2 m - 1)^2 offsets for every pair of tokens of a window."""
    place = torch.stack(torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij")).flatten(1)
    offset = place[:, :, None] - place[:, None, :] + window - 1  # (2, m * m, m * m)
    return offset[0] * (2 * window - 1) + offset[1]
