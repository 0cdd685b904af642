"""What a CUDA device needs beside the network. torch only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from srcore.models.blocks import ResidualBlock, centre_crop
from srcore.models.generator import Generator
from srcore.models.mixed import Deep

LANES = {torch.float32: 32, torch.bfloat16: 64}
"""Channels that are full for cuDNN: with 48 in bfloat16 it had a quarter of the speed of 64 (H100)."""
SHAPES = 8
"""Captured shapes that are kept: full batches, the last one, and what OutOfMemory leaves."""
WARM_UP = 3
"""Passes before a capture, so that libraries have chosen their kernels and hold their workspaces."""


class Graphed(Generator):
    """A generator whose passes are replayed as CUDA graphs, one a shape: no kernel waits for Python.

    A graph writes to the same place at each replay, so the result is copied out of it.
    """

    def __init__(self, generator: Generator) -> None:
        super().__init__()
        self.inner, self.scale, self.halo = generator, generator.scale, generator.halo
        self._captured: OrderedDict[tuple[int, ...], tuple[Any, Tensor, Tensor]] = OrderedDict()

    def forward(self, x: Tensor) -> Tensor:
        shape = tuple(x.shape)
        if shape not in self._captured:
            self._captured[shape] = self._capture(x)
            while len(self._captured) > SHAPES:
                self._captured.popitem(last=False)
        self._captured.move_to_end(shape)
        graph, inlet, outlet = self._captured[shape]
        inlet.copy_(x)
        graph.replay()
        return outlet.clone()

    def _capture(self, x: Tensor) -> tuple[Any, Tensor, Tensor]:
        inlet = x.clone()
        side = torch.cuda.Stream(x.device)  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream(x.device))
        with torch.cuda.stream(side):
            for _ in range(WARM_UP):
                self.inner(inlet)
        torch.cuda.current_stream(x.device).wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            outlet = self.inner(inlet)
        return graph, inlet, outlet


class Aligned(nn.Module):
    """The deep part of an EDSR of planes in the form that cuDNN is fastest in; the numbers are those of `Deep`.

    Channels are filled up with zeros to full lanes. cuDNN adds a bias by itself only before a ReLU; elsewhere it is a
    pass over memory of its own. So what a residual sum would add to all pixels alike is added later, by the bias of the
    next convolution: without padding, a constant is a constant behind it.
    """

    def __init__(self, deep: Deep) -> None:
        super().__init__()
        weight = deep.head.weight
        parts, wide = weight.shape[1], _full(weight.shape[0], LANES[weight.dtype])
        owed = (
            weight.new_zeros(weight.shape[0], dtype=torch.float64)
            if deep.head.bias is None
            else deep.head.bias.double()
        )
        self.head = _filled(weight, parts, wide, None)
        self.blocks = nn.ModuleList()
        for block in cast("list[ResidualBlock]", list(deep.blocks)):
            first, second = block.conv1, block.conv2
            bias = _behind(first.weight, owed) + (0 if first.bias is None else first.bias.double())
            self.blocks.append(
                nn.ModuleList([_filled(first.weight, wide, wide, bias), _filled(second.weight, wide, wide, None)])
            )
            owed = owed if second.bias is None else owed + second.bias.double()
        last = _behind(deep.tail.weight, owed)
        self.tail = _filled(deep.tail.weight, wide, len(last), last if bool(last.any()) else None)
        self.to(weight.dtype).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.requires_grad_(False)

    def forward(self, x: Tensor) -> Tensor:
        deep: Tensor = self.head(x)
        for first, second in cast("list[tuple[nn.Conv2d, nn.Conv2d]]", self.blocks):
            deep = second(_relu_behind(first, deep)) + centre_crop(deep, ResidualBlock.margin_px)
        phases: Tensor = self.tail(deep)
        return phases


def _full(channels: int, lanes: int) -> int:
    return -(-channels // lanes) * lanes


def _behind(weight: Tensor, constant: Tensor) -> Tensor:
    """What a convolution (O, I, y, x) makes of an image that is `constant` (I,) everywhere, in float64."""
    return weight.detach().double().sum(dim=(2, 3)) @ constant.detach()


def _filled(weight: Tensor, inputs: int, outputs: int, bias: Tensor | None) -> nn.Conv2d:
    """A convolution with as many channels; those that `weight` (O, I, y, x) does not have are zero."""
    layer = nn.Conv2d(inputs, outputs, weight.shape[-1], bias=bias is not None)
    with torch.no_grad():
        layer.weight.zero_()
        layer.weight[: weight.shape[0], : weight.shape[1]] = weight
        if bias is not None:
            cast(Tensor, layer.bias).zero_()[: len(bias)] = bias
    return layer


def _relu_behind(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """relu(conv(x)) in one kernel where cuDNN has it."""
    if not x.is_cuda:
        return functional.relu_(conv(x))
    one: Tensor = torch.cudnn_convolution_relu(x, conv.weight, conv.bias, (1, 1), (0, 0), (1, 1), 1)
    return one
