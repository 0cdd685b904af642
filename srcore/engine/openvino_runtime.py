"""OpenVINO as a backend, on the CPU: the only module that imports it. One stream, static shapes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import openvino
import torch
from openvino.frontend import FrontEndManager
from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder
from torch import Tensor, nn

from srcore.models.mixed import Deep, split

SHAPES = 8
"""Compiled shapes that are kept: of tiles inside and at the edges, and of their halves when memory is short."""
HINTS = {"float32": "f32", "bfloat16": "bf16", "int8": "bf16"}
"""What is not int8 in an int8 network computes in bfloat16."""


class OpenVinoDeep(nn.Module):
    """A `Deep` computed by OpenVINO, in as many threads as torch has when it is made."""

    def __init__(self, deep: Deep, precision: str, dtype: torch.dtype, samples: Sequence[Tensor] = ()) -> None:
        super().__init__()
        # bfloat16 numbers fit in float32 as they are: the graph holds the very weights that torch would use.
        self._source = deepcopy(deep).float()
        self._options = {
            "INFERENCE_PRECISION_HINT": HINTS[precision],
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "ENABLE_CPU_PINNING": False,
        }
        self._core = openvino.Core()
        self._requests: OrderedDict[tuple[int, ...], Any] = OrderedDict()
        self._model = _convert(self._source)
        if precision == "int8":
            from srcore.engine.quantised import quantise_deep

            self._model = quantise_deep(self._model, [split(one, dtype).float().numpy() for one in samples])

    def forward(self, x: Tensor) -> Tensor:  # (N, P, Y + 2 halo, X + 2 halo) -> (N, s * s, Y, X) float32
        request = self._request(tuple(x.shape))
        block = np.ascontiguousarray(x.float().numpy())
        request.infer([openvino.Tensor(block, shared_memory=True)])
        return torch.from_numpy(request.get_output_tensor(0).data.copy())

    def _request(self, shape: tuple[int, ...]) -> Any:
        if shape not in self._requests:
            model = self._model.clone()
            model.reshape(list(shape))
            self._requests[shape] = self._core.compile_model(model, "CPU", self._options).create_infer_request()
            while len(self._requests) > SHAPES:
                self._requests.popitem(last=False)
        self._requests.move_to_end(shape)
        return self._requests[shape]


def _convert(deep: Deep) -> Any:
    """The graph of `deep` with free sizes.

    By the frontend itself: `openvino.convert_model` reports each use to its makers.
    """
    side = 2 * (2 * len(deep.blocks) + 4) + 8
    example = torch.zeros(1, deep.head.in_channels, *(side,) * (deep.head.weight.ndim - 2))
    with torch.inference_mode(False), torch.no_grad():
        traced = torch.jit.trace(deep, example, check_trace=False)  # type: ignore[no-untyped-call]
    frontend = FrontEndManager().load_by_framework("pytorch")
    decoder = TorchScriptPythonDecoder(traced, example_input=(example,))  # has to live until the end of `convert`
    return frontend.convert(frontend.load(decoder))
