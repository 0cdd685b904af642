"""Read a Zarr product back: every pixel of every level is the COG's, every file in the ZIP has its checksum."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from srcore.storage.cube.attributes import VALID, has_valid, variable_names
from srcore.storage.cube.levels import Level, count_levels, level
from srcore.storage.cube.one_file import different, read_back
from srcore.storage.header import Header


def verify_cube(target: Path, product: Path, header: Header) -> None:
    """StoreError VERIFY_FAILED unless the Zarr holds the pixels of the COG, all levels."""
    names = variable_names([band.name for band in header.bands])
    with read_back(target) as store:
        for number in range(count_levels(product)):
            with level(product, number, len(names)) as one:
                group = zarr.open_group(store, mode="r", path=one.group, zarr_format=3)
                _compare(target, group, one, [*names, *([VALID] if has_valid(header.nodata) else [])])


def _compare(target: Path, group: zarr.Group, one: Level, names: Sequence[str]) -> None:
    """Each band, and `valid` where it is among the names."""
    for name in names:
        if _array(group, name).shape != one.shape:
            raise different(target, f"{name} of {one.told} has another shape")
    for piece, values in one.pieces():
        planes = [*values, one.valid(piece)] if VALID in names else values
        for name, plane in zip(names, planes, strict=True):
            found = np.asarray(_array(group, name)[piece])
            if not np.array_equal(found, plane, equal_nan=plane.dtype.kind == "f"):
                at = f"row {piece[0].start}, column {piece[1].start}"
                raise different(target, f"{name} of {one.told}, {at}")


def _array(group: zarr.Group, name: str) -> Any:
    return group[name]
