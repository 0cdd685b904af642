"""The weights of a generator: safetensors, or an ONNX graph with its weights; their digest is checked at every load."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from srcore.checkpoints import ONNX, SPEC, Architecture, Spec, read_spec
from srcore.errors import CheckpointError
from srcore.models import GENERATORS, Generator
from srcore.models.halo import activation_bytes_px
from srcore.regular import MAX_WEIGHTS_BYTES, read_regular
from srcore.weights.onnx_graph import OnnxGraph, need_onnx

KINDS: dict[str, type[Generator]] = {**GENERATORS, ONNX: OnnxGraph}

MAX_SCALE = 8
MAX_NUMBERS = 2**30
"""Weights of a generator: a thousand times what any here has."""
UNSAFE = "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD"
"""With it torch unpickles, and so runs, whatever a checkpoint holds."""


def load_generator(folder: Path) -> tuple[Spec, Generator]:
    """The generator of a checkpoint folder in float32 and eval mode, with its spec.

    CheckpointError when the architecture is unknown, the digest differs or the tensors do not fit.
    """
    refuse_unsafe_torch()
    spec = read_spec(folder)
    sketch = _sketch(spec)
    path = folder / spec.weights_file
    raw = b"" if spec.weights_sha256 is None else _read_named(path, spec)
    if isinstance(sketch, OnnxGraph):
        return spec, _graph(spec, raw, path)
    tensors = _tensors_in(raw, path) if raw else {}
    if tensors:
        check_fit(path, tensors, sketch)  # before a byte of memory is taken for what the spec asks for
    generator = build(spec)
    if spec.weights_sha256 is not None:
        generator.load_state_dict(tensors)
    elif any(True for _ in generator.parameters()):
        raise CheckpointError(f"{folder / SPEC} names no weights_sha256", "a generator with weights", "import it again")
    return spec, generator.eval()


def refuse_unsafe_torch() -> None:
    """CheckpointError UNSAFE_TORCH where the environment lets torch run what a pickle holds."""
    if os.environ.get(UNSAFE):
        raise CheckpointError(
            f"{UNSAFE} is set",
            os.environ[UNSAFE],
            "unset it: with it torch runs what a pickle holds",
            code="UNSAFE_TORCH",
        )


def _graph(spec: Spec, raw: bytes, path: Path) -> Generator:
    """The generator of a checkpoint that came as an ONNX graph: what comes through the door again is what runs."""
    need_onnx()
    from srcore.weights.onnx_door import sound_model  # an extra: only those who have such a model need it

    if spec.architecture.params.get("scale") != list(spec.scale) or spec.zoom != spec.architecture.params.get(
        "zoom", 1
    ):
        raise CheckpointError(f"{path.parent / SPEC} contradicts itself", "two scales", "import the model again")
    generator = build(spec)
    assert isinstance(generator, OnnxGraph)
    generator.model = bytes(sound_model(raw, path).SerializeToString(deterministic=True))
    return generator.eval()


def describe(name: str, architecture: Architecture, **facts: Any) -> Spec:
    """The spec of a generator of `architecture`, its geometry taken from the class; `facts` are its other fields."""
    blank = Spec(name=name, architecture=architecture, scale=(1, 1), halo=(0, 0))
    generator = build(blank)
    geometry: dict[str, Any] = {
        "kind": "raster" if generator.axes == 2 else "volume",
        "scale": generator.scales,
        "halo": (generator.halo,) * generator.axes,
        "core_multiple": generator.core_multiple,
        "activation_bytes_px": max(64, activation_bytes_px(generator)),
        "bands": "any" if generator.bands == 1 or generator.zoom > 1 else generator.bands,
        "zoom": generator.zoom,
    }
    return blank.model_copy(update=geometry | facts)


def build(spec: Spec) -> Generator:
    """A generator of the spec's architecture with fresh weights; CheckpointError when there is no such generator."""
    _sketch(spec)
    return KINDS[spec.architecture.name](**spec.architecture.params)


