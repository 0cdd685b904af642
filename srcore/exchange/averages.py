"""Averages of float64 written out as sums: ONNX Runtime averages float32 alone."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

LAST = np.iinfo(np.int64).max


def written_out(model: ModelProto) -> ModelProto:
    """The graph with every AveragePool of stride 1 and without padding as the mean of shifted cuts of its input."""
    nodes: list[NodeProto] = []
    for node in model.graph.node:
        nodes += _sums(model, node) if _is_plain(node) else [node]
    if len(nodes) != len(model.graph.node):
        del model.graph.node[:]
        model.graph.node.extend(nodes)
    return model


def _is_plain(node: NodeProto) -> bool:
    if node.op_type != "AveragePool":
        return False
    said = {one.name: helper.get_attribute_value(one) for one in node.attribute}
    return not any(said.get("pads", ())) and set(said.get("strides", (1,))) == {1} and not said.get("ceil_mode")


def _sums(model: ModelProto, node: NodeProto) -> list[NodeProto]:
    """Axis by axis: cuts that begin at 0, 1, ... and end as much before the end, their sum, and their count."""
    [sides] = [helper.get_attribute_value(one) for one in node.attribute if one.name == "kernel_shape"]
    nodes: list[NodeProto] = []
    given = node.input[0]
    for axis, side in enumerate(sides, 2):
        if side == 1:
            continue
        cuts = [f"{node.output[0]}_{axis}_{start}" for start in range(side)]
        for start, cut in enumerate(cuts):
            ends = start - side + 1
            numbers = [_number(model, value) for value in (start, ends if ends < 0 else LAST, axis)]
            nodes.append(helper.make_node("Slice", [given, *numbers], [cut]))
        nodes.append(helper.make_node("Sum", cuts, [f"{cuts[0]}_sum"]))
        like = helper.make_node("CastLike", [_number(model, side), given], [f"{cuts[0]}_count"])
        given = f"{cuts[0]}_mean"
        nodes += [like, helper.make_node("Div", [f"{cuts[0]}_sum", f"{cuts[0]}_count"], [given])]
    return [*nodes, helper.make_node("Identity", [given], [node.output[0]])]


def _number(model: ModelProto, value: int) -> str:
    """The name of a whole number among the graph's weights, put there when it is first asked for."""
    name = f"whole_{value}"
    if all(one.name != name for one in model.graph.initializer):
        content: Any = np.array([value], np.int64)
        model.graph.initializer.append(numpy_helper.from_array(content, name))
    return name
