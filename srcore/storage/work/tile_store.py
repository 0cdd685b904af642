"""The work store of one scene: plan.json, tiles.zarr, sr.zarr and a marker a finished tile.

One tile = one chunk in `tiles` = one whole shard in `sr` (and one in `overview`), so every file has one writer, in any
order, without locks. Zarr reads a missing chunk as fill, in silence: therefore each tile's crc32 stands in
`ingest.json` and in its marker, and whoever reads a block compares.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import astuple, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from srcore.errors import StoreError
from srcore.storage.chunks.arrays import Form, StoredArray, checksum, create_group
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog.encoded import (
    Encoded,
    Vouched,
    is_encodable,
    is_reduced_again,
    is_reduced_in_tiles,
    sr_chunk,
    sr_shard,
)
from srcore.storage.cog.pixels import ProductPixels, spread
from srcore.storage.cog.pixels import Window as Place
from srcore.storage.cog.profile import product_bands
from srcore.storage.cog.pyramid import halve
from srcore.storage.cog.statistics import Statistics
from srcore.storage.disk.files import sha256_file
from srcore.storage.work.ingested import Ingested, TileSums
from srcore.storage.work.markers import Maker, Marker
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import BLOCK_HR as BLOCK
from srcore.tiling import Tile, Window


class TileStore:
    """The arrays of one scene.

    tiles (n, C, *core + 2 halo), native dtype, nodata filled; valid (C, *scene) bool; sr (C, *scene * scale),
    native dtype, nodata in place; alpha (*scene) where the source has one; overview (C and alpha, half of *scene *
    scale) where each tile makes its own part of it, and `again` the same at a quarter; trust, float32 half widths on
    the grid of sr, where a trust map is made.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan

    def create(self) -> None:
        """Make the arrays, empty, in place of what may be there."""
        plan, tiles, header = self.plan, self.plan.tiles, self.plan.header
        bands, dtype = len(header.bands), header.dtype
        forms = {
            "tiles": Form((len(tiles), bands, *tiles.tile_shape), dtype, (1, bands, *tiles.tile_shape)),
            "valid": Form((bands, *tiles.shape), "bool", (bands, *tiles.core)),
        }
        if header.alpha is not None:
            forms["alpha"] = Form(tiles.shape, dtype, tiles.core)
        create_group(plan.scratch.tiles, forms)
        shard, tiff = (bands, *sr_shard(header, tiles)), header.kind == "raster"
        forms = {"sr": Form((bands, *tiles.shape_hr), dtype, sr_chunk(header, tiles), shard, tiff)}
        if self._has_trust:
            forms["trust"] = Form((bands, *tiles.shape_hr), "float32", sr_chunk(header, tiles), shard)
        if self._is_reduced:
            count = len(product_bands(header))
            (height, width), (rows, cols) = tiles.shape_hr, sr_shard(header, tiles)
            halves = (count, height // 2, width // 2), dtype, (1, BLOCK, BLOCK), (count, rows // 2, cols // 2)
            forms["overview"] = Form(*halves, tiff)
            if self._is_reduced_again:
                forms["again"] = Form((count, height // 4, width // 4), dtype, (count, rows // 4, cols // 4))
        create_group(plan.scratch.sr, forms)

    def layout(self) -> dict[str, str]:
        """sha256 of every array's zarr.json; StoreError when one cannot be read."""
        names = ["tiles", "valid", "sr"]
        names += ["alpha"] * self._has_alpha + ["trust"] * self._has_trust + ["overview"] * self._is_reduced
        names += ["again"] * self._is_reduced_again
        try:
            return {name: sha256_file(self._array(name).root / "zarr.json") for name in names}
        except OSError as error:
            raise self._array("sr").damaged("the scratch store", str(error)) from error

    def is_intact(self, ingested: Ingested) -> bool:
        """True when all that INGEST stored is there and has its checksum."""
        try:
            if self.layout() != ingested.layout or len(self.plan.tiles) != len(ingested.sums):
                return False
            for tile in self.plan.tiles:
                self.read_tile(tile, ingested.sums[tile.index])
                self.check_masks(tile, ingested.sums[tile.index])
        except StoreError:
            return False
        return True

    def write_tile(
        self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None = None
    ) -> TileSums:
        """Store a tile as read, the validity of its core, and its alpha; gives their checksums."""
        self._array("tiles").write(tile.index, values)
        self._array("valid").write((slice(None), *tile.core), valid)
        if alpha is not None:
            self._array("alpha").write(tile.core, alpha)
        return TileSums(checksum(values), checksum(valid), None if alpha is None else checksum(alpha))

    def read_tile(self, tile: Tile, sums: TileSums) -> NDArray[Any]:
        """The tile (C, *core + 2 halo); StoreError when its bytes are not those that were written."""
        return self._array("tiles").checked(f"tile {tile.index}", tile.index, sums.tile)

    def read_valid(self, tile: Tile, sums: TileSums) -> NDArray[np.bool_]:
        """Validity (C, *core) of the pixels that the tile owns; StoreError as `read_tile`."""
        return self._array("valid").checked(f"valid of tile {tile.index}", (slice(None), *tile.core), sums.valid)

    def check_masks(self, tile: Tile, sums: TileSums) -> None:
        """StoreError unless validity and alpha of the tile's core are what was written."""
        self.read_valid(tile, sums)
        self.read_alpha(tile, sums)

    def read_alpha(self, tile: Tile, sums: TileSums) -> NDArray[Any] | None:
        """Alpha (*core) of the pixels that the tile owns, None without alpha; StoreError as `read_tile`."""
        if sums.alpha is None:
            return None
        return self._array("alpha").checked(f"alpha of tile {tile.index}", tile.core, sums.alpha)

    def read_valid_around(self, tile: Tile, margin_px: Sequence[int], sums: Sequence[TileSums]) -> NDArray[np.bool_]:
        """Validity (C, *core + 2 margin) of a tile that nothing clips: beyond the scene's edge it is reflected.

        StoreError as `read_tile`, also for the neighbours that it reaches into.
        """
        tiles = self.plan.tiles
        index = [
            axis[h - m : len(axis) - h + m]
            for axis, h, m in zip(tiles.sources(tile), tiles.halo, margin_px, strict=True)
        ]
        window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in index)
        values = np.empty((len(self.plan.header.bands), *(w.stop - w.start for w in window)), bool)
        for near in tiles.within(window):
            inside = tuple(
                slice(max(w.start, c.start), min(w.stop, c.stop)) for w, c in zip(window, near.core, strict=True)
            )
            core = self.read_valid(near, sums[near.index])
            source = (slice(i.start - c.start, i.stop - c.start) for i, c in zip(inside, near.core, strict=True))
            target = (slice(i.start - w.start, i.stop - w.start) for i, w in zip(inside, window, strict=True))
            values[(slice(None), *target)] = core[(slice(None), *source)]
        relative = (i - w.start for i, w in zip(index, window, strict=True))
        return values[np.ix_(np.arange(len(values)), *relative)]

    def write_sr(
        self,
        tile: Tile,
        block: NDArray[Any],
        sums: TileSums,
        maker: Maker | None = None,
        trust: NDArray[np.float32] | None = None,
    ) -> None:
        """Store the SR of a core, its parts of the first overview and of the trust map, then its marker."""
        window = self.plan.tiles.window_hr(tile)
        self._replace("sr", tile, window, block)
        marker = Marker(tile.index, checksum(block), self.plan.configuration, maker or Maker())
        if trust is not None:
            self._replace("trust", tile, window, trust)
            marker = replace(marker, trust=checksum(trust))
        if self.plan.header.kind == "raster":
            usable = spread(self.read_valid(tile, sums), self.plan.tiles.scale)
            marker = replace(marker, statistics=tuple(map(Statistics.of, block, usable)))
        if self._is_reduced:
            reduced, mask = self._reduce(tile, block, sums)
            self._replace("overview", tile, self._window_reduced(tile, 2), reduced)
            marker = replace(marker, overview=checksum(reduced))
            if self._is_reduced_again:
                again = halve(reduced, mask, self.plan.header)[0]
                self._replace("again", tile, self._window_reduced(tile, 4), again)
                marker = replace(marker, again=checksum(again))
        marker.save(self._marker(tile.index))

    def _reduce(self, tile: Tile, block: NDArray[Any], sums: TileSums) -> tuple[NDArray[Any], NDArray[np.uint8] | None]:
        """The tile's part (count, y, x) of the first overview, and its mask (y, x) where the scene has one."""
        header, scale = self.plan.header, self.plan.tiles.scale
        alpha, mask = self.read_alpha(tile, sums), None
        if alpha is not None:
            block = np.concatenate([block, spread(alpha, scale)[None]])
        if header.nodata == "mask":
            mask = spread(np.asarray(self.read_valid(tile, sums).all(axis=0)), scale).view(np.uint8)
        reduced, reduced_mask = halve(block, mask, header)
        return reduced, None if mask is None else reduced_mask

    def _replace(self, name: str, tile: Tile, window: Window, block: NDArray[Any]) -> None:
        # Zarr reads the shard of an edge tile before it writes it, and would fail for ever on a damaged one.
        place = (w.start // size for w, size in zip(tile.core, self.plan.tiles.core, strict=True))
        self._array(name).root.joinpath("c", "0", *(str(p) for p in place)).unlink(missing_ok=True)
        self._array(name).write((slice(None), *window), block)

    def _window_reduced(self, tile: Tile, factor: int) -> Window:
        return tuple(slice(axis.start // factor, axis.stop // factor) for axis in self.plan.tiles.window_hr(tile))

    def read_sr(self, tile: Tile) -> NDArray[Any]:
        """The SR (C, *core * scale) of a tile; StoreError unless it is marked and its bytes are the marked ones."""
        window = (slice(None), *self.plan.tiles.window_hr(tile))
        return self._array("sr").checked(f"the SR of tile {tile.index}", window, self._marked(tile).crc32)

    def check_trust(self, tile: Tile) -> None:
        """StoreError unless the tile's part of the trust map, where one is made, is the marked one."""
        if self._has_trust:
            window = (slice(None), *self.plan.tiles.window_hr(tile))
            self._array("trust").checked(f"the trust map of tile {tile.index}", window, self._marked(tile).trust)

    def check_overviews(self, tile: Tile) -> None:
        """StoreError unless the tile's parts of overviews, where they are stored, are the marked ones."""
        marked = self._marked(tile)
        for name, factor, crc32 in (("overview", 2, marked.overview), ("again", 4, marked.again)):
            if crc32 is not None:
                window = (slice(None), *self._window_reduced(tile, factor))
                self._array(name).checked(f"the overview 1/{factor} of tile {tile.index}", window, crc32)

    def _marked(self, tile: Tile) -> Marker:
        marker = self.marker(tile.index)
        if marker is None:
            raise StoreError(
                f"tile {tile.index} of {self.plan.scene} has no marker", "", "run upscale again", code="TILE_MISSING"
            )
        return marker

    def encoded(self) -> Encoded | None:
        """What the product is assembled from; None where GDAL must encode it. StoreError for a missing marker.

        Reads nothing of the tiles: whoever assembles compares with what their markers say.
        """
        header, tiles = self.plan.header, self.plan.tiles
        if not is_encodable(header, tiles):
            return None
        markers = [self._marked(tile) for tile in tiles]
        vouched = tuple(
            Vouched(Place(*tiles.window_hr(tile)), marker.crc32) for tile, marker in zip(tiles, markers, strict=True)
        )
        statistics = [reduce(Statistics.merged, band) for band in zip(*(m.statistics for m in markers), strict=True)]
        pixels = ProductPixels(header, (tiles.scale[0], tiles.scale[1]), self.sr, self.valid, self.alpha)
        pixels.check()
        reduced = self._shards("overview") if self._is_reduced else None
        again = self._array("again") if self._is_reduced_again else None
        return Encoded(pixels, self._shards("sr"), reduced, again, vouched, tuple(statistics))

    def _shards(self, name: str) -> Shards:
        array = self._array(name)
        return Shards(array.open(), array.root)

    def marker(self, index: int) -> Marker | None:
        """The marker of a tile under this configuration, or None."""
        return Marker.load(self._marker(index), self.plan.configuration)

    def makers(self) -> list[Maker]:
        """What computed the tiles that are done: one, unless a resumed run found another machine."""
        markers = (self.marker(tile.index) for tile in self.plan.tiles)
        return sorted({marker.maker for marker in markers if marker is not None}, key=astuple)

    def pending(self) -> list[int]:
        """Tiles that are not done: without a marker, or with a shard that is not the marked one.

        Zarr renames its files but does not sync them: after a power cut a marker can outlive its shard.
        """
        return [tile.index for tile in self.plan.tiles if not self._is_done(tile)]

    def _is_done(self, tile: Tile) -> bool:
        try:
            self.read_sr(tile)
            self.check_overviews(tile)
            self.check_trust(tile)
        except StoreError:
            self._marker(tile.index).unlink(missing_ok=True)
            return False
        return True

    @property
    def sr(self) -> zarr.Array[Any]:
        """The stitched scene (C, *scene * scale)."""
        return self._array("sr").open()

    @property
    def trust(self) -> zarr.Array[Any]:
        """Half widths of the trust map (C, *scene * scale) in DN, NaN where invalid."""
        return self._array("trust").open()

    @property
    def valid(self) -> zarr.Array[Any]:
        """Validity (C, *scene)."""
        return self._array("valid").open()

    @property
    def alpha(self) -> zarr.Array[Any] | None:
        """Alpha (*scene), None where the source has none."""
        return self._array("alpha").open() if self._has_alpha else None

    @property
    def _has_alpha(self) -> bool:
        return self.plan.header.alpha is not None

    def _marker(self, index: int) -> Path:
        return self.plan.scratch.done / f"{index}.json"

    @property
    def _has_trust(self) -> bool:
        return self.plan.treatment.trust is not None

    @property
    def _is_reduced(self) -> bool:
        return is_reduced_in_tiles(self.plan.header, self.plan.tiles)

    @property
    def _is_reduced_again(self) -> bool:
        return is_reduced_again(self.plan.header, self.plan.tiles)

    def _array(self, name: str) -> StoredArray:
        group = self.plan.scratch.sr if name in ("sr", "overview", "again", "trust") else self.plan.scratch.tiles
        return StoredArray(group / name, self.plan.scene)
