"""What a CUDA device needs beside the network. torch only."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor

from srcore.models.generator import Generator

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
