"""Backends: who computes the deep part of a generator. One generator in, one that gives the same numbers out.

eager      torch's plain operators, channels_last
fused      the same with ReLU and sum inside oneDNN's convolutions (CPU)
compile    torch.compile at static shapes, weights frozen
openvino   OpenVINO at static shapes, one stream (CPU; the extra `openvino`)
graphs     CUDA graphs at static shapes, channels filled up to what cuDNN is fastest with
onnxruntime  ONNX Runtime with what it fuses, of a model that is an ONNX graph; its eager is the graph as written (CPU)
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from importlib.util import find_spec
from typing import Literal, cast

import torch
from torch import Tensor, nn

from srcore.engine import fused
from srcore.engine.cuda import Aligned, Graphed
from srcore.errors import CheckpointError
from srcore.models import Generator
from srcore.models.mixed import Deep, Mixed, is_mixable
from srcore.weights.onnx_graph import OnnxGraph

Precision = Literal["float32", "bfloat16", "int8"]
Backend = Literal["eager", "fused", "compile", "openvino", "graphs", "onnxruntime"]
BACKENDS: tuple[Backend, ...] = ("eager", "fused", "compile", "openvino", "graphs", "onnxruntime")


def installed(generator: Generator, device: torch.device, precision: Precision) -> list[Backend]:
    """The backends that can compute this generator here, the one to begin with first.

    Only an EDSR of one band has a form for other backends than eager, and `fused` and int8 are for planes alone.
    torch.compile is not counted: it compiles for half a minute in every worker; it is there for whoever asks for it.
    """
    if isinstance(generator, OnnxGraph):
        return ["onnxruntime", "eager"] if precision == "float32" else []
    if not is_mixable(generator):
        return [] if precision == "int8" else ["eager"]
    if precision == "int8":
        return ["openvino"] if generator.axes == 2 and _has_openvino(device) and find_spec("nncf") else []
    if device.type == "cuda":
        return ["graphs", "eager"]
    found: list[Backend] = ["fused"] if generator.axes == 2 and fused.works(_dtype(precision)) else []
    return [*found, "eager", *(["openvino"] if _has_openvino(device) else [])]  # type: ignore[list-item]


def refuse_missing(backend: str, generator: Generator, device: torch.device, precision: Precision) -> None:
    """CheckpointError NO_BACKEND when `backend` cannot compute this generator here."""
    there = [*installed(generator, device, precision), *(["compile"] if is_mixable(generator) else [])]
    if precision == "int8":
        there = [*installed(generator, device, precision)]
    if backend not in there:
        raise CheckpointError(
            f"backend {backend} is not there for {precision} on {device.type}",
            ", ".join(there) or "none",
            "install srcore[openvino] or use --backend auto",
            code="NO_BACKEND",
        )


def build(
    generator: Generator, backend: str, precision: Precision, device: torch.device, samples: Sequence[Tensor] = ()
) -> Generator:
    """A generator on `device` that computes what `generator` does, by `backend` and in `precision`.

    float32 in eager is the generator itself, the reference of all others. int8 is calibrated on `samples`, network
    values (1, 1, Y, X) of one shape. CheckpointError NO_BACKEND when the backend is not there.
    """
    refuse_missing(backend, generator, device, precision)
    if isinstance(generator, OnnxGraph):
        graph = deepcopy(generator)
        graph.plain = backend == "eager"
        return graph
    if not is_mixable(generator):
        return _residual_in(_dtype(precision), _reference(generator)).to(device)
    if backend == "eager" and precision == "float32":
        return _reference(generator).to(device)
    mixed = Mixed(generator, _dtype(precision))
    assert isinstance(mixed.deep, Deep)
    if backend == "openvino":
        from srcore.engine.openvino_runtime import OpenVinoDeep  # an extra: only those who ask for it need it

        mixed.deep = OpenVinoDeep(mixed.deep, precision, mixed.dtype, samples)
    elif backend == "fused":
        mixed.deep = fused.fuse(mixed.deep)
    elif backend == "graphs" and generator.axes == 2:
        mixed.deep = Aligned(mixed.deep)
    elif backend == "compile":
        mixed.deep = _compiled(mixed.deep.to(device))
    placed = mixed.eval().to(device)
    return Graphed(placed) if backend == "graphs" else placed


def _compiled(deep: Deep) -> nn.Module:
    if deep.tail.weight.device.type == "cuda":
        return cast(nn.Module, torch.compile(deep, dynamic=False))
    return cast(nn.Module, torch.compile(deep, dynamic=False, options={"freezing": True}))


def _reference(generator: Generator) -> Generator:
    copy: Generator = deepcopy(generator).to(memory_format=generator.memory_format)  # type: ignore[call-overload]
    return copy.eval()


def _residual_in(dtype: torch.dtype, copy: Generator) -> Generator:
    """`copy` with its residual branch in `dtype`; the fixed base, and what has no weights, stays in float32."""
    for name, child in copy.named_children():
        if name != "base":
            child.to(dtype)
    return copy


def _dtype(precision: Precision) -> torch.dtype:
    return torch.float32 if precision == "float32" else torch.bfloat16


def _has_openvino(device: torch.device) -> bool:
    return device.type == "cpu" and find_spec("openvino") is not None
