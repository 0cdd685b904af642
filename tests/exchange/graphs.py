"""ONNX graphs of networks that are known by heart: a cubic enlargement, and what can be wrong with one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from srcore.models.blocks import cubic_phases

OPSET = 18


def model_of(nodes: Sequence[NodeProto], constants: dict[str, Any], bands: int | None = 1, **more: Any) -> ModelProto:
    """A graph from `lr` to `sr` (N, bands, Y, X)."""
    axes: list[Any] = ["n", bands or "c", "y", "x"]
    inputs = [helper.make_tensor_value_info("lr", TensorProto.FLOAT, more.get("axes", axes)), *more.get("inputs", [])]
    output = helper.make_tensor_value_info("sr", TensorProto.FLOAT, None)
    weights = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "made", inputs, [output], weights)
    opsets = [helper.make_opsetid("", OPSET), *more.get("opsets", [])]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def cubic(
    scale: int = 2, bands: int = 1, *, padded: bool = True, out: str = "sr"
) -> tuple[list[NodeProto], dict[str, Any]]:
    """Nodes and weights of a cubic enlargement (Keys), as one convolution: halo 2; padded with zeros, or eaten."""
    phases = cubic_phases((scale, scale)).numpy()
    weight = np.tile(phases, (bands, 1, 1, 1))
    nodes = [
        helper.make_node("Conv", ["lr", "w"], ["phases"], group=bands, pads=[2 * padded] * 4, kernel_shape=[5, 5]),
        helper.make_node("DepthToSpace", ["phases"], [out], blocksize=scale, mode="CRD"),
    ]
    return nodes, {"w": weight}


def upscaler(scale: int = 2, bands: int = 1, *, padded: bool = True) -> ModelProto:
    return model_of(*cubic(scale, bands, padded=padded), bands)


def eight_bits() -> ModelProto:
    """Takes 0 to 255 and gives whole numbers of them: with 0 to 1 it gives black and white alone."""
    nodes, weights = cubic(out="fine")
    return model_of([*nodes, helper.make_node("Round", ["fine"], ["sr"])], weights)


def moved(rows: int, columns: int) -> ModelProto:
    """Its SR lies so many SR pixels too far down and right."""
    nodes, weights = cubic(out="fine")
    weights |= {"begin": np.array([0, 0, rows, columns, 0, 0, 0, 0], np.int64)}
    weights |= {"starts": np.array([0, 0], np.int64), "ends": np.array([-rows or 2**40, -columns or 2**40], np.int64)}
    weights |= {"axes": np.array([2, 3], np.int64)}
    nodes += [
        helper.make_node("Pad", ["fine", "begin"], ["wide"]),
        helper.make_node("Slice", ["wide", "starts", "ends", "axes"], ["sr"]),
    ]
    return model_of(nodes, weights)


def resized(mode: str) -> ModelProto:
    """Linear by the convention `mode` of ONNX's Resize."""
    node = helper.make_node("Resize", ["lr", "", "scales"], ["sr"], mode="linear", coordinate_transformation_mode=mode)
    return model_of([node], {"scales": np.array([1, 1, 2, 2], np.float32)})


def of_a_fixed_size() -> ModelProto:
    node = helper.make_node("Resize", ["lr", "", "", "sizes"], ["sr"], mode="linear")
    return model_of([node], {"sizes": np.array([1, 1, 256, 256], np.int64)})


def with_a_scale() -> ModelProto:
    node = helper.make_node("Resize", ["lr", "", "scales"], ["sr"], mode="linear")
    return model_of([node], {}, inputs=[helper.make_tensor_value_info("scales", TensorProto.FLOAT, [4])])


def that_sees_all() -> ModelProto:
    """Brightens by the mean of the whole image."""
    nodes, weights = cubic(out="fine")
    nodes += [
        helper.make_node("GlobalAveragePool", ["lr"], ["mean"]),
        helper.make_node("Add", ["fine", "mean"], ["sr"]),
    ]
    return model_of(nodes, weights)


def windowed(side: int) -> ModelProto:
    """Adds to each pixel a part of the mean of its window of side x side LR pixels, which lie on a grid."""
    nodes, weights = cubic(out="fine")
    weights |= {"part": np.float32(0.2), "scales": np.array([1, 1, 2 * side, 2 * side], np.float32)}
    square = {"kernel_shape": [side, side], "strides": [side, side]}
    nodes += [
        helper.make_node("AveragePool", ["lr"], ["means"], **square),
        helper.make_node("Mul", ["means", "part"], ["some"]),
        helper.make_node("Resize", ["some", "", "scales"], ["steps"], mode="nearest"),
        helper.make_node("Add", ["fine", "steps"], ["sr"]),
    ]
    return model_of(nodes, weights)


def that_is_random() -> ModelProto:
    nodes, weights = cubic(out="fine")
    nodes += [
        helper.make_node("RandomNormalLike", ["fine"], ["noise"]),
        helper.make_node("Add", ["fine", "noise"], ["sr"]),
    ]
    return model_of(nodes, weights)


def of_noise() -> ModelProto:
    """As large as an SR, and like no LR: the sine of a thousand times it."""
    nodes, weights = cubic(out="fine")
    weights |= {"much": np.float32(1000)}
    nodes += [helper.make_node("Mul", ["fine", "much"], ["large"]), helper.make_node("Sin", ["large"], ["sr"])]
    return model_of(nodes, weights)


def reshaped() -> ModelProto:
    nodes, weights = cubic(out="fine")
    weights |= {"shape": np.array([1, 1, 128, 128], np.int64)}
    return model_of([*nodes, helper.make_node("Reshape", ["fine", "shape"], ["sr"])], weights, axes=[1, 1, 64, 64])


def tiled() -> ModelProto:
    nodes, weights = cubic(out="fine")
    weights |= {"times": np.array([1, 1, 100_000, 100_000], np.int64)}
    return model_of([*nodes, helper.make_node("Tile", ["fine", "times"], ["sr"])], weights)


def with_two_outputs() -> ModelProto:
    model = upscaler()
    model.graph.output.append(helper.make_tensor_value_info("phases", TensorProto.FLOAT, [None] * 4))
    return model


def classifier() -> ModelProto:
    nodes = [helper.make_node("GlobalAveragePool", ["lr"], ["mean"]), helper.make_node("Flatten", ["mean"], ["sr"])]
    return model_of(nodes, {})


def with_operator(name: str, domain: str = "") -> ModelProto:
    opsets = [helper.make_opsetid(domain, 1)] if domain else []
    return model_of([helper.make_node(name, ["lr"], ["sr"], domain=domain)], {}, opsets=opsets)


def with_numbers(value: float) -> ModelProto:
    nodes, weights = cubic()
    weights["w"] = weights["w"].copy()
    weights["w"][0, 0, 0, 0] = value
    return model_of(nodes, weights)


def with_outside(model: ModelProto, location: str, length: int | None = None) -> ModelProto:
    """Its first weight lies in the file `location`."""
    tensor = model.graph.initializer[0]
    size = len(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {"location": location, "offset": "0", "length": str(length or size)}.items():
        tensor.external_data.add(key=key, value=value)
    return model


def saved(model: ModelProto, path: Path) -> Path:
    path.write_bytes(model.SerializeToString())
    return path
