"""Padding of CT: what fills the corners that a scanner does not see, and no header of NIfTI names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from srcore.storage.nifti.packed import open_unpacked, skip, take

LEAST_HU = -1025.0
"""Air is -1000 and scanners end at -1024, up to rounding."""
LOOKED_AT = 2**26
"""Bytes that are unpacked for padding, from the first slice on."""
NO_ACCIDENT = 0.001


def find_padding(path: Path, head: Any, start: int, shape: tuple[int, ...], line: tuple[float, float]) -> float | None:
    """The number that fills what a CT scanner does not see; None where there is none. The volume's bytes begin at
    `start`; `shape` is (k, j, i), `line` slope and intercept.

    What the first slices hold of numbers that are less than air by far is one number, and a share that is no accident.
    """
    dtype, (slope, inter) = head.get_data_dtype(), line
    if dtype.kind == "u" and not inter:
        return None
    found: set[float] = set()
    empty = seen = 0
    with open_unpacked(path) as file:
        skip(file, start, path)
        for _ in range(max(1, min(shape[0], LOOKED_AT // (shape[1] * shape[2] * dtype.itemsize)))):
            data = take(file, shape[1] * shape[2] * dtype.itemsize, path)
            values = np.frombuffer(data[: len(data) // dtype.itemsize * dtype.itemsize], dtype)
            low = values[values * slope + inter < LEAST_HU]
            found |= set(np.unique(low).tolist())
            empty, seen = empty + low.size, seen + values.size
            if len(found) > 1:
                return None
    return float(found.pop()) if found and empty >= NO_ACCIDENT * seen else None
