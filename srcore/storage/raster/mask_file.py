"""A .msk beside a raster: a TIFF whose pixels hide the raster's where they are 0."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from srcore.errors import SourceError
from srcore.storage.band import Mask
from srcore.storage.raster.beside import bad_sidecar
from srcore.storage.raster.gdal import open_raster

PER_DATASET = 2
"""GDAL's GMF_PER_DATASET: the first band of the mask holds for all bands."""


def read_mask_file(path: Path, count: int, shape: tuple[int, int], roots: Sequence[Path] | None) -> list[Mask | None]:
    """The mask of each of `count` bands of a raster of `shape`, by what the file's INTERNAL_MASK_FLAGS_N say.

    None for a band that it does not speak of. SourceError SIDECAR for a file that GDAL would not use, or fail on.
    """
    try:
        with open_raster(path, roots) as dataset:
            tags, found, bands = dataset.tags(), (dataset.height, dataset.width), dataset.count
    except SourceError as error:
        raise bad_sidecar(path, f"{error.what.removeprefix(f'{path}: ')}, {error.found}") from error
    if found != shape:
        raise bad_sidecar(path, f"a mask of {found[0]} x {found[1]} pixels for {shape[0]} x {shape[1]}")
    masks = [_mask(path, index, tags.get(f"INTERNAL_MASK_FLAGS_{index}"), bands) for index in range(1, count + 1)]
    if not any(masks):
        raise bad_sidecar(path, "no INTERNAL_MASK_FLAGS that say which bands it hides")
    return masks


def _mask(path: Path, index: int, flags: str | None, bands: int) -> Mask | None:
    if flags is None:
        return None
    if not flags.isdecimal():
        raise bad_sidecar(path, f"INTERNAL_MASK_FLAGS_{index} {flags[:20]!r}")
    if int(flags) & PER_DATASET:
        return Mask(str(path))
    if index > bands:
        raise bad_sidecar(path, f"{bands} bands, and one for band {index} is named")
    return Mask(str(path), index)
