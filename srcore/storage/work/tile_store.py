"""The work store of one scene: plan.json, tiles.zarr, sr.zarr and a marker a finished tile.

One tile = one chunk in `tiles` = one whole shard in `sr` (and one in each overview), so every file has one writer, in
any order, without locks. Zarr reads a missing chunk as fill, in silence: therefore each tile's crc32 stands in
`ingest.json` and in its marker, and whoever reads a block compares.
"""

from __future__ import annotations

from dataclasses import astuple
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import create_group
from srcore.storage.cog import Blocks, Encoded
from srcore.storage.disk.files import sha256_file
from srcore.storage.header import Header
from srcore.storage.trust_map import trust_header
from srcore.storage.work.ingested import Ingested, TileSums
from srcore.storage.work.lr_tiles import LrTiles
from srcore.storage.work.markers import Maker, Markers
from srcore.storage.work.scene_plan import ScenePlan
from srcore.storage.work.sr_image import Plain, SrImage
from srcore.tiling import Tile


class TileStore:
    """What is stored of one scene: its LR tiles, its SR and, where one is made, the trust map on the grid of the SR.

    Every array is opened once, at its first use.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan
        self.lr = LrTiles(plan)
        headers = {"sr": plan.header, **({} if plan.treatment.trust is None else {"trust": trust_header(plan.header)})}
        self.images = {name: self._image(name, header) for name, header in headers.items()}
        self.markers = Markers(plan.scratch.done, plan.configuration, plan.scene)

    def _image(self, name: str, header: Header) -> SrImage:
        form = (Blocks if self.plan.form.name == "cog" else Plain)(header, self.plan.tiles)
        return SrImage(self.plan.scratch.sr, name, self.plan.scene, form)

    def create(self) -> None:
        """Make the arrays, empty, in place of what may be there; before anything is read."""
        self.lr.create()
        forms = [image.forms() for image in self.images.values()]
        create_group(self.plan.scratch.sr, {name: form for some in forms for name, form in some.items()})

    def layout(self) -> dict[str, str]:
        """sha256 of every array's zarr.json; StoreError when one cannot be read."""
        groups = (self.lr.arrays, *(image.arrays for image in self.images.values()))
        arrays = [array for group in groups for array in group.values()]
        try:
            return {array.root.name: sha256_file(array.root / "zarr.json") for array in arrays}
        except OSError as error:
            raise arrays[0].damaged("the scratch store", str(error)) from error

    def is_intact(self, ingested: Ingested) -> bool:
        """True when all that INGEST stored is there and has its checksum."""
        try:
            if self.layout() != ingested.layout or len(self.plan.tiles) != len(ingested.sums):
                return False
            for tile, sums in zip(self.plan.tiles, ingested.sums, strict=True):
                self.lr.read(tile, sums)
                self.check_masks(tile, sums)
        except StoreError:
            return False
        return True

    def check_masks(self, tile: Tile, sums: TileSums) -> None:
        """StoreError unless validity and alpha of the tile's core are what was written."""
        self.lr.valid(tile, sums)
        self.lr.alpha(tile, sums)
        self.lr.seen(tile, sums)

    def write_sr(
        self,
        tile: Tile,
        values: NDArray[Any],
        sums: TileSums,
        maker: Maker | None = None,
        trust: NDArray[np.float32] | None = None,
    ) -> None:
        """Store the SR of a core, and its part of the trust map where there is one; then its marker."""
        valid, alpha = self.lr.valid(tile, sums), self.lr.alpha(tile, sums)
        written = {"sr": self.images["sr"].write(tile, values, valid, alpha)}
        if trust is not None:
            written["trust"] = self.images["trust"].write(tile, trust, valid, None)
        self.markers.put(tile.index, written, maker or Maker())

    def check_sr(self, tile: Tile) -> None:
        """StoreError unless the tile is marked, and what is stored of its images is what the marker says."""
        for name, image in self.images.items():
            image.check(tile, self.markers.require(tile.index, name))

    def pending(self) -> list[int]:
        """Tiles that are not done: without a marker, or with a shard that is not the marked one.

        Zarr renames its files but does not sync them: after a power cut a marker can outlive its shard.
        """
        return [tile.index for tile in self.plan.tiles if not self._is_done(tile)]

    def _is_done(self, tile: Tile) -> bool:
        try:
            self.check_sr(tile)
        except StoreError:
            self.markers.drop(tile.index)
            return False
        return True

    def makers(self) -> list[Maker]:
        """What computed the tiles that are done: one, unless a resumed run found another machine."""
        markers = (self.markers.get(tile.index) for tile in self.plan.tiles)
        return sorted({marker.maker for marker in markers if marker is not None}, key=astuple)

    def encoded(self, name: str = "sr") -> Encoded:
        """What the product of an image is assembled from; StoreError for a missing marker."""
        sums = [self.markers.require(tile.index, name) for tile in self.plan.tiles]
        return self.images[name].encoded(sums, self.lr.arrays["valid"], self.lr.arrays.get("alpha"))
