"""Write the Zarr of a product: into a folder beside it, then into one file with nothing of this moment in it."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from zarr.codecs import ZstdCodec

from srcore.errors import StoreError
from srcore.storage.cube import attributes as told
from srcore.storage.cube.levels import CHUNK_PX, Level, count_levels, level
from srcore.storage.cube.one_file import pack
from srcore.storage.disk.files import hidden_folder, store_error
from srcore.storage.header import Header

ZSTD_LEVEL = 5


def write_cube(target: Path, product: Path, header: Header) -> None:
    """Write the COG `product`, read back, as Zarr 3 to `target`; `header` is that of its LR.

    StoreError, with DISK_FULL where that is why.
    """
    try:
        with hidden_folder(target) as folder:
            _write_group(folder / "zarr", product, header)
            pack(folder / "zarr", target)
    except (OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        target.unlink(missing_ok=True)
        raise store_error(target, error) from error


def _write_group(root: Path, product: Path, header: Header) -> None:
    factors: list[tuple[str, float, float]] = []
    before: tuple[int, int] | None = None
    for number in range(count_levels(product)):
        with level(product, number, len(header.bands)) as one:
            if before is not None:
                factors.append((one.group, before[0] / one.shape[0], before[1] / one.shape[1]))
            before = one.shape
            _write_level(root, one, header)
    group = zarr.open_group(root, mode="r+", zarr_format=3)
    group.update_attributes(told.with_levels(dict(group.attrs), factors))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that not all programs know it: it stands beside what all know
        zarr.consolidate_metadata(str(root), zarr_format=3)


def _write_level(root: Path, one: Level, header: Header) -> None:
    dataset, placed = one.dataset, not header.lies_by_points
    group = zarr.open_group(root, mode="a", path=one.group, zarr_format=3)
    crs = None if dataset.crs is None or not placed else dataset.crs.to_wkt()
    if placed:
        group.update_attributes(told.geozarr(crs, one.affine, one.shape, dataset.bounds))
        _write_place(group, one, crs)
    names = told.variable_names([band.name for band in header.bands])
    arrays = {name: _made(group, name, one, _of_band(header, place, placed)) for place, name in enumerate(names)}
    valid = _made(group, told.VALID, one, _of_valid(placed), "uint8") if told.has_valid(header.nodata) else None
    for piece, values in one.pieces():
        for array, plane in zip(arrays.values(), values, strict=True):
            array[piece] = plane
        if valid is not None:
            valid[piece] = one.valid(piece)


def _made(group: Any, name: str, one: Level, attributes: dict[str, Any], dtype: str | None = None) -> Any:
    """An array (Y, X) of the level."""
    return group.create_array(
        name,
        shape=one.shape,
        chunks=tuple(min(CHUNK_PX, side) for side in one.shape),
        dtype=dtype or one.dataset.dtypes[0],
        compressors=ZstdCodec(level=ZSTD_LEVEL),
        fill_value=0,
        dimension_names=("y", "x"),
        attributes=attributes,
        config={"write_empty_chunks": True},
    )


def _of_band(header: Header, place: int, placed: bool) -> dict[str, Any]:
    band, nodata = header.bands[place], header.nodata_numbers[place]
    found: dict[str, Any] = {"long_name": band.name}
    if placed:
        found["grid_mapping"] = told.GRID_MAPPING
    if (band.scale, band.offset) != (1.0, 0.0):
        found |= {"scale_factor": band.scale, "add_offset": band.offset}
    if header.nodata in ("tag", "nan") and nodata is not None:
        found["_FillValue"] = told.fill(nodata, header.dtype)
    if band.unit:
        found["units"] = band.unit
    if band.common:
        found["common_name"] = band.common
    if told.has_valid(header.nodata):
        found["ancillary_variables"] = told.VALID
    return found


def _of_valid(placed: bool) -> dict[str, Any]:
    words = {"long_name": "valid pixels", "flag_values": [0, 1], "flag_meanings": "nothing_here valid"}
    return {**words, "grid_mapping": told.GRID_MAPPING} if placed else dict(words)


def _write_place(group: Any, one: Level, crs: str | None) -> None:
    """`spatial_ref`, and x and y at pixel centres where rows and columns run along them."""
    mapping = group.create_array(told.GRID_MAPPING, shape=(), dtype="int64", fill_value=0)
    mapping.update_attributes(told.grid_mapping(crs, one.affine))
    a, b, c, d, e, f = one.affine
    if b or d:
        return
    height, width = one.shape
    sides = {"y": f + e * (np.arange(height) + 0.5), "x": c + a * (np.arange(width) + 0.5)}
    for name, centres in sides.items():
        array = group.create_array(
            name,
            shape=centres.shape,
            chunks=centres.shape,
            dtype="float64",
            fill_value=0,
            dimension_names=(name,),
            attributes={"axis": name.upper()},
        )
        array[:] = centres
