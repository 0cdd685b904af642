"""Writes the sample volume: a NIfTI in millimetres, the same bytes every time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from srcore.grid import Grid
from srcore.storage.band import Band
from srcore.storage.disk.files import hidden_beside
from srcore.storage.header import Header
from srcore.storage.nifti.door import write_volume


def write_sample_volume(path: Path, values: NDArray[np.int16], slice_mm: float) -> None:
    """Write HU (Z, Y, X) as a NIfTI in RAS+ whose slices are `slice_mm` thick, its pixels 1 mm.

    The file appears under its name when it is complete.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    depth, rows, columns = values.shape
    # x from left to right, y from back to front, z from feet to head, the middle at 0
    affine = (
        (0.0, 0.0, -1.0, columns / 2),
        (0.0, -1.0, 0.0, rows / 2),
        (slice_mm, 0.0, 0.0, -slice_mm * depth / 2),
    )
    header = Header("sample", Grid(values.shape, affine), "int16", (Band(str(path), 1, "HU"),), "none")
    unfinished = hidden_beside(path)
    named = unfinished.with_name(f"{unfinished.name}{''.join(path.suffixes[-2:])}")
    try:
        write_volume(named, header, (1, 1, 1), values[None])
        named.replace(path)
    finally:
        named.unlink(missing_ok=True)
