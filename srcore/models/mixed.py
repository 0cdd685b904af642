"""An EDSR, of planes or volumes, in another form with the same numbers: what is linear is exact, what is deep may be
rounded.

    SR = shuffle(linear(x) + deep(x))

`linear` is one float32 convolution: the cubic base, and tail(head(x)), the long skip of the network. `deep` is
all that lies behind a ReLU; its last two convolutions have nothing between them and are one. In bfloat16 the LR
goes in as its rounded value and the rest (x = hi + lo), so that the step of the format (20 of 10,000 DN at the
upper end) is not the error of the result.
"""

from __future__ import annotations

from typing import TypeAlias, TypeGuard, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import ResidualBlock, centre_crop, voxel_shuffle
from srcore.models.edsr import Edsr
from srcore.models.edsr_volume import EdsrVolume
from srcore.models.generator import Generator

Mixable: TypeAlias = "Edsr | EdsrVolume"


class Deep(nn.Module):
    """The deep part of an EDSR: (N, P, Y + 2 halo, X + 2 halo) to (N, scale^2, Y, X), P parts of the input.

    Of volumes likewise, with Z before Y. In float32 one part, the input; in bfloat16 three, see `split`.
    """

    def __init__(self, generator: Mixable, dtype: torch.dtype) -> None:
        super().__init__()
        *blocks, last = cast(list[nn.Module], list(generator.body))
        self.head = _convolution(*_head(generator.head, dtype))
        self.blocks = nn.ModuleList(_block(cast(ResidualBlock, block)) for block in blocks)
        weight, _ = _tail_after(generator, cast(nn.Conv2d | nn.Conv3d, last))
        self.tail = _convolution(weight, None)
        # the overloads of Module.to leave its memory format out
        self.to(dtype).to(memory_format=generator.memory_format)  # type: ignore[call-overload]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        deep = self.head(x)
        for block in self.blocks:
            deep = block(deep)
        return cast(Tensor, self.tail(deep))


def is_mixable(generator: Generator) -> TypeGuard[Mixable]:
    """True for the generators that have this form: an EDSR that sees band by band."""
    return isinstance(generator, (Edsr, EdsrVolume)) and generator.bands == 1


class Mixed(Generator):
    """A generator with a float32 linear part and a deep part in `dtype`; of an EDSR, which is not changed.

    `deep` can be replaced by whatever computes the same.
    """

    def __init__(self, generator: Mixable, dtype: torch.dtype) -> None:
        super().__init__()
        self.scale, self.halo, self.dtype = generator.scale, generator.halo, dtype
        self.axes, self.sizes = generator.axes, generator.scales
        self.deep: nn.Module = Deep(generator, dtype)
        kernel, bias = _linear(generator)
        self.margin_px = kernel.shape[-1] // 2
        self.register_buffer("kernel", kernel, persistent=False)
        self.register_buffer("bias", bias, persistent=False)

    @property
    def scales(self) -> tuple[int, ...]:
        return self.sizes

    def forward(self, x: Tensor) -> Tensor:  # (N, 1, Y + 2 halo, X + 2 halo) -> (N, 1, Y * s, X * s), or with Z
        near = centre_crop(x, self.halo - self.margin_px, self.axes)
        linear = _convolve(near, cast(Tensor, self.kernel), cast(Tensor, self.bias))
        phases = linear + self.deep(split(x, self.dtype))
        if self.axes == 2:
            return functional.pixel_shuffle(phases, self.scale)
        return voxel_shuffle(phases, cast("tuple[int, int, int]", self.sizes))


def split(x: Tensor, dtype: torch.dtype) -> Tensor:
    """x (N, 1, ..., Y, X) as the parts that `Deep` takes: itself, or rounded, the rest, and rounded again (N, 3, ...).

    The third meets the rest of the head's weights.
    """
    if dtype == torch.float32:
        return x
    high = x.to(dtype)
    parts = torch.cat([high, (x - high).to(dtype), high], dim=1)
    return parts.contiguous(memory_format=torch.channels_last if x.ndim == 4 else torch.channels_last_3d)


def _convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    return (functional.conv2d if weight.ndim == 4 else functional.conv3d)(x, weight, bias)


def _head(head: nn.Conv2d | nn.Conv3d, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    weight = head.weight.detach()
    if dtype == torch.float32:
        return weight, head.bias
    high = weight.to(dtype).float()
    return torch.cat([high, high, weight - high], dim=1), head.bias


def _block(block: ResidualBlock) -> ResidualBlock:
    copy = ResidualBlock(block.conv1.out_channels, block.conv1.bias is not None, type(block.conv1))
    copy.load_state_dict(block.state_dict())
    return copy


def _tail_after(generator: Mixable, last: nn.Conv2d | nn.Conv3d) -> tuple[Tensor, Tensor]:
    """Weights of tail(last(.)) as one convolution, and the bias of tail(last(.) + head(.))."""
    tail = generator.tail
    inner = sum((conv.bias for conv in (last, generator.head) if conv.bias is not None), torch.zeros(()))
    bias = (tail.weight.flatten(2).sum(dim=2) * inner).sum(dim=1)
    return compose(tail.weight, last.weight), (bias if tail.bias is None else bias + tail.bias).detach()


def _linear(generator: Mixable) -> tuple[Tensor, Tensor]:
    """The kernel of base(x) + tail(head(x)), and all biases that reach the output without a ReLU.

    (s * s, 1, 5, 5), of volumes (z * y * x, 1, 5, 5, 5).
    """
    skip = compose(generator.tail.weight, generator.head.weight)
    kernel = cast(Tensor, generator.base.kernel) + skip  # both have 5 taps an axis
    return kernel, _tail_after(generator, cast(nn.Conv2d | nn.Conv3d, generator.body[-1]))[1]


def compose(outer: Tensor, inner: Tensor) -> Tensor:
    """The weights of the one convolution that does what `outer` after `inner` does; computed in float64."""
    pad = [side for n in reversed(outer.shape[2:]) for side in (n - 1, n - 1)]
    rows = functional.pad(inner.detach().double().transpose(0, 1), pad)  # (I, M, ..., y, x)
    flipped = outer.detach().double().flip(list(range(2, outer.ndim)))
    return _convolve(rows, flipped).transpose(0, 1).float().contiguous()


def _convolution(weight: Tensor, bias: Tensor | None) -> nn.Conv2d | nn.Conv3d:
    kind = nn.Conv2d if weight.ndim == 4 else nn.Conv3d
    layer = kind(weight.shape[1], weight.shape[0], weight.shape[-1], bias=bias is not None)
    layer.weight.data = weight.detach().clone()
    if bias is not None:
        cast(Tensor, layer.bias).data = bias.detach().clone()
    return layer
