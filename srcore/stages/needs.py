"""What a run needs: bytes of memory and of the disk, projected from header, spec and tiles before a pixel is read."""

from __future__ import annotations

from math import prod

import numpy as np

from srcore.checkpoints import Spec
from srcore.injection import BYTES_PX, REACH_PX
from srcore.storage.header import Header
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import TilePlan

WORKER_BASE_BYTES = 600 * 2**20
"""Measured: a worker process with torch and the generator loaded, before its first tile."""


def worker_bytes(spec: Spec, header: Header, tiles: TilePlan) -> int:
    """Projected peak of one worker: its base, the activations of one pass, and a tile in all its forms."""
    tile_px, pass_px = prod(tiles.tile_shape), prod(tiles.tile_shape[-len(spec.halo) :])
    native = np.dtype(header.dtype).itemsize
    forms_lr, forms_hr = native + 4 + 8, 2 * native + 4 + 8 + 8  # as stored, as float32, as float64
    block = len(header.bands) * (tile_px * forms_lr + prod(tiles.core_hr) * forms_hr)
    activations = spec.activation_bytes_px * pass_px
    return WORKER_BASE_BYTES + max(activations, _injection_bytes(header, tiles)) + block


def _injection_bytes(header: Header, tiles: TilePlan) -> int:
    """What INGEST, which has no activations, takes to bring much coarser bands to the grid of a tile."""
    reach = 2 * REACH_PX * max((header.bands[i].zoom for i in header.injected), default=0)
    return BYTES_PX * prod(side + reach for side in tiles.tile_shape) if reach else 0


def slab_bytes(plan: ScenePlan) -> int:
    """Projected bytes of what EXPORT holds of a volume beside the workers: slices as deep as a tile; 0 of a raster."""
    if plan.header.kind == "raster":
        return 0
    return (
        min(plan.tiles.core_hr[0], plan.tiles.shape_hr[0])
        * prod(plan.tiles.shape_hr[1:])
        * (np.dtype(plan.header.dtype).itemsize)
    )


def disk_bytes(plan: ScenePlan) -> int:
    """Projected bytes of scratch and product together, as if nothing compressed."""
    tiles, bands = plan.tiles, len(plan.header.bands)
    native = np.dtype(plan.header.dtype).itemsize
    scratch = bands * (len(tiles) * prod(tiles.tile_shape) * native + prod(tiles.shape_hr) * native)
    scratch += bands * prod(tiles.shape)  # valid
    if plan.treatment.trust is not None:
        native += 4
        scratch += bands * prod(tiles.shape_hr) * 4
    if "zarr" in plan.outputs:  # as files, and then as the one that they become
        scratch += 2 * _cube_bytes(plan)
    # the product with its overviews, and in the scratch folder, for a while, the overviews once more
    return scratch + int(7 / 4 * bands * prod(tiles.shape_hr) * native)


def product_bytes(plan: ScenePlan) -> int:
    """Projected bytes of the product with its overviews, as if nothing compressed: what stays of `disk_bytes`."""
    trust = int(4 / 3 * 4 * len(plan.header.bands) * prod(plan.tiles.shape_hr)) if plan.treatment.trust else 0
    return _pyramid_bytes(plan) + (_cube_bytes(plan) if "zarr" in plan.outputs else 0) + trust


def _cube_bytes(plan: ScenePlan) -> int:
    """Of the SR once more as Zarr: a volume's may be in units, of four bytes."""
    return _pyramid_bytes(plan, 4 if plan.header.kind == "volume" else 0)


def _pyramid_bytes(plan: ScenePlan, least: int = 0) -> int:
    """Of the SR with its overviews, of so many bytes a pixel at least."""
    native = max(np.dtype(plan.header.dtype).itemsize, least)
    return int(4 / 3 * len(plan.header.bands) * prod(plan.tiles.shape_hr) * native)
