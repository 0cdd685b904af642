"""What is asked before the first tile: whether a checkpoint's halo holds, where it runs, and in which precision."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch

from srcore.checkpoints import Spec
from srcore.engine.backends import Precision
from srcore.engine.core import Engine
from srcore.errors import CheckpointError
from srcore.models import Generator
from srcore.models.halo import halo_from_layers, probe
from srcore.weights import load_generator

PROBE_LIMIT = 1e-6
"""Largest relative difference of the halo probe in float32."""


def open_engine(model: Path, device: str = "auto", precision: str = "auto", backend: str = "eager") -> Engine:
    """The engine of a checkpoint folder.

    CheckpointError when its halo is not what its layers need, or when the backend is not there.
    """
    spec, generator = load_generator(model)
    prove(spec, generator)
    where = choose_device(device)
    return Engine(spec, generator, where, choose_precision(precision, spec, where), backend)


def prove(spec: Spec, generator: Generator) -> None:
    """Refuse a spec whose halo is not the one of the layers, or fails the numeric probe."""
    needed = halo_from_layers(generator)
    if set(spec.halo) != {needed} or spec.core_multiple != generator.core_multiple:
        raise CheckpointError(
            f"the halo of {spec.name} is wrong",
            f"{spec.halo[-1]} px, its layers need {needed}",
            "import the model again",
            code="WRONG_HALO",
        )
    difference = probe(generator, spec.halo[-1])
    if difference > PROBE_LIMIT:
        raise CheckpointError(
            f"{spec.name} fails the halo probe",
            f"a relative difference of {difference:.2g}",
            "import the model again",
            code="WRONG_HALO",
        )


def choose_device(device: str) -> torch.device:
    """'auto' is CUDA when there is one; CheckpointError when CUDA is asked for and missing."""
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if device == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device cuda is not there", "only the CPU", "use --device cpu or auto", code="NO_DEVICE")
    return torch.device(device)


def choose_precision(precision: str, spec: Spec, device: torch.device) -> Precision:
    """The wish; 'auto' is bfloat16 where the checkpoint was verified in it and the device computes it natively."""
    if precision == "auto":
        native = torch.cuda.is_bf16_supported() if device.type == "cuda" else _cpu_has_bf16()
        return "bfloat16" if spec.precision == "bfloat16" and native else "float32"
    return cast(Precision, precision)


def _cpu_has_bf16() -> bool:
    # What torch.compile itself asks before it emits such instructions.
    return bool(torch.cpu._is_avx512_bf16_supported())
