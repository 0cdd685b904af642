"""EXPORT: the stitched scene as a georeferenced product with its STAC item and quicklook: staged, not yet visible."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from srcore.layout import ProductPaths
from srcore.report.quicklook import quicklook
from srcore.storage import cog, nifti, stac
from srcore.storage.scratch import Ingested, ScenePlan, TileStore

Progress = Callable[[int, int], None]


def export(plan: ScenePlan, progress: Progress = lambda done, total: None) -> ProductPaths:
    """Write product, STAC item and quicklook into the scene's staged folder, and read every block back.

    StoreError when a tile is missing or damaged, when the disk fills, or when what was read back differs.
    """
    store, staged = TileStore(plan), ProductPaths(plan.scratch.staged, plan.product.name)
    shutil.rmtree(staged.folder, ignore_errors=True)  # what an earlier, broken export left
    staged.folder.mkdir(parents=True)
    for tile in plan.tiles:
        store.read_sr(tile)
        progress(tile.index + 1, 2 * len(plan.tiles))
    _write(plan, store, staged.data)
    progress(3 * len(plan.tiles), 4 * len(plan.tiles))
    staged.quicklook.write_bytes(_quicklook(plan, store))
    stac.write_item(staged.stac, _item(plan, staged))
    progress(4 * len(plan.tiles), 4 * len(plan.tiles))
    return staged
