"""An EDSR in another form with the same numbers: what is linear is exact, what is deep may be rounded.

    SR = shuffle(linear(x) + deep(x))

`linear` is one float32 convolution: the cubic base, and tail(head(x)), the long skip of the network. `deep` is
all that lies behind a ReLU; its last two convolutions have nothing between them and are one. In bfloat16 the LR
goes in as its rounded value and the rest (x = hi + lo), so that the step of the format (20 of 10,000 DN at the
upper end) is not the error of the result.
"""

from __future__ import annotations

from typing import TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import ResidualBlock, centre_crop
from srcore.models.edsr import Edsr
from srcore.models.generator import Generator


class Deep(nn.Module):
    """The deep part of an EDSR: (N, P, Y + 2 halo, X + 2 halo) to (N, scale^2, Y, X), P parts of the input.

    In float32 one part, the input; in bfloat16 three, see `split`.
    """

    def __init__(self, generator: Edsr, dtype: torch.dtype) -> None:
        super().__init__()
        *blocks, last = cast(list[nn.Module], list(generator.body))
        self.head = _convolution(*_head(generator.head, dtype))
        self.blocks = nn.ModuleList(_block(cast(ResidualBlock, block)) for block in blocks)
        weight, _ = _tail_after(generator, cast(nn.Conv2d, last))
        self.tail = _convolution(weight, None)
        self.to(dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.head(x)
        for block in self.blocks:
            deep = block(deep)
        return cast(Tensor, self.tail(deep))


def is_mixable(generator: Generator) -> TypeGuard[Edsr]:
    """True for the generators that have this form: an EDSR that sees band by band."""
    return isinstance(generator, Edsr) and generator.bands == 1


class Mixed(Generator):
    """A generator with a float32 linear part and a deep part in `dtype`; of an EDSR, which is not changed.

    `deep` can be replaced by whatever computes the same.
    """

    def __init__(self, generator: Edsr, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale, self.halo, self.dtype = generator.scale, generator.halo, dtype
        self.deep: nn.Module = Deep(generator, dtype)
        kernel, bias = _linear(generator)
        self.margin_px = kernel.shape[-1] // 2
        self.register_buffer("kernel", kernel, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, Y + 2 halo, X + 2 halo) -> (N, 1, Y * s, X * s)
        near = centre_crop(x, self.halo - self.margin_px)
        linear = functional.conv2d(near, cast(Tensor, self.kernel), cast(Tensor, self.bias))
        return functional.pixel_shuffle(linear + self.deep(split(x, self.dtype)), self.scale)


def split(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x (N, 1, Y, X) as the parts that `Deep` takes: itself, or rounded, the rest, and rounded again (N, 3, Y, X).

    The third meets the rest of the head's weights.
    """
    if dtype == torch.float32:
        return x
    high = x.to(dtype)
    return torch.cat([high, (x - high).to(dtype), high], dim=1).contiguous(memory_format=torch.channels_last)


def _head(head: nn.Conv2d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    weight = head.weight.detach()
    if dtype == torch.float32:
        return weight, head.bias
    high = weight.to(dtype).float()
    return torch.cat([high, high, weight - high], dim=1), head.bias


def _block(block: ResidualBlock) -> ResidualBlock:
    copy = ResidualBlock(block.conv1.out_channels, block.conv1.bias is not None)
    copy.load_state_dict(block.state_dict())
    return copy


def _tail_after(generator: Edsr, last: nn.Conv2d) -> tuple[Tensor, Tensor]:
    """Weights of tail(last(.)) as one convolution, and the bias of tail(last(.) + head(.))."""
    tail = generator.tail
    inner = sum((conv.bias for conv in (last, generator.head) if conv.bias is not None), torch.zeros(()))
    bias = (tail.weight.sum(dim=(2, 3)) * inner).sum(dim=1)
    return compose(tail.weight, last.weight), (bias if tail.bias is None else bias + tail.bias).detach()


def _linear(generator: Edsr) -> tuple[Tensor, Tensor]:
    """The kernel (s * s, 1, 5, 5) of base(x) + tail(head(x)), and all biases that reach the output without a ReLU."""
    skip = compose(generator.tail.weight, generator.head.weight)
    kernel = cast(Tensor, generator.base.kernel) + skip  # both are 5 x 5
    return kernel, _tail_after(generator, cast(nn.Conv2d, generator.body[-1]))[1]


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The weights of the one convolution that does what `outer` after `inner` does; computed in float64."""
    pad = [side for n in reversed(outer.shape[-2:]) for side in (n - 1, n - 1)]
    rows = functional.pad(inner.detach().double().transpose(0, 1), pad)  # (I, M, y, x)
    return functional.conv2d(rows, outer.detach().double().flip(-1, -2)).transpose(0, 1).float().contiguous()


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d:
    rows, columns = weight.shape[-2:]
    layer = nn.Conv2d(weight.shape[1], weight.shape[0], (rows, columns), bias=bias is not None)
    layer.weight.data = weight.detach().clone()
    if bias is not None:
        cast(Tensor, layer.bias).data = bias.detach().clone()
    return layer
