"""EXPORT: the stitched scene as a georeferenced product with its STAC item and quicklook: staged, not yet visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from srcore.layout import ProductPaths
from srcore.storage import cog, nifti
from srcore.storage.scratch import ScenePlan, TileStore

Progress = Callable[[int, int], None]


def export(plan: ScenePlan, progress: Progress = lambda done, total: None) -> ProductPaths:
    """Write product, STAC item and quicklook into the scene's staged folder, and read every block back.

    StoreError when a tile is missing or damaged, when the disk fills, or when what was read back differs.
    """
    store, staged = TileStore(plan), ProductPaths(plan.scratch.staged, plan.product.name)
    shutil.rmtree(staged.folder, ignore_errors=True)  # what an earlier, broken export left
    staged.folder.mkdir(parents=True)
    for tile in plan.tiles:  # a missing chunk would be read as fill, in silence
        store.read_sr(tile)
    _write(plan, store, staged, progress)
    return staged


def _write(plan: ScenePlan, store: TileStore, staged: ProductPaths, progress: Progress) -> None:
    """The product, read back; progress is its first half and the second."""
    header, scale, target = plan.header, plan.tiles.scale, staged.data
    if header.kind == "volume":
        nifti.write_nifti(target, header, scale, store.sr)
        nifti.verify_nifti(target, header, scale, store.sr)
        return
    size = (scale[0], scale[1])
    cog.write_cog(target, header, size, store.sr, store.valid, store.alpha, _part(progress, 0))
    cog.verify_cog(target, header, size, store.sr, store.valid, store.alpha, _part(progress, 1))


def _part(progress: Progress, position: int) -> Progress:
    """One half of a bar."""
    return lambda done, total: progress(position * total + done, 2 * total)
