"""The numbers that scenes are stored in: which dtypes there are, and how each says 'nothing here'."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from srcore.storage.header import Nodata

DTYPES = ("uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "float64")
"""What is read and written. Nothing wider: with 64-bit integers and nodata GDAL drops overviews (3.10)."""


def nodata_form(dtype: str, tags: Sequence[float | None]) -> Nodata:
    """'tag' when a band has a number for it, 'nan' for other floats, else 'none'."""
    if any(tag is not None and not np.isnan(tag) for tag in tags):
        return "tag"
    return "nan" if np.issubdtype(np.dtype(dtype), np.floating) else "none"


def fit_nodata(value: float, dtype: str) -> float | None:
    """`value` as `dtype` stores it (float32 rounds -3.4028234663852886e+38 and 0.1), or None when it cannot."""
    kind = np.dtype(dtype)
    if np.issubdtype(kind, np.floating):
        with np.errstate(over="ignore"):
            stored = float(kind.type(value))
        return stored if np.isnan(value) or np.isfinite(stored) else None
    limits = np.iinfo(kind)
    return float(value) if float(value).is_integer() and limits.min <= value <= limits.max else None
