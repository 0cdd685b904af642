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
    """Its SR lies so many SR pixels too far down and right; up and left below 0."""
    nodes, weights = cubic(out="fine")
    down, up = (np.maximum([sign * rows, sign * columns], 0) for sign in (1, -1))
    weights |= {"begin": np.array([0, 0, *down, 0, 0, *up], np.int64), "starts": up}
    weights |= {"ends": np.where(down, -down, 2**40)}
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


def of_one_image() -> ModelProto:
    """Of any height and width, and of one image alone, as programs write it that traced one."""
    nodes, weights = cubic(out="fine")
    weights |= {"one": np.array([1, 1], np.int64), "twice": np.array([2, 2], np.int64)}
    nodes += [
        helper.make_node("Shape", ["lr"], ["sides"], start=2),
        helper.make_node("Mul", ["sides", "twice"], ["larger"]),
        helper.make_node("Concat", ["one", "larger"], ["shape"], axis=0),
        helper.make_node("Reshape", ["fine", "shape"], ["sr"]),
    ]
    return model_of(nodes, weights)


def with_functions(depth: int, *, endless: bool = False) -> ModelProto:
    """Functions that call the next one twice each: 2 ** depth operators of a few bytes."""
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("own", 1)]
    model = model_of([helper.make_node("f0", ["lr"], ["sr"], domain="own")], {}, opsets=opsets[1:])
    for level in range(depth):
        name, domain = f"f{level + 1}", "own"
        if level == depth - 1:
            name, domain = ("f0", "own") if endless else ("Identity", "")
        ways = (("x", "m"), ("m", "y"))
        nodes = [helper.make_node(name, [given], [out], domain=domain) for given, out in ways]
        model.functions.append(helper.make_function("own", f"f{level}", ["x"], ["y"], nodes, opsets))
    return model


def with_sparse_outside(location: str) -> ModelProto:
    """A constant of two numbers, which lie in the file `location`."""
    numbers = helper.make_tensor("v", TensorProto.FLOAT, [2], np.ones(2, np.float32).tobytes(), raw=True)
    numbers.ClearField("raw_data")
    numbers.data_location = TensorProto.EXTERNAL
    numbers.external_data.add(key="location", value=location)
    places = helper.make_tensor("i", TensorProto.INT64, [2], [0, 1])
    nodes, weights = cubic(out="fine")
    constant = helper.make_node("Constant", [], ["c"], sparse_value=helper.make_sparse_tensor(numbers, places, [2]))
    nodes += [
        constant,
        helper.make_node("ReduceSum", ["c"], ["sum"], keepdims=0),
        helper.make_node("Add", ["fine", "sum"], ["sr"]),
    ]
    return model_of(nodes, weights)


def with_a_name_of_no_text() -> bytes:
    return upscaler().SerializeToString().replace(b"Conv", b"C\xffnv", 1)


def with_offset(offset: str) -> ModelProto:
    model = with_outside(upscaler(), "here.bin")
    model.graph.initializer[0].external_data[1].value = offset
    return model


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
