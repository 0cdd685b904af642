"""An image on the SR grid, stored tile by tile: the SR itself, or its trust map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import zarr
from numpy.typing import NDArray

from srcore.storage.chunks.arrays import Form, StoredArray, checksum
from srcore.storage.chunks.shards import Shards
from srcore.storage.cog import Blocks, Encoded, Statistics
from srcore.storage.header import Header
from srcore.storage.work.markers import ImageSums
from srcore.tiling import Tile, TilePlan, Window


class ImageForm(Protocol):
    """Which arrays an image has, and what each tile puts into them."""

    @property
    def header(self) -> Header: ...

    @property
    def tiles(self) -> TilePlan: ...

    def arrays(self) -> dict[str, Form]: ...

    def parts(
        self, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None
    ) -> Mapping[str, NDArray[Any]]: ...

    def statistics(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[Statistics, ...]: ...

    def window(self, name: str, tile: Tile) -> Window: ...


@dataclass(frozen=True)
class Plain:
    """The image of a volume, whose file is no tiles: one array, one chunk of a band for each tile."""

    header: Header
    tiles: TilePlan

    def arrays(self) -> dict[str, Form]:
        """One array, with one shard a tile."""
        bands, core = len(self.header.bands), self.tiles.core_hr
        return {"full": Form((bands, *self.tiles.shape_hr), self.header.dtype, (1, *core), (bands, *core))}

    def parts(
        self, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None
    ) -> Mapping[str, NDArray[Any]]:
        """The SR as it is."""
        return {"full": values}

    def statistics(self, values: NDArray[Any], valid: NDArray[np.bool_]) -> tuple[Statistics, ...]:
        """None are written."""
        return ()

    def window(self, name: str, tile: Tile) -> Window:
        """The tile's core on the SR grid."""
        return self.tiles.window_hr(tile)


class SrImage:
    """One image: its arrays NAME (C, *scene * scale) and, where each tile makes its own part of the first two
    overviews, NAME_half and NAME_quarter."""

    def __init__(self, group: Path, name: str, scene: str, form: ImageForm) -> None:
        self.form = form
        suffixes = {part: "" if part == "full" else f"_{part}" for part in form.arrays()}
        self.arrays = {part: StoredArray(group / f"{name}{suffix}", scene) for part, suffix in suffixes.items()}

    def forms(self) -> dict[str, Form]:
        """What to create, by the arrays' names on the disk."""
        return {self.arrays[part].root.name: form for part, form in self.form.arrays().items()}

    @property
    def full(self) -> zarr.Array[Any]:
        """The stitched image (C, *scene * scale)."""
        return self.arrays["full"].array

    def write(
        self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_], alpha: NDArray[Any] | None
    ) -> ImageSums:
        """Store a tile's part of every array; gives what its marker must say."""
        parts = self.form.parts(values, valid, alpha)
        for part, block in parts.items():
            self.arrays[part].write(self._selection(part, tile), block)
        return ImageSums({part: checksum(block) for part, block in parts.items()}, self.form.statistics(values, valid))

    def check(self, tile: Tile, sums: ImageSums) -> None:
        """StoreError unless the tile's part of every array is there and what its marker says."""
        for part, array in self.arrays.items():
            what = f"tile {tile.index} of {array.root.name}"
            if not self._shard(part, tile).exists():  # of zeros the checksum fits, and EXPORT would find no bytes
                raise array.damaged(what, "no such shard")
            array.checked(what, self._selection(part, tile), sums.crc32.get(part))

    def _shard(self, part: str, tile: Tile) -> Path:
        """The file of a tile's part."""
        place = (w.start // size for w, size in zip(tile.core, self.form.tiles.core, strict=True))
        return self.arrays[part].root.joinpath("c", "0", *(str(p) for p in place))

    def _selection(self, part: str, tile: Tile) -> tuple[slice, ...]:
        return (slice(None), *self.form.window(part, tile))

    def encoded(self, sums: Sequence[ImageSums], valid: StoredArray, alpha: StoredArray | None) -> Encoded:
        """What a product is assembled from; `sums` of every tile, `valid` and `alpha` of the LR grid.

        Reads nothing of the tiles: whoever assembles compares with what their markers say.
        """
        assert isinstance(self.form, Blocks), "a raster"
        return Encoded(
            self.form,
            Shards(self.arrays["full"]),
            Shards(self.arrays["half"]) if "half" in self.arrays else None,
            self.arrays.get("quarter"),
            valid.array,
            None if alpha is None else alpha.array,
            tuple(one.crc32["full"] for one in sums),
            tuple(reduce(Statistics.merged, band) for band in zip(*(one.statistics for one in sums), strict=True)),
        )
