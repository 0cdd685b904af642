"""A volume once more as OME-Zarr 0.5: SCENE.ozx, for viewers. Made of the product, read back, and compared with it.

    product, slab by slab --HU, or stored numbers--> level 0 --means of 2 x 2 x 2--> level 1 ... --> one file

OME-Zarr knows sizes and an offset along each axis and no rotation: axes say which side of the patient they run to
(RFC-4), and `srcore` has the whole affine. It has no slope and intercept either: where the product has, its values are
in units here, as float32, in which every HU of 24 bits is exact.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product as every
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec

from srcore.errors import StoreError
from srcore.grid import Grid
from srcore.storage.cube.one_file import different, pack, read_back
from srcore.storage.disk.files import hidden_folder, store_error
from srcore.storage.header import Header
from srcore.storage.hounsfield import hounsfield_of
from srcore.storage.scene import SceneReader, open_scene, read_header

CHUNK = (32, 128, 128)
"""Voxels (Z, Y, X) of a chunk: a viewer's picture is in few of them, and a slab of them is what is held."""
SMALLEST = 64
"""A level whose longest side is no longer has none below it."""
ZSTD_LEVEL = 5
SIDES = (
    ("left-to-right", "right-to-left"),
    ("posterior-to-anterior", "anterior-to-posterior"),
    ("inferior-to-superior", "superior-to-inferior"),
)
"""Where an axis runs that increases to the right, front and head, and the other way (RFC-4)."""
SOFT_TISSUE = (-160.0, 240.0)
"""Ends of the window of a CT, in HU."""
Window = tuple[slice, ...]


def write_ome(target: Path, product: Path, header: Header) -> None:
    """Write a product that is a volume as OME-Zarr to `target`; `header` is that of its LR.

    StoreError, with DISK_FULL where that is why.
    """
    written = _header_of(product, header)
    try:
        with hidden_folder(target) as folder, open_scene(written) as reader:
            root = zarr.open_group(folder / "zarr", mode="w", zarr_format=3)
            ends = _write_whole(root, written, reader)
            levels = _write_levels(root, written.grid.shape)
            root.update_attributes(_attributes(written.grid, levels, ends, is_ct=_is_ct(header, ends)))
            pack(folder / "zarr", target, comment=b'{"ome": {"version": "0.5"}}')
    except (OSError, ValueError) as error:
        if isinstance(error, StoreError):
            raise
        target.unlink(missing_ok=True)
        raise store_error(target, error) from error


def verify_ome(target: Path, product: Path, header: Header) -> None:
    """StoreError VERIFY_FAILED unless the OME-Zarr holds the voxels of the product, and each level the means below."""
    written = _header_of(product, header)
    with read_back(target) as store:
        _compare(target, zarr.open_group(store, mode="r", zarr_format=3), written)


def _compare(target: Path, root: zarr.Group, written: Header) -> None:
    with open_scene(written) as reader:
        if _array(root, 0).shape != written.grid.shape:
            raise different(target, "another shape")
        for window in _slabs(written.grid.shape):
            if not np.array_equal(_array(root, 0)[window], _values(written, reader, window), equal_nan=True):
                raise different(target, f"slices from {window[0].start}")
    for level, shape in enumerate(_shapes(written.grid.shape)[1:], 1):
        for window in _chunks(shape):
            if not np.array_equal(_array(root, level)[window], _mean(_array(root, level - 1), window), equal_nan=True):
                raise different(target, f"level {level}")


def _header_of(product: Path, header: Header) -> Header:
    return read_header([product], "volume", axes=header.axes)


def _values(header: Header, reader: SceneReader, window: Window) -> NDArray[Any]:
    """Voxels in units; stored numbers where they are that."""
    stored: NDArray[Any] = reader.read(window)[0][0]
    band = header.bands[0]
    if (band.scale, band.offset) == (1.0, 0.0):
        return stored
    units: NDArray[Any] = (stored * np.float64(band.scale) + band.offset).astype(np.float32)
    return units


def _write_whole(root: zarr.Group, header: Header, reader: SceneReader) -> tuple[float, float]:
    """Level 0; gives its least and greatest number."""
    band, ends = header.bands[0], (np.inf, -np.inf)
    dtype = header.dtype if (band.scale, band.offset) == (1.0, 0.0) else "float32"
    array = _made(root, 0, header.grid.shape, dtype)
    for window in _slabs(header.grid.shape):
        array[window] = values = _values(header, reader, window)
        if (known := values[np.isfinite(values)]).size:
            ends = min(ends[0], float(known.min())), max(ends[1], float(known.max()))
    return ends if ends[0] <= ends[1] else (0.0, 0.0)


