"""Convolutions of oneDNN with the ReLU or the sum done while the numbers are still in registers.

The operators are the ones that torch's own compiler emits; they are not part of torch's public interface, so they
count only where `works` has seen them give the numbers of the plain ones.
"""

from __future__ import annotations

from functools import lru_cache
from math import ceil

import torch
from torch import Tensor, nn

from srcore.models.blocks import ResidualBlock, centre_crop
from srcore.models.mixed import Deep

_ONE, _ZERO = [1, 1], [0, 0]
STRIP_PX = 2**17
"""Of a block's output at once. Of tiles of 1,024 px, float32 and 48 channels, what lies between a block's convolutions
is 25 MiB of a strip and 200 MiB of a tile; the two rows more that a strip computes cost 0.8 %. 64 and 256 rows were no
faster than these 128."""


class FusedBlock(nn.Module):
    """A ResidualBlock in two passes over the memory, strip by strip of rows: the same bits as in one piece."""

    def __init__(self, block: ResidualBlock, strip_px: int = STRIP_PX) -> None:
        super().__init__()
        self.block, self.strip_px = block, strip_px

    def forward(self, x: Tensor) -> Tensor:
        total = centre_crop(x, self.block.margin_px).contiguous(memory_format=torch.channels_last)
        height, width = total.shape[-2:]
        # rows of one image lie together in channels_last, those of several do not
        strips = ceil(height * width / self.strip_px) if len(total) == 1 else 1
        rows = ceil(height / strips)
        for top in range(0, height, rows):
            self._add(total[..., top : top + rows, :], x[..., top : top + rows + 2 * self.block.margin_px, :])
        return total

    def _add(self, total: Tensor, x: Tensor) -> None:
        """conv(relu(conv(x))) (N, W, Y, X) of x (N, W, Y + 4, X + 4), added to `total` in place."""
        first, second = self.block.conv1, self.block.conv2
        operators = torch.ops.mkldnn
        inner = operators._convolution_pointwise(x, first.weight, first.bias, _ZERO, _ONE, _ONE, 1, "relu", [], "")
        operators._convolution_pointwise_.binary(
            total, inner, second.weight, second.bias, _ZERO, _ONE, _ONE, 1, "add", 1.0, None, [], None
        )


def fuse(deep: Deep) -> Deep:
    """`deep` with its blocks fused; the weights are shared."""
    for index, block in enumerate(deep.blocks):
        if isinstance(block, ResidualBlock):
            deep.blocks[index] = FusedBlock(block)
    return deep


@lru_cache(maxsize=4)
def works(dtype: torch.dtype) -> bool:
    """True where the operators are there and agree with plain convolutions on a small block."""
    torch_generator = torch.Generator().manual_seed(3)
    block = ResidualBlock(16, bias=True).to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    for parameter in block.parameters():
        parameter.data = torch.rand(parameter.shape, generator=torch_generator).sub(0.5).div(8).to(dtype)
    x = torch.rand(1, 16, 12, 14, generator=torch_generator).to(dtype).to(memory_format=torch.channels_last)
    try:
        with torch.inference_mode():
            found, expected = FusedBlock(block, strip_px=30)(x), block(x)
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False  # another build of torch, or a processor that its oneDNN does not serve
    limit = 0.02 if dtype == torch.bfloat16 else 1e-5
    return bool((found - expected).abs().max() <= limit * expected.abs().max())
