"""A model of others as a checkpoint folder: FILE.onnx, or bare weights (`bare`), measured before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from onnx import ModelProto, TensorProto
from pydantic import ValidationError
from torch import nn

from srcore.checkpoints import ONNX, Architecture, Spec
from srcore.engine import gate, prove
from srcore.engine.backends import build
from srcore.errors import CheckpointError, shortened
from srcore.exchange.export import GRAPH_KEY, SPEC_KEY, graph_digest, traced, with_spec
from srcore.exchange.facts import Facts
from srcore.exchange.measure import Said, activation_bytes_px, measured
from srcore.exchange.wishes import Wishes
from srcore.models import Generator
from srcore.weights import save_checkpoint
from srcore.weights.onnx_door import read_onnx, sound_model

CPU = torch.device("cpu")
FREE = {2: ("batch", "bands", "height", "width"), 3: ("batch", "bands", "depth", "height", "width")}


@dataclass(frozen=True)
class Origin:
    """Where a graph comes from."""

    path: Path
    name: str
    licence: str
    said: Spec | None = None
    """What its file says of it, where srcore wrote it."""


def import_onnx(path: Path, wishes: Wishes, folder: Path) -> Spec:
    """Write the checkpoint of an ONNX file into `folder`; gives its spec. CheckpointError for what cannot be used."""
    model = sound_model(read_onnx(path), path, beside=path.parent)
    said = _said(model, path)
    name = wishes.called(path, said.name if said else None)
    licence = wishes.licensed(path, said.licence if said else None)
    return import_graph(model, Origin(path, name, licence, said), wishes, folder)


def import_graph(model: ModelProto, origin: Origin, wishes: Wishes, folder: Path) -> Spec:
    """The same for a graph that is sound; `origin` names it."""
    raw, axes, bands = _freed(model, origin, wishes)
    said = origin.said
    zoom = _zoom(said, bands)
    values = wishes.range or (str(said.architecture.params.get("values", "0-1")) if said else None)
    field = Said(said.core_multiple, said.halo[-1]) if said else None
    facts = _measured(raw, axes, bands, zoom, values, field)
    _check_wishes(facts, wishes)
    spec = _spec(facts, origin, wishes)
    generator = facts.graph()
    generator.model = with_spec(raw, spec)
    prove(spec, generator)
    refuse_off(spec, generator)
    return save_checkpoint(folder, spec, generator, _card(spec, facts, origin))


def _measured(raw: bytes, axes: int, bands: int, zoom: int, values: str | None, field: Said | None) -> Facts:
    try:
        return measured(raw, axes, bands, zoom, values, field)
    except MemoryError as error:
        do = "use a smaller network, or more memory"
        raise CheckpointError(
            "the graph needs more memory than there is", shortened(str(error)), do, code="NOT_AN_UPSCALER"
        ) from error


def _zoom(said: Spec | None, bands: int) -> int:
    """How many times finer guides are, as the file says; 1 where that fits nothing else in it."""
    if said is None or bands < 2 or said.core_multiple % said.zoom or said.halo[-1] % said.zoom:
        return 1
    return said.zoom


def import_network(network: nn.Module, scale: int, bands: int, origin: Origin, wishes: Wishes, folder: Path) -> Spec:
    """The same for a network of torch that takes (N, bands, Y, X)."""
    example = torch.rand(2, bands, 48, 64)
    raw = traced(network.eval(), example, {0: "batch", 2: "height", 3: "width"}, origin.name)
    return import_graph(
        sound_model(raw, origin.path),
        origin,
        wishes.model_copy(update={"scale": wishes.scale or scale, "range": wishes.range or "0-1"}),
        folder,
    )


def refuse_off(spec: Spec, generator: Generator) -> None:
    """CheckpointError BACKEND_NUMERICS when what ONNX Runtime fuses changes the numbers."""
    found = gate.compare(generator, build(generator, "onnxruntime", "float32", CPU), CPU)
    if refused := found.refused("float32"):
        do = "export it again, with another opset"
        raise CheckpointError(f"{spec.name} is not one function by ONNX Runtime", refused, do, code="BACKEND_NUMERICS")


def _said(model: ModelProto, path: Path) -> Spec | None:
    """The spec in the metadata of a file that srcore exported; None where there is none.

    Figures are of the graph that was exported: one that was edited since has none.
    """
    said = {one.key: one.value for one in model.metadata_props}
    if SPEC_KEY not in said:
        return None
    try:
        spec = Spec.model_validate_json(said[SPEC_KEY])
        if said.get(GRAPH_KEY) == graph_digest(model):
            return spec
        training = {**spec.training, "edited": True}
        return spec.model_copy(update={"training": training, "metrics": {}, "trust": None})
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the document"
        raise CheckpointError(
            f"{path} says of itself what cannot be", shortened(f"{where}: {first['msg']}"), "export it again"
        ) from error


def _freed(model: ModelProto, origin: Origin, wishes: Wishes) -> tuple[bytes, int, int]:
    """The graph with free sizes, its axes, and the bands that it sees together."""
    fixed = {one.name for one in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in fixed]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        found = f"inputs {', '.join(one.name for one in inputs)}; outputs {len(model.graph.output)}"
        raise _no_image(origin, found, scale=len(inputs) > 1)
    kind = inputs[0].type.tensor_type
    sizes = [dim.dim_value for dim in kind.shape.dim]
    if kind.elem_type != TensorProto.FLOAT or model.graph.output[0].type.tensor_type.elem_type != TensorProto.FLOAT:
        types = {number: name for name, number in TensorProto.DataType.items()}
        raise _no_image(origin, f"numbers of type {types.get(kind.elem_type, kind.elem_type)}, not FLOAT")
    if len(sizes) not in (4, 5):
        raise _no_image(origin, f"an input of {len(sizes)} axes, not N x bands x height x width")
    bands = _bands(sizes[1], origin, wishes)
    for axis, (dim, word) in enumerate(zip(kind.shape.dim, FREE[len(sizes) - 2], strict=True)):
        if axis != 1:
            dim.dim_param = word
    image = type(inputs[0]).FromString(inputs[0].SerializeToString())  # what is taken out of a list is gone
    del model.graph.input[:]
    model.graph.input.append(image)
    sides = model.graph.output[0].type.tensor_type.shape
    del sides.dim[:]
    for word in FREE[len(sizes) - 2]:
        sides.dim.add(dim_param=f"sr_{word}")
    del model.graph.value_info[:]
    return bytes(model.SerializeToString(deterministic=True)), len(sizes) - 2, bands


def _no_image(origin: Origin, found: str, *, scale: bool = False) -> CheckpointError:
    if scale:
        do = "export it for one scale, with the image as its only input"
        return CheckpointError(f"{origin.path} takes more than an image", shortened(found), do, code="ONNX_SCALE")
    do = "export a network that makes one image of one image, in float32"
    return CheckpointError(f"{origin.path} is no image-to-image network", shortened(found), do, code="NOT_AN_UPSCALER")


def _bands(own: int, origin: Origin, wishes: Wishes) -> int:
    """Bands that the graph sees together: as it says, or the user where it says none."""
    wished = 1 if wishes.bands == "any" else wishes.bands
    if own and wished and own != wished:
        found = f"{own} of it, {wishes.bands} wished"
        raise CheckpointError(f"{origin.path} has another number of bands", found, "leave `bands` out")
    return own or wished or 1


def _check_wishes(facts: Facts, wishes: Wishes) -> None:
    if wishes.scale is not None and {*facts.scale} != {wishes.scale}:
        found = f"{'x'.join(map(str, facts.scale))} measured, {wishes.scale} wished"
        raise CheckpointError("the graph has another scale", found, "correct or leave out `scale`", code="ONNX_SCALE")


def _spec(facts: Facts, origin: Origin, wishes: Wishes) -> Spec:
    said, axes = origin.said, len(facts.scale)
    training: Mapping[str, Any] = said.training if said else {"imported": origin.path.suffix.lstrip(".").lower()}
    return Spec(
        name=origin.name,
        architecture=Architecture(name=ONNX, params=facts.params),
        kind="raster" if axes == 2 else "volume",
        scale=facts.scale,
        bands="any" if facts.bands == 1 or facts.zoom > 1 else facts.bands,
        halo=(facts.halo,) * axes,
        core_multiple=facts.grid,
        zoom=facts.zoom,
        normalise=wishes.normalise or (said.normalise if said else "percentile"),
        activation_bytes_px=activation_bytes_px(facts),
        licence=origin.licence,
        training=training,
        metrics=said.metrics if said else {},
        trust=said.trust if said else None,
    )


def _card(spec: Spec, facts: Facts, origin: Origin) -> str:
    """README.md of the checkpoint: what is known, and that nothing else is."""
    source = f"exported by srcore from `{origin.said.name}`" if origin.said else "a network of others"
    moved = f"moved back by {', '.join(map(str, facts.moved))} SR pixels; " if any(facts.moved) else ""
    return f"""# {spec.name}

An ONNX graph, {source}, computed by ONNX Runtime on the CPU.
Licence of the weights: {spec.licence}, as it was said when the model came in.

Measured: scale {" x ".join(map(str, spec.scale))}, halo {spec.halo[-1]} LR pixels, grid {spec.core_multiple},
{moved}values {facts.values}, bands seen together {facts.bands}.

How it was trained, and on what, is not known here: compare it with `srcore evaluate` before products rest on it.
"""
