"""Read a Zarr product back: every pixel of every level is the COG's, every file in the ZIP has its checksum."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.errors import BaseZarrError
from zarr.storage import ZipStore

from srcore.errors import StoreError
from srcore.storage.cube.attributes import variable_names
from srcore.storage.cube.levels import count_levels, level
from srcore.storage.header import Header


def verify_cube(target: Path, product: Path, header: Header) -> None:
    """StoreError VERIFY_FAILED unless the Zarr holds the pixels of the COG, all levels."""
    names = variable_names([band.name for band in header.bands])
    try:
        with zipfile.ZipFile(target) as packed:
            if (broken := packed.testzip()) is not None:
                raise _different(target, f"{broken} has another checksum")
        store = ZipStore(target, mode="r")
        try:
            for number in range(count_levels(product)):
                with level(product, number, len(names)) as one:
                    group = zarr.open_group(store, mode="r", path=one.group, zarr_format=3)
                    for rows, values, _ in one.rows():
                        for name, plane in zip(names, values, strict=True):
                            if not np.array_equal(_rows(group, name, rows), plane, equal_nan=plane.dtype.kind == "f"):
                                raise _different(target, f"{name} of level {number}, row {rows.start}")
        finally:
            store.close()
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, BaseZarrError) as error:
        if isinstance(error, StoreError):
            raise
        raise _different(target, f"{type(error).__name__}: {error}") from error


def _rows(group: zarr.Group, name: str, rows: slice) -> NDArray[Any]:
    """Of the variable of a band."""
    array: Any = group[name]
    return np.asarray(array[rows])


def _different(target: Path, found: str) -> StoreError:
    return StoreError(
        f"{target.name} is not what was written", found, "look for a failing disk, and run again", code="VERIFY_FAILED"
    )
