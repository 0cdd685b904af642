"""A model as an ONNX file: any height, width and batch, compared with the model itself before it is published.

The file's metadata hold the spec, so that whoever imports it gets back what the model is.
"""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor

from srcore.checkpoints import Spec
from srcore.engine.opening import prove
from srcore.errors import CheckpointError, SRError, StoreError
from srcore.exchange.averages import written_out
from srcore.exchange.place import seen
from srcore.models import Generator
from srcore.storage.disk.files import write_atomic
from srcore.weights import load_generator
from srcore.weights.onnx_door import sound_model
from srcore.weights.onnx_graph import OnnxGraph, first_line, open_session

OPSET = 18
NAMES = {2: ("height", "width"), 3: ("depth", "height", "width")}
SPEC_KEY, DIGEST_KEY, GRAPH_KEY = "srcore.spec", "srcore.digest", "srcore.graph"
LIMIT = 1e-6
"""Largest difference from the model, relative to the largest number of its output."""
CORES = {2: ((1, 16, 16), (2, 24, 40), (1, 65, 33)), 3: ((1, 4, 6, 8), (2, 5, 4, 7))}
"""Batch and core, in steps of the generator's own grid where it has one: what is compared."""


@dataclass(frozen=True)
class Exported:
    """What was written."""

    path: Path
    difference: float
    """The largest, relative, of all sizes that were compared."""
    sizes: tuple[str, ...]
    """Inputs that were compared, as N x B x Y x X."""
    digest: str
    """Of the model."""


def export_onnx(folder: Path, out: Path, *, overwrite: bool = False) -> Exported:
    """Write the model of a checkpoint folder to `out`, whole or not at all.

    CheckpointError EXPORT_FAILED when its layers have no ONNX form, or ONNX Runtime gives other numbers; NOT_INSTALLED
    without the extra `onnx`; StoreError OUTPUT_EXISTS when `out` is there, and is not to be replaced.
    """
    if out.is_dir() or (out.exists() and not overwrite):
        do = "give a file" if out.is_dir() else "use --overwrite, or another name"
        raise StoreError(f"{out} is there", "a folder" if out.is_dir() else "a file", do, code="OUTPUT_EXISTS")
    spec, generator = load_generator(folder)
    prove(spec, generator)
    raw = with_spec(generator.model if isinstance(generator, OnnxGraph) else graph_of(generator, spec.name), spec)
    sound_model(raw, out)
    difference, sizes = _compared(generator, raw, spec)
    write_atomic(out, raw)
    return Exported(out, difference, sizes, spec.digest)


def graph_of(generator: Generator, name: str) -> bytes:
    """The generator as an ONNX graph with free sizes; CheckpointError EXPORT_FAILED when it has no such form."""
    side = 2 * generator.halo + 4 * generator.core_multiple
    example = torch.rand(2, generator.bands, *(side + 2 * n * generator.core_multiple for n in range(generator.axes)))
    free = {0: "batch", **{axis: word for axis, word in enumerate(NAMES[generator.axes], 2)}}
    return traced(generator.eval(), example, free, name)


def traced(network: torch.nn.Module, example: Tensor, free: dict[int, str], name: str) -> bytes:
    """The ONNX file of a network whose input has free sizes on the axes `free`; errors as `graph_of`."""
    try:
        import onnxscript  # noqa: F401  # what torch's exporter needs, said before it says it in its own way
    except ImportError as error:
        raise CheckpointError(
            "onnxscript is not installed", str(error), "install srcore[onnx]", code="NOT_INSTALLED"
        ) from error
    with _quiet(), torch.no_grad():
        try:
            program: Any = torch.onnx.export(
                network,
                (example,),
                dynamo=True,
                opset_version=OPSET,
                input_names=["lr"],
                output_names=["sr"],
                dynamic_shapes=({axis: torch.export.Dim.DYNAMIC for axis in free},),
                verbose=False,
            )
        except Exception as error:  # torch's exporter raises what it likes
            raise CheckpointError(
                f"{name} has no ONNX form", first_line(error), "use a generator of plain layers", code="EXPORT_FAILED"
            ) from error
    return _tidied(written_out(program.model_proto), free)


def _tidied(model: Any, free: dict[int, str]) -> bytes:
    """Without the traces of the program that the exporter keeps, which name folders of this machine."""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in (*model.graph.input, *model.graph.output, *model.graph.value_info):
        del value.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.metadata_props[:]
    for value in model.graph.input:
        for axis, word in free.items():
            value.type.tensor_type.shape.dim[axis].dim_param = word
    return bytes(model.SerializeToString(deterministic=True))


def with_spec(raw: bytes, spec: Spec) -> bytes:
    """The file with the spec and its digest in its metadata, in place of what is there of them."""
    model = sound_model(raw, Path(spec.name))
    ours = {SPEC_KEY: spec.model_dump_json(), DIGEST_KEY: spec.digest, GRAPH_KEY: graph_digest(model)}
    kept = {one.key: one.value for one in model.metadata_props}
    del model.metadata_props[:]
    model.producer_name, model.producer_version = "srcore", ""
    for key, value in sorted({**kept, **ours}.items()):
        model.metadata_props.add(key=key, value=value)
    return bytes(model.SerializeToString(deterministic=True))


def graph_digest(model: ModelProto) -> str:
    """sha256 of the graph without what is said of it: whoever edits it afterwards makes another one."""
    return hashlib.sha256(model.graph.SerializeToString(deterministic=True)).hexdigest()


def _compared(generator: Generator, raw: bytes, spec: Spec) -> tuple[float, tuple[str, ...]]:
    session, worst, sizes = open_session(raw, plain=False), 0.0, []
    for batch, *core in CORES[generator.axes]:
        sides = [2 * generator.halo + size * generator.core_multiple for size in core]
        x = torch.stack([seen(generator, sides, 31 * one) for one in range(batch)])
        with torch.inference_mode():
            expected = _whole(generator, x)
        sizes.append("x".join(map(str, x.shape)))
        worst = max(worst, _difference(session, x, expected, spec.name))
    if not worst <= LIMIT:
        raise CheckpointError(
            f"{spec.name} gives other numbers by ONNX Runtime",
            f"a relative difference of {worst:.2g}",
            f"{LIMIT:g} at most is published",
            code="EXPORT_FAILED",
        )
    return worst, tuple(sizes)


def _whole(generator: Generator, x: Tensor) -> np.ndarray[Any, Any]:
    """What the graph itself gives, nothing cut."""
    return generator.run(x.numpy()) if isinstance(generator, OnnxGraph) else generator(x).numpy()


def _difference(session: Any, x: Tensor, expected: np.ndarray[Any, Any], name: str) -> float:
    try:
        [found] = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    except SRError:
        raise
    except Exception as error:  # ONNX Runtime's errors share no class
        raise CheckpointError(
            f"{name} does not run by ONNX Runtime at {tuple(x.shape)}", first_line(error), "", code="EXPORT_FAILED"
        ) from error
    if found.shape != expected.shape:
        return float("inf")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what the exporter tells its own developers."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "torch.export", "onnx_ir")]
    before = [one.level for one in loggers]
    for one in loggers:
        one.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for one, level in zip(loggers, before, strict=True):
            one.setLevel(level)
