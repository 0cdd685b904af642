"""Networks whose layout spandrel knows by the names of their weights: the only module that imports it.

spandrel imports torchvision for two of its forty layouts, which repair faces and holes and enlarge nothing. Where that
build of torch has no torchvision, empty modules stand in its place while spandrel is imported, and no longer.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import Tensor, nn

from srcore.errors import CheckpointError, shortened

OF_TORCHVISION = (
    "torchvision",
    "torchvision.transforms",
    "torchvision.transforms.functional",
    "torchvision.ops",
    "torchvision.models",
)


def network_of(tensors: dict[str, Tensor], path: Path) -> tuple[nn.Module, int, int]:
    """The network of such weights, its scale, and the bands that it sees together.

    CheckpointError NOT_INSTALLED without spandrel, BAD_CHECKPOINT for a layout that it does not know.
    """
    try:
        with _without_torchvision():
            import spandrel
    except ImportError as error:
        raise CheckpointError(
            f"the network of {path} is not known",
            f"spandrel, which knows many, cannot be imported: {shortened(str(error))}",
            "name one of srcore's by --spec, export it as ONNX, or install srcore[community]",
            code="NOT_INSTALLED",
        ) from error
    try:
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(dict(tensors))
    except Exception as error:  # of each of its forty layouts
        raise CheckpointError(
            f"the network of {path} is not known",
            shortened(str(error).partition("\n")[0] or type(error).__name__),
            "name one of srcore's by --spec, or export it as ONNX",
        ) from error
    if not isinstance(found, spandrel.ImageModelDescriptor) or found.input_channels != found.output_channels:
        raise CheckpointError(
            f"{path} is no image-to-image network", type(found).__name__, "give one of those", code="NOT_AN_UPSCALER"
        )
    return found.model, int(found.scale), int(found.input_channels)


class _Empty(ModuleType):
    """A module in which every name stands for itself, and nothing can be called."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Empty(f"{self.__name__}.{name}")


@contextmanager
def _without_torchvision() -> Iterator[None]:
    if "spandrel" in sys.modules or find_spec("torchvision") is not None:
        yield
        return
    empty = {name: _Empty(name) for name in OF_TORCHVISION}
    sys.modules.update(empty)
    try:
        yield
    finally:
        for name in empty:
            sys.modules.pop(name, None)
