"""Bare arrays: NumPy, torch and Dask to bands of numbers, and the SR back as what came.

(Y, X), (C, Y, X), a tensor ..  -->  (C, Y, X) or (C, Z, Y, X)  --SR-->  the same kind, on the same device
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from srcore.checkpoints import Spec, read_spec
from srcore.errors import SourceError
from srcore.job import Job
from srcore.run.lazy import super_resolve_values

if TYPE_CHECKING:
    from srcore.engine import Engine

FEW = 4
"""Channels of a picture at most, where they come last."""


def super_resolve_bare(array: Any, job: Job, engine: Engine | None) -> Any:
    """The SR of an array or tensor, by the engine or the job's model; SourceError for what is not read."""
    spec = engine.spec if engine else read_spec(job.model.folder)
    values = _values(array)
    bands = _with_bands(values, spec)
    found = super_resolve_values(bands, job.treatment.nodata, job, spec, engine)
    found = found if values.ndim == bands.ndim else found[0]
    if not is_of(array, "torch"):
        return found
    import torch

    return torch.from_numpy(found).to(array.device)


def _values(array: Any) -> Any:
    """What indexes as NumPy does: itself, or a tensor's numbers; SourceError for what says more than numbers do."""
    if isinstance(array, np.ma.MaskedArray):
        raise SourceError(
            "masked arrays are not read", "a mask", "fill it, and name the number: nodata=...", code="NOT_SUPPORTED"
        )
    if is_of(array, "xarray"):
        raise SourceError("the array has labels", type(array).__name__, "use srcore.upscale", code="NOT_SUPPORTED")
    if is_of(array, "dask"):
        return array
    if not is_of(array, "torch"):
        return np.asarray(array)
    try:
        return array.detach().cpu().numpy()
    except TypeError as error:
        raise SourceError(
            "the tensor cannot be read", str(error), "convert it: .float()", code="NOT_SUPPORTED"
        ) from error


def _with_bands(values: Any, spec: Spec) -> Any:
    """(C, Y, X) or (C, Z, Y, X) of what may have no bands; SourceError for what has another number of axes."""
    own = len(spec.scale)
    if values.ndim not in (own, own + 1, 4):
        wanted = "(Y, X), (C, Y, X) or (C, Z, Y, X)" if own == 2 else "(Z, Y, X) or (C, Z, Y, X)"
        raise SourceError(f"{spec.name} does not take such an array", f"shape {values.shape}", f"give {wanted}")
    if own == 2 and values.ndim == 3 and values.shape[2] <= FEW < min(values.shape[:2]):
        do = "put channels first: np.moveaxis(array, -1, 0)"
        raise SourceError("the channels seem to come last", f"shape {values.shape}", do)
    return values[None] if values.ndim == own else values


def device_of(array: Any) -> str:
    """A tensor on a GPU is computed there."""
    device = getattr(array, "device", None) if is_of(array, "torch") else None
    return str(device) if device is not None and device.type == "cuda" else "auto"


def is_of(value: Any, package: str) -> bool:
    """Whether a value's class, or one that it stands on, comes from a package: asking that imports nothing."""
    return any(kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)
