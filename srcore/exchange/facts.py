"""What a graph of others is, as it was found so far."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from srcore.weights.onnx_graph import OnnxGraph


@dataclass(frozen=True)
class Facts:
    """Arguments of `OnnxGraph`, with its file."""

    model: bytes
    scale: tuple[int, ...]
    bands: int
    eaten: int = 0
    halo: int = 0
    grid: int = 1
    zoom: int = 1
    values: str = "0-1"
    moved: tuple[int, ...] = ()

    @property
    def params(self) -> dict[str, Any]:
        """Of the architecture in a spec."""
        found = {name: value for name, value in vars(self).items() if name != "model"}
        return {**found, "scale": list(self.scale), "moved": list(self.moved)}

    def graph(self) -> OnnxGraph:
        generator = OnnxGraph(**self.params)
        generator.model = self.model
        return generator.eval()