def _write_levels(root: zarr.Group, shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    shapes = _shapes(shape)
    for level, size in enumerate(shapes[1:], 1):
        above, array = _array(root, level - 1), _made(root, level, size, str(_array(root, 0).dtype))
        for window in _chunks(size):
            array[window] = _mean(above, window)
    return shapes


def _shapes(shape: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Of the levels, each of half the sides, as long as one is long."""
    found = [shape]
    while max(found[-1]) > SMALLEST:
        found.append(tuple(-(-n // 2) for n in found[-1]))
    return found


def _factors(shapes: list[tuple[int, ...]]) -> list[NDArray[np.float64]]:
    """Voxels of level 0 in one of each level, by axis: a single voxel is halved no more."""
    found = [np.ones(3)]
    for above in shapes[:-1]:
        found.append(found[-1] * [2 if n > 1 else 1 for n in above])
    return found


def _mean(above: Any, window: Window) -> NDArray[Any]:
    """A window of a level, of the one above it; at an odd end of what is there."""
    ends = zip(window, above.shape, strict=True)
    values = above[tuple(slice(2 * part.start, min(2 * part.stop, n)) for part, n in ends)]
    mean = values.astype(np.float64)
    for axis in (axis for axis in range(3) if above.shape[axis] > 1):
        if mean.shape[axis] % 2:
            mean = np.concatenate([mean, mean.take([-1], axis)], axis)
        mean = (mean.take(range(0, mean.shape[axis], 2), axis) + mean.take(range(1, mean.shape[axis], 2), axis)) / 2
    found: NDArray[Any] = (np.rint(mean) if values.dtype.kind in "iu" else mean).astype(values.dtype)
    return found


def _slabs(shape: tuple[int, ...]) -> Iterator[Window]:
    whole = tuple(slice(0, n) for n in shape[1:])
    for first in range(0, shape[0], CHUNK[0]):
        yield slice(first, min(first + CHUNK[0], shape[0])), *whole


def _chunks(shape: tuple[int, ...]) -> Iterator[Window]:
    starts = (range(0, n, step) for n, step in zip(shape, CHUNK, strict=True))
    for first in every(*starts):
        yield tuple(slice(a, min(a + step, n)) for a, step, n in zip(first, CHUNK, shape, strict=True))


def _made(root: zarr.Group, level: int, shape: tuple[int, ...], dtype: str) -> Any:
    return root.create_array(
        str(level),
        shape=shape,
        chunks=tuple(min(step, n) for step, n in zip(CHUNK, shape, strict=True)),
        dtype=dtype,
        compressors=ZstdCodec(level=ZSTD_LEVEL),
        fill_value=0,
        dimension_names=("z", "y", "x"),
        config={"write_empty_chunks": True},
    )


def _array(root: zarr.Group, level: int) -> Any:
    return root[str(level)]


def _is_ct(header: Header, ends: tuple[float, float]) -> bool:
    """Whether numbers in units are HU, as the LR says or the least of them does."""
    plain = replace(header.bands[0], scale=1.0, offset=0.0)
    return hounsfield_of(replace(header, bands=(plain,)), [ends]) is not None


def _attributes(grid: Grid, shapes: list[tuple[int, ...]], ends: tuple[float, float], *, is_ct: bool) -> dict[str, Any]:
    """What the group says of itself: nothing of it is of a patient."""
    matrix = np.array(grid.matrix)
    steps = np.linalg.norm(matrix[:, :3], axis=0)
    directions = matrix[:, :3] / steps
    first = matrix @ [0.5, 0.5, 0.5, 1.0]
    datasets = []
    for level, factors in enumerate(_factors(shapes)):
        # a voxel of a level begins where its first one of level 0 does
        offset = first @ directions + steps * (factors - 1) / 2
        scale: dict[str, Any] = {"type": "scale", "scale": (steps * factors).tolist()}
        moved = [scale, {"type": "translation", "translation": offset.tolist()}]
        datasets.append({"path": str(level), "coordinateTransformations": moved})
    low, high = SOFT_TISSUE if is_ct else ends
    window = {"min": ends[0], "max": ends[1], "start": low, "end": high}
    channel = {"label": "SR", "color": "FFFFFF", "active": True, "window": window}
    affine = np.concatenate([matrix[:, :3], first[:, None]], axis=1).tolist()
    return {
        "ome": {
            "version": "0.5",
            "multiscales": [{"name": "SR", "axes": _axes(directions), "datasets": datasets, "type": "mean"}],
            "omero": {"channels": [channel], "rdefs": {"model": "greyscale", "defaultZ": shapes[0][0] // 2}},
        },
        "srcore": {"affine_ras_mm": affine, "of": "voxel centres (z, y, x)", "use": "not for diagnosis"},
    }


def _axes(directions: NDArray[np.float64]) -> list[dict[str, Any]]:
    """z, y and x, and the side of the patient that each runs nearest to."""
    found: list[dict[str, Any]] = []
    for name, direction in zip("zyx", directions.T, strict=True):
        along = int(np.abs(direction).argmax())
        orientation = {"type": "anatomical", "value": SIDES[along][int(direction[along] < 0)]}
        found.append({"name": name, "type": "space", "unit": "millimeter", "orientation": orientation})
    return found
