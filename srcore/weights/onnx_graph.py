"""An ONNX graph as a generator, computed by ONNX Runtime on the CPU: the only module that imports it.

A graph of others pads as it likes, so that what comes out is as large as what went in. Pixels that saw the padding are
cut away with the halo:

    in:  core + 2 halo  --graph-->  (core + 2 halo - 2 eaten) x scale  --cut-->  core x scale
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor

from srcore.errors import CheckpointError, shortened
from srcore.models.generator import Generator

RANGES: dict[str, tuple[float, float]] = {"0-1": (1.0, 0.0), "0-255": (255.0, 0.0), "-1-1": (2.0, -1.0)}
"""What a graph takes for black and white, as the factor and the offset of network values."""


class OnnxGraph(Generator):
    """What `model`, the bytes of an ONNX file, computes of (N, B, ...) with the halo around it.

    `eaten` are the LR pixels on each side that the graph itself takes away, 0 where it pads. `moved` is by how many SR
    pixels its output lies too far down and right, an axis each; it is moved back. `values` is one of RANGES.
    """

    def __init__(
        self,
        scale: Sequence[int] = (2, 2),
        bands: int = 1,
        halo: int = 0,
        eaten: int = 0,
        grid: int = 1,
        zoom: int = 1,
        values: str = "0-1",
        moved: Sequence[int] = (),
    ) -> None:
        super().__init__()
        if len(scale) not in (2, 3) or eaten > halo or values not in RANGES:
            raise ValueError(f"two or three scales, no more eaten than halo, and values of {', '.join(RANGES)}")
        self.sizes, self.scale, self.axes = tuple(scale), scale[-1], len(scale)
        self.bands, self.halo, self.eaten = bands, halo, eaten
        self.core_multiple, self.zoom, self.values = grid, zoom, values
        self.moved = tuple(moved) or (0,) * self.axes
        self.model = b""
        self.plain = True
        """As written, operator by operator; False: with what ONNX Runtime fuses, which is the backend."""
        self._session: Any = None

    @property
    def scales(self) -> tuple[int, ...]:
        return self.sizes

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_session": None}  # a session cannot be copied, nor sent to another process

    def forward(self, x: Tensor) -> Tensor:
        if x.shape[1] != self.bands:
            what = "a band and its guides" if self.zoom > 1 else "bands"
            raise CheckpointError(
                f"the graph takes {self.bands} {what} together", f"{x.shape[1]}", "name as many, or use another model"
            )
        factor, offset = RANGES[self.values]
        given = x.detach().cpu().float().numpy()
        given = given if factor == 1 else given * np.float32(factor) + np.float32(offset)
        out = np.concatenate([self.run(one[None]) for one in given])  # many graphs are written for one image at a time
        cut = self._core(out, x.shape[2:])
        return torch.from_numpy(cut if factor == 1 else (cut - np.float32(offset)) / np.float32(factor)).to(x.device)

    def _core(self, out: np.ndarray[Any, Any], given: Sequence[int]) -> np.ndarray[Any, Any]:
        """The output of `given` LR pixels without what lies outside the core, and moved back."""
        whole = [(size - 2 * self.eaten) * scale for size, scale in zip(given, self.sizes, strict=True)]
        if list(out.shape[2:]) != whole:
            raise CheckpointError(
                f"a graph of scale {self.sizes} gives another size",
                f"{out.shape[2:]} of {tuple(given)}",
                "import it again",
            )
        inside = [slice(None), slice(None)]
        for size, scale, moved in zip(given, self.sizes, self.moved, strict=True):
            start = (self.halo - self.eaten) * scale + moved
            inside.append(slice(start, start + (size - 2 * self.halo) * scale))
        return np.ascontiguousarray(out[tuple(inside)])

    def run(self, given: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """What the graph makes of (N, B, ...) in float32, nothing cut; CheckpointError where it does not take it."""
        if self._session is None:
            self._session = open_session(self.model, plain=self.plain)
        try:
            [out] = self._session.run(None, {self._session.get_inputs()[0].name: np.ascontiguousarray(given)})
        except Exception as error:  # its errors share no class of their own
            if "allocate memory" in str(error):
                raise MemoryError(str(error)) from error
            raise CheckpointError(
                "the graph does not compute an input",
                f"{'x'.join(map(str, given.shape))}: {shortened(first_line(error))}",
                "export it with free sizes, and for this many bands",
                code="NOT_AN_UPSCALER",
            ) from error
        return np.asarray(out)


def open_session(model: bytes, *, plain: bool) -> Any:
    """A session of ONNX Runtime in as many threads as torch has now; CheckpointError NO_BACKEND where it is missing."""
    try:
        import onnxruntime  # an extra
    except ImportError as error:
        raise CheckpointError(
            "ONNX Runtime is not installed", str(error), "install srcore[onnx]", code="NO_BACKEND"
        ) from error
    onnxruntime.set_default_logger_severity(4)  # what it has to say is in its errors
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 4
    options.use_deterministic_compute = True
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # an idle thread would take a core
    levels = onnxruntime.GraphOptimizationLevel
    options.graph_optimization_level = levels.ORT_DISABLE_ALL if plain else levels.ORT_ENABLE_ALL
    try:
        providers = ["CPUExecutionProvider"]
        return onnxruntime.InferenceSession(model, options, providers=providers, enable_fallback=0)  # which it prints
    except Exception as error:  # as in `run`
        raise CheckpointError(
            "ONNX Runtime does not take the graph",
            shortened(first_line(error)),
            "export it with operators that it has",
            code="ONNX_OPERATOR",
        ) from error


def need_onnx() -> None:
    """CheckpointError NOT_INSTALLED where the extra is missing."""
    if missing := [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]:
        found = f"no {' and no '.join(missing)}"
        raise CheckpointError("ONNX is not installed", found, "install srcore[onnx]", code="NOT_INSTALLED")


def first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0] or type(error).__name__