def _sketch(spec: Spec) -> Generator:
    """The generator without its numbers: names and shapes, which take no memory. CheckpointError as `build`."""
    _check_scale(spec)
    name, params = spec.architecture.name, spec.architecture.params
    if name not in KINDS:
        raise CheckpointError(f"unknown architecture in {spec.name}", name, f"use one of {', '.join(KINDS)}")
    known = signature(KINDS[name]).parameters
    if unknown := sorted(set(params) - set(known)):
        raise CheckpointError(
            f"architecture {name} of {spec.name} has no param {unknown[0]}", "", f"known are {', '.join(known)}"
        )
    try:
        with torch.device("meta"):
            sketch = KINDS[name](**params)
    except (TypeError, ValueError, RuntimeError, ArithmeticError, IndexError, AssertionError) as error:
        raise CheckpointError(
            f"architecture {name} does not take the params of {spec.name}",
            _first_line(error),
            f"correct {', '.join(f'{key}: {value!r:.60}' for key, value in params.items())}",
        ) from error
    if (numbers := sum(tensor.numel() for tensor in sketch.state_dict().values())) > MAX_NUMBERS:
        raise CheckpointError(f"{spec.name} is too large", f"{numbers} weights", f"{MAX_NUMBERS} at most")
    return sketch


def check_fit(path: Path, tensors: Mapping[str, Any], sketch: Generator) -> None:
    """CheckpointError unless the tensors are those that the generator has, and of their shapes."""
    asked = {name: tuple(tensor.shape) for name, tensor in sketch.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    if wrong := sorted(name for name in {*asked, *found} if asked.get(name) != found.get(name)):
        shapes = [_times(shape.get(wrong[0])) for shape in (found, asked)]
        raise CheckpointError(
            f"{path} does not fit the architecture of its spec",
            f"{len(wrong)} tensors differ; {wrong[0]} is {shapes[0]}, and should be {shapes[1]}",
            "import or export the model again",
        )


def _times(shape: tuple[int, ...] | None) -> str:
    return "missing" if shape is None else "x".join(map(str, shape)) or "a number"


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__


def _check_scale(spec: Spec) -> None:
    scale = spec.architecture.params.get("scale", 2)
    parts = scale if isinstance(scale, (list, tuple)) else [scale]
    if not all(isinstance(part, int) and 1 <= part <= MAX_SCALE for part in parts):
        raise CheckpointError(f"{spec.name} has a wrong scale", repr(scale), f"give whole numbers of 1 to {MAX_SCALE}")


def save_checkpoint(folder: Path, spec: Spec, generator: Generator, card: str) -> Spec:
    """Write config.json, the weights and README.md into `folder`; gives the spec with its digest filled in.

    What stood there stays until all of it is written: a full disk costs no checkpoint.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files: dict[str, bytes] = {}
    tensors = {name: tensor.detach().float().contiguous() for name, tensor in generator.state_dict().items()}
    weights = generator.model if isinstance(generator, OnnxGraph) else save(tensors) if tensors else b""
    if weights:
        files[spec.weights_file] = weights
        spec = spec.model_copy(update={"weights_sha256": hashlib.sha256(weights).hexdigest()})
    files[SPEC] = (spec.model_dump_json(indent=2) + "\n").encode()
    files["README.md"] = card.encode()
    for name, content in files.items():
        (folder / f".{name}.partial").write_bytes(content)
    for name in files:
        os.replace(folder / f".{name}.partial", folder / name)
    return spec


def _read_named(path: Path, spec: Spec) -> bytes:
    """The content of the file of weights; CheckpointError CHECKPOINT_DIGEST when it is not what the spec names."""
    try:
        raw = read_regular(path, MAX_WEIGHTS_BYTES)
    except OSError as error:
        raise CheckpointError(
            f"{path} cannot be read", error.strerror or "", "restore the checkpoint", code="NOT_READABLE"
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != spec.weights_sha256:
        raise CheckpointError(
            f"{path} is not the file that its spec names",
            f"sha256 {found[:12]}, expected {(spec.weights_sha256 or '')[:12]}",
            "restore the checkpoint",
            code="CHECKPOINT_DIGEST",
        )
    return raw


def _tensors_in(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        return dict(load(raw))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a safetensors file", str(error), "restore the checkpoint") from error
