"""The same small scenes as an upscaled work store: what the product is assembled from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from srcore.layout import ProductPaths, Scratch
from srcore.storage.cog import Encoded, verify_cog, write_cog
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.tile_store import TileStore
from srcore.tiling import BLOCK_HR, TilePlan, asked_tiles
from srcore.treatment import Treatment
from tests.storage.cog.product_cases import Scene


@dataclass(frozen=True)
class Work:
    """A scene in a work store."""

    scene: Scene
    store: TileStore

    @property
    def encoded(self) -> Encoded:
        return self.store.encoded()

    def write(self, path: Path) -> Path:
        write_cog(path, self.encoded)
        return path

    def verify(self, path: Path) -> None:
        verify_cog(path, self.encoded)


def make_work(folder: Path, scene: Scene, tile: int = 32, block: int = 64) -> Work:
    """Store the scene as INGEST and UPSCALE do."""
    shape = scene.header.grid.shape
    tiles = asked_tiles(TilePlan(shape, shape, (0, 0), scene.scale, block=block), tile)
    return stored(folder, scene, tiles)


def make_default_work(folder: Path, scene: Scene) -> Work:
    """The same with blocks as they are published."""
    return make_work(folder, scene, tile=256, block=BLOCK_HR)


def stored(folder: Path, scene: Scene, tiles: TilePlan) -> Work:
    """The scene in a work store that is cut in this way."""
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
        treatment=Treatment(),
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
        sums = store.lr.write(tile, values, scene.valid[here], alpha)
        store.write_sr(tile, scene.sr[(slice(None), *tiles.window_hr(tile))], sums)
    return Work(scene, store)


def make_product(folder: Path, scene: Scene) -> Path:
    """The product of the scene: folder/product.tif."""
    return make_work(folder / "work", scene).write(folder / "product.tif")
