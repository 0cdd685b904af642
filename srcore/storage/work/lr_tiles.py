"""The LR side of the work store: overlapping tiles as the generator reads them, and which pixels are usable."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from srcore.storage.chunks.arrays import Form, StoredArray, checksum, create_group
from srcore.storage.work.ingested import TileSums
from srcore.storage.work.scene_plan import ScenePlan
from srcore.tiling import Tile


class LrTiles:
    """The arrays of tiles.zarr.

    tiles (n, C, *core + 2 halo), native dtype, nodata filled; valid (C, *scene) bool; alpha (*scene) where the source
    has one. Of a window of a scene also seen (n, C, *core + 2 halo) bool: validity around it lies in no other tile.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan.tiles
        self._root, self._header = plan.scratch.tiles, plan.header
        self.arrays = {name: StoredArray(self._root / name, plan.scene) for name in self._forms()}

    def create(self) -> None:
        """Make the arrays, empty, in place of what may be there."""
        create_group(self._root, self._forms())

    def _forms(self) -> dict[str, Form]:
        tiles, bands, dtype = self.plan, len(self._header.bands), self._header.dtype
        forms = {
            "tiles": Form((len(tiles), bands, *tiles.tile_shape), dtype, (1, bands, *tiles.tile_shape)),
            "valid": Form((bands, *tiles.shape), "bool", (bands, *tiles.core)),
        }
        if self._header.part is not None:
            forms["seen"] = Form((len(tiles), bands, *tiles.tile_shape), "bool", (1, bands, *tiles.tile_shape))
        return forms if self._header.alpha is None else {**forms, "alpha": Form(tiles.shape, dtype, tiles.core)}

    def write(
        self,
        tile: Tile,
        values: NDArray[Any],
        valid: NDArray[np.bool_],
        alpha: NDArray[Any] | None = None,
        seen: NDArray[np.bool_] | None = None,
    ) -> TileSums:
        """Store a tile as read, validity and alpha of its core, and validity of all of it (`seen`) where the plan is of
        a window; gives their checksums."""
        self.arrays["tiles"].write(tile.index, values)
        self.arrays["valid"].write((slice(None), *tile.core), valid)
        if alpha is not None:
            self.arrays["alpha"].write(tile.core, alpha)
        if seen is not None:
            self.arrays["seen"].write(tile.index, seen)
        return TileSums(
            checksum(values),
            checksum(valid),
            None if alpha is None else checksum(alpha),
            None if seen is None else checksum(seen),
        )

    def read(self, tile: Tile, sums: TileSums) -> NDArray[Any]:
        """The tile (C, *core + 2 halo); StoreError when its bytes are not those that were written."""
        return self.arrays["tiles"].checked(f"tile {tile.index}", tile.index, sums.tile)

    def valid(self, tile: Tile, sums: TileSums) -> NDArray[np.bool_]:
        """Validity (C, *core) of the pixels that the tile owns; StoreError as `read`."""
        return self.arrays["valid"].checked(f"valid of tile {tile.index}", (slice(None), *tile.core), sums.valid)

    def alpha(self, tile: Tile, sums: TileSums) -> NDArray[Any] | None:
        """Alpha (*core) of the pixels that the tile owns, None without alpha; StoreError as `read`."""
        if sums.alpha is None:
            return None
        return self.arrays["alpha"].checked(f"alpha of tile {tile.index}", tile.core, sums.alpha)

    def seen(self, tile: Tile, sums: TileSums) -> NDArray[np.bool_] | None:
        """Validity (C, *core + 2 halo) of all of a tile of a window, None of a whole scene; StoreError as `read`."""
        if sums.seen is None:
            return None
        return self.arrays["seen"].checked(f"validity around tile {tile.index}", tile.index, sums.seen)

    def valid_around(self, tile: Tile, margin_px: Sequence[int], sums: Sequence[TileSums]) -> NDArray[np.bool_]:
        """Validity (C, *core + 2 margin) of a tile that nothing clips: beyond the scene's edge it is reflected.

        StoreError as `read`, also for the neighbours that it reaches into.
        """
        tiles = self.plan
        seen = self.seen(tile, sums[tile.index])
        if seen is not None:
            lengths = zip(tiles.halo, margin_px, tiles.tile_shape, strict=True)
            return seen[(slice(None), *(slice(h - m, n - h + m) for h, m, n in lengths))]
        index = [
            axis[h - m : len(axis) - h + m]
            for axis, h, m in zip(tiles.sources(tile), tiles.halo, margin_px, strict=True)
        ]
        window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in index)
        values = np.empty((len(self._header.bands), *(w.stop - w.start for w in window)), bool)
        for near in tiles.within(window):
            inside = tuple(
                slice(max(w.start, c.start), min(w.stop, c.stop)) for w, c in zip(window, near.core, strict=True)
            )
            core = self.valid(near, sums[near.index])
            source = (slice(i.start - c.start, i.stop - c.start) for i, c in zip(inside, near.core, strict=True))
            target = (slice(i.start - w.start, i.stop - w.start) for i, w in zip(inside, window, strict=True))
            values[(slice(None), *target)] = core[(slice(None), *source)]
        relative = (i - w.start for i, w in zip(index, window, strict=True))
        return values[np.ix_(np.arange(len(values)), *relative)]
