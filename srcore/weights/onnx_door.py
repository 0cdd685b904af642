"""The door of ONNX files: what a graph may hold, looked at before anything of it is computed.

Operators of the standard's own domain, weights that are numbers, and everything in the file: a graph that comes in may
have its weights in files beside it, which are read here and put into it; one of ours never has.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, TensorProto, checker, inliner, numpy_helper

from srcore.errors import CheckpointError, shortened
from srcore.regular import read_part, read_regular
from srcore.weights.onnx_graph import first_line

MAX_ONNX_BYTES = 2**31 - 1
"""What protobuf can hold; a network of this project has a thousandth of it."""
DOMAINS = ("", "ai.onnx")
UNSTEADY = {"Loop", "Scan", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli"}
UNSTEADY |= {"Multinomial", "SequenceMap"}
"""Operators by which the same input gives other numbers, or other work, each time."""
NODE_BYTES = 256
"""Of an operator in memory, beside what it holds."""
LARGEST_OFFSET = 2**62
MAX_CALLS = 64
"""Functions within each other."""
Key = tuple[str, str, str]


def read_onnx(path: Path) -> bytes:
    """The content of an ONNX file; CheckpointError MODEL_TOO_LARGE from 2 GB on, NOT_READABLE."""
    try:
        return read_regular(path, MAX_ONNX_BYTES)
    except OSError as error:
        large = error.errno == errno.EFBIG
        raise CheckpointError(
            f"{path} cannot be read",
            error.strerror or "",
            "use a smaller model" if large else "give a file",
            code="MODEL_TOO_LARGE" if large else "NOT_READABLE",
        ) from error


def sound_model(raw: bytes, path: Path, beside: Path | None = None) -> ModelProto:
    """The graph in `raw`, its functions written out and its weights within; `path` is named in errors.

    Weights in files of their own are read from the folder `beside`, None: not at all. CheckpointError BAD_CHECKPOINT
    for what is no ONNX, ONNX_OPERATOR, ONNX_EXTERNAL, WEIGHTS_NONFINITE, MODEL_TOO_LARGE.
    """
    try:
        return _sound(raw, path, beside)
    except CheckpointError:
        raise
    except (TypeError, ValueError, LookupError, ArithmeticError) as error:  # as of names that are no text
        raise _refused(path, "is not an ONNX file", first_line(error), "export it again") from error


def _sound(raw: bytes, path: Path, beside: Path | None) -> ModelProto:
    model = ModelProto()
    try:
        model.ParseFromString(raw)
    except (DecodeError, RecursionError) as error:
        raise _refused(path, "is not an ONNX file", first_line(error), "export it again") from error
    if not model.graph.node:
        raise _refused(path, "is not an ONNX file", "no graph in it", "export it again")
    if model.functions:
        _refuse_growth(model, path)
        model = _inlined(model, path)
    del model.functions[:], model.training_info[:]  # nobody looks at them below, and nothing needs them
    _check_operators(model, path)
    _embed(model, path, beside)
    _check_numbers(model, path)
    for value in model.graph.output:
        value.type.tensor_type.shape.SetInParent()  # programs leave it out, and the checker wants one
    try:
        checker.check_model(model)
    except (checker.ValidationError, ValueError, RuntimeError) as error:
        unknown = "No Op registered" in str(error) or "opset" in str(error)
        code = "ONNX_OPERATOR" if unknown else "BAD_CHECKPOINT"
        raise _refused(path, "is no valid ONNX graph", first_line(error), "export it again", code=code) from error
    return model


def _refused(path: Path, what: str, found: str, do: str, *, code: str = "BAD_CHECKPOINT") -> CheckpointError:
    return CheckpointError(f"{path} {what}", shortened(found), do, code=code)


def _refuse_growth(model: ModelProto, path: Path) -> None:
    """Functions that call functions grow by powers: what they come to is counted before they are written out."""
    bodies = {(_domain(one.domain), one.name, one.overload): one for one in model.functions}
    try:
        total = model.ByteSize() + _written_out_bytes(nodes_of(model.graph), bodies, {})
    except RecursionError as error:
        do = "export it again, without them"
        raise _refused(path, "has functions within each other", f"{MAX_CALLS} and more", do) from error
    if total > MAX_ONNX_BYTES:
        do = "use a smaller model"
        raise _refused(path, "is too large", "2 GB of functions or more", do, code="MODEL_TOO_LARGE")


def _written_out_bytes(
    nodes: Iterable[NodeProto], bodies: Mapping[Key, FunctionProto], known: dict[Key, int], depth: int = 0
) -> int:
    """Of nodes with the functions that they call, each as often as it is called; RecursionError for endless ones."""
    if depth > MAX_CALLS:
        raise RecursionError
    total = 0
    for node in nodes:
        total += NODE_BYTES
        key = (_domain(node.domain), node.op_type, node.overload)
        if key in bodies and key not in known:
            own = bodies[key]
            known[key] = own.ByteSize() + _written_out_bytes(nodes_of(own), bodies, known, depth + 1)
        total += known.get(key, 0)
    return total


def _domain(name: str) -> str:
    return "" if name in DOMAINS else name


def _inlined(model: ModelProto, path: Path) -> ModelProto:
    try:
        return inliner.inline_local_functions(model)
    except Exception as error:  # what the C++ of onnx raises has no class of its own
        raise _refused(
            path, "has functions that cannot be written out", first_line(error), "export it again"
        ) from error


def nodes_of(graph: GraphProto | FunctionProto) -> Iterator[NodeProto]:
    """All nodes, also those of graphs within."""
    for node in graph.node:
        yield node
        for inner in _graphs_in(node):
            yield from nodes_of(inner)


def _graphs_in(node: NodeProto) -> Iterator[GraphProto]:
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def _check_operators(model: ModelProto, path: Path) -> None:
    for node in nodes_of(model.graph):
        if node.domain not in DOMAINS:
            found = f"operator {node.op_type} of the domain {node.domain}"
            raise _refused(
                path, "uses a custom domain", found, "export it with ONNX's own operators", code="ONNX_OPERATOR"
            )
        if node.op_type in UNSTEADY:
            do = "export it for inference, without loops and random numbers"
            raise _refused(path, "is not one fixed function", f"operator {node.op_type}", do, code="ONNX_OPERATOR")
        known = {one.domain: one.version for one in model.opset_import}
        version = next((known[domain] for domain in DOMAINS if domain in known), 0)
        if not onnx.defs.has(node.op_type, version, "") if version else True:
            do = "export it with ONNX's own operators"
            raise _refused(
                path, "has an unknown operator", f"{node.op_type} in opset {version}", do, code="ONNX_OPERATOR"
            )


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """All numbers that the file holds: of the graph, of graphs within, of constants."""
    yield from _tensors_in(model.graph)


def _tensors_in(graph: GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
    for node in graph.node:
        for attribute in node.attribute:
            yield from [attribute.t] if attribute.HasField("t") else []
            yield from attribute.tensors
            alone = [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else []
            for sparse in (*attribute.sparse_tensors, *alone):
                yield from (sparse.values, sparse.indices)
        for inner in _graphs_in(node):
            yield from _tensors_in(inner)


def _embed(model: ModelProto, path: Path, beside: Path | None) -> None:
    """Put weights that lie in other files of the folder into the graph."""
    total = 0
    for tensor in tensors_of(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        facts = {entry.key: entry.value for entry in tensor.external_data}
        data = _external(facts, path, beside)
        total += len(data)
        if total > MAX_ONNX_BYTES:
            raise _refused(
                path, "is too large", "2 GB of weights or more", "use a smaller model", code="MODEL_TOO_LARGE"
            )
        tensor.raw_data = data
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _external(facts: dict[str, str], path: Path, beside: Path | None) -> bytes:
    name = facts.get("location", "")
    where = PurePosixPath(name)
    file = None if beside is None else beside / name
    outside = not name or where.is_absolute() or ".." in where.parts or "\\" in name or "\0" in name
    if file is None or outside or not file.resolve().is_relative_to(beside.resolve()):  # type: ignore[union-attr]
        do = "export it with its weights within"
        raise _refused(path, "has weights in a file outside its folder", repr(name), do, code="ONNX_EXTERNAL")
    try:
        start, length = int(facts.get("offset", "0")), int(facts.get("length", "-1"))
        if not 0 <= start < LARGEST_OFFSET:
            raise ValueError(f"offset {start:.6g}")
        raw = read_part(file, start, None if length < 0 else length, MAX_ONNX_BYTES)
    except (OSError, ValueError) as error:
        found = f"{name}: {getattr(error, 'strerror', None) or first_line(error)}"
        raise _refused(
            path, "has weights in a file that cannot be read", found, "put it beside", code="ONNX_EXTERNAL"
        ) from error
    if len(raw) < length:
        found = f"{name} has {len(raw)} bytes from {start} on, {length} are named"
        raise _refused(path, "has weights in a file that is too short", found, "put it beside", code="ONNX_EXTERNAL")
    return raw


def _check_numbers(model: ModelProto, path: Path) -> None:
    """No NaN; infinity as a single number alone, where it is the end of a range."""
    for tensor in tensors_of(model):
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, KeyError) as error:
            found = f"{tensor.name or 'a constant'}: {first_line(error)}"
            raise _refused(path, "has weights that do not fit their shape", found, "export it again") from error
        if not _usable(values):
            found = tensor.name or "a constant"
            raise _refused(
                path,
                "has weights that are no numbers",
                found,
                "use a model that was trained to its end",
                code="WEIGHTS_NONFINITE",
            )


def _usable(values: np.ndarray[Any, Any]) -> bool:
    if values.dtype.kind != "f":
        return True
    return bool(np.isfinite(values).all() if values.size > 1 else not np.isnan(values).any())
