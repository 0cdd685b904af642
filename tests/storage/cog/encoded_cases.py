"""The same small scenes as an upscaled work store: what the product is assembled from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srcore.layout import ProductPaths, Scratch
from srcore.storage.cog.assemble import assemble_cog
from srcore.storage.cog.encoded import Encoded
from srcore.storage.cog.verify import verify_assembled
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import TilePlan
from tests.storage.cog.product_cases import Scene


@dataclass(frozen=True)
class Work:
    """A scene in a work store."""

    scene: Scene
    store: TileStore

    @property
    def encoded(self) -> Encoded:
        found = self.store.encoded()
        assert found is not None
        return found

    def assemble(self, path: Path) -> Path:
        assemble_cog(path, self.encoded)
        return path

    def verify(self, path: Path) -> None:
        verify_assembled(path, self.encoded)


def make_work(folder: Path, scene: Scene, core: int = 256) -> Work:
    """Store the scene as INGEST and UPSCALE do."""
    tiles = TilePlan(scene.header.grid.shape, (core, core), (0, 0), scene.scale)
    folder.mkdir(parents=True, exist_ok=True)
    plan = ScenePlan(
        dataset="",
        scene="scene",
        header=scene.header,
        sources=(),
        model=folder / "model",
        model_digest="",
        tiles=tiles,
        precision="auto",
        device="auto",
        backend="auto",
        product=ProductPaths(folder, "scene.tif"),
        scratch=Scratch(folder),
        configuration="now",
        validate=True,
        outputs=(),
    )
    (folder / "done").mkdir(exist_ok=True)
    store = TileStore(plan)
    store.create()
    for tile in tiles:
        here = (slice(None), *tile.core)
        alpha = None if scene.alpha is None else scene.alpha[tile.core]
        values = np.zeros((len(scene.sr), *tiles.tile_shape), scene.sr.dtype)
        sums = store.write_tile(tile, values, scene.valid[here], alpha)
        store.write_sr(tile, scene.sr[(slice(None), *tiles.window_hr(tile))], sums)
    return Work(scene, store)
