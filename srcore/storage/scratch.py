"""The work store of one scene: plan.json, tiles.zarr, sr.zarr and a marker a finished tile.

One tile = one chunk in `tiles` = one whole shard in `sr`, so every file has one writer, in any order, without
locks. Zarr reads a missing chunk as fill, in silence: therefore each tile's crc32 stands in `ingest.json` and
in its marker, and whoever reads a block compares.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray
from zarr.codecs import ZstdCodec
from zarr.errors import BaseZarrError

from srcore.errors import StoreError
from srcore.layout import ProductPaths, Scratch
from srcore.radiometry import Normalisation
from srcore.storage.files import write_atomic
from srcore.storage.header import Header
from srcore.tiling import Tile, TilePlan

CHUNK_HR = 512
"""SR pixels on each side of an inner chunk of `sr`, and of a block of the product."""


@dataclass(frozen=True)
class ScenePlan:
    """All that the stages need to know of one scene; the content of plan.json."""

    dataset: str
    scene: str
    header: Header
    model: Path
    """Checkpoint folder."""
    model_digest: str
    tiles: TilePlan
    precision: str
    """'auto', 'float32' or 'bfloat16'."""
    device: str
    """'auto', 'cpu' or 'cuda'."""
    product: ProductPaths
    scratch: Scratch
    configuration: str
    """sha256 over model, parameters and bands: with the sources' digests, what makes a product due again."""
    validate: bool
    """False: gates are told, but do not stop the product."""
    outputs: tuple[str, ...]
    """What is made beside the data: stac, report, quicklook."""
    hr: Path | None = None
    """True HR of the scene, where the catalog knows one."""
    limits: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """The dataset's changes of the checks' limits."""
    back_projection: int = 0
    """Steps after the generator; `tiles.halo` holds their margin."""

    def save(self) -> None:
        """Write plan.json, whole or not at all."""
        value = {
            **asdict(self),
            "header": self.header.to_json(),
            "model": str(self.model),
            "product": [str(self.product.folder), self.product.name],
            "scratch": str(self.scratch.folder),
            "hr": str(self.hr) if self.hr else None,
        }
        write_json(self.scratch.plan, value)

    @classmethod
    def load(cls, path: Path) -> ScenePlan:
        """The plan that `save` wrote."""
        value = read_json(path)
        folder, name = value["product"]
        return cls(
            **{
                **value,
                "header": Header.from_json(value["header"]),
                "model": Path(value["model"]),
                "tiles": TilePlan(**{key: tuple(axes) for key, axes in value["tiles"].items()}),
                "product": ProductPaths(Path(folder), name),
                "scratch": Scratch(Path(value["scratch"])),
                "outputs": tuple(value["outputs"]),
                "hr": Path(value["hr"]) if value["hr"] else None,
            }
        )


@dataclass(frozen=True)
class Source:
    """One input file as INGEST found it."""

    path: str
    sha256: str
    size_bytes: int
    mtime_ns: int


@dataclass(frozen=True)
class Ingested:
    """What INGEST learned from the pixels; the content of ingest.json, written when all tiles are cut."""

    sources: tuple[Source, ...]
    normalisation: Normalisation
    """From the valid pixels of the scene, per band."""
    valid_share: tuple[float, ...]
    """Valid pixels over all pixels, per band."""
    crc32: tuple[int, ...]
    """Of every tile's bytes, in tile order."""

    def save(self, scratch: Scratch) -> None:
        """Write ingest.json, whole or not at all."""
        write_json(scratch.folder / "ingest.json", asdict(self))

    @classmethod
    def load(cls, scratch: Scratch) -> Ingested | None:
        """What `save` wrote; None when INGEST has not finished."""
        path = scratch.folder / "ingest.json"
        if not path.exists():
            return None
        value = read_json(path)
        return cls(
            tuple(Source(**source) for source in value["sources"]),
            Normalisation(**{key: tuple(bands) for key, bands in value["normalisation"].items()}),
            tuple(value["valid_share"]),
            tuple(value["crc32"]),
        )


@dataclass(frozen=True)
class Marker:
    """The proof that one tile's shard is written."""

    tile: int
    crc32: int
    configuration: str


class TileStore:
    """The arrays of one scene.

    tiles (n, C, *core + 2 halo), native dtype, nodata filled; valid (C, *scene) bool; sr (C, *scene * scale),
    native dtype, nodata in place; alpha (*scene) where the source has one.
    """

    def __init__(self, plan: ScenePlan) -> None:
        self.plan = plan

    def create(self) -> None:
        """Make the arrays, empty, in place of what may be there."""
        plan, tiles = self.plan, self.plan.tiles
        bands, dtype = len(plan.header.bands), plan.header.dtype
        group = zarr.open_group(plan.scratch.tiles, mode="w", zarr_format=3)
        _array(group, "tiles", (len(tiles), bands, *tiles.tile_shape), (1, bands, *tiles.tile_shape), dtype)
        _array(group, "valid", (bands, *tiles.shape), (bands, *tiles.core), "bool")
        if plan.header.alpha is not None:
            _array(group, "alpha", tiles.shape, tiles.core, dtype)
        shard = (bands, *tiles.core_hr)
        chunk = (1, *(_inner(size) for size in tiles.core_hr))
        _array(zarr.open_group(plan.scratch.sr, mode="w", zarr_format=3), "sr", (bands, *tiles.shape_hr), chunk, dtype,
               shard)  # fmt: skip

    def write_tile(self, tile: Tile, values: NDArray[Any], valid: NDArray[np.bool_]) -> int:
        """Store a tile as read and the validity of its core; gives the crc32 of the tile's bytes."""
        self._open("tiles")[tile.index] = values
        self._open("valid")[(slice(None), *tile.core)] = valid
        return checksum(values)

    def write_alpha(self, tile: Tile, alpha: NDArray[Any]) -> None:
        """Store the alpha of a tile's core."""
        self._open("alpha")[tile.core] = alpha

    def read_tile(self, tile: Tile, crc32: int) -> NDArray[Any]:
        """The tile (C, *core + 2 halo); StoreError when its bytes are not those that were written."""
        values = self._read("tiles", tile.index)
        if checksum(values) != crc32:
            raise StoreError(f"tile {tile.index} of {self.plan.scene} is damaged in the scratch store",
                             "another checksum", "run again with --force", code="TILE_DAMAGED")  # fmt: skip
        return values

    def read_core(self, tile: Tile, crc32: int) -> NDArray[Any]:
        """The LR pixels that the tile owns (C, *core clipped to the scene)."""
        inside = tuple(slice(h, h + (w.stop - w.start)) for h, w in zip(self.plan.tiles.halo, tile.core, strict=True))
        return self.read_tile(tile, crc32)[(slice(None), *inside)]

    def read_valid(self, tile: Tile) -> NDArray[np.bool_]:
        """Validity (C, *core) of the pixels that the tile owns."""
        return self._read("valid", (slice(None), *tile.core))

    def read_valid_around(self, tile: Tile, margin_px: Sequence[int]) -> NDArray[np.bool_]:
        """Validity (C, *core + 2 margin) of a tile that nothing clips: beyond the scene's edge it is reflected."""
        index = [
            axis[h - m : len(axis) - h + m]
            for axis, h, m in zip(self.plan.tiles.sources(tile), self.plan.tiles.halo, margin_px, strict=True)
        ]
        window = tuple(slice(int(i.min()), int(i.max()) + 1) for i in index)
        values: NDArray[np.bool_] = self._read("valid", (slice(None), *window))
        inside = (i - w.start for i, w in zip(index, window, strict=True))
        return values[np.ix_(np.arange(len(values)), *inside)]

    def write_sr(self, tile: Tile, block: NDArray[Any]) -> None:
        """Store the SR of a core, then its marker."""
        self._open("sr")[(slice(None), *self.plan.tiles.window_hr(tile))] = block
        marker = Marker(tile.index, checksum(block), self.plan.configuration)
        write_json(self._marker(tile.index), asdict(marker))

    def read_sr(self, tile: Tile) -> NDArray[Any]:
        """The SR (C, *core * scale) of a tile; StoreError unless it is marked and its bytes are the marked ones."""
        marker = self.marker(tile.index)
        if marker is None:
            raise StoreError(f"tile {tile.index} of {self.plan.scene} has no marker", "", "run upscale again",
                             code="TILE_MISSING")  # fmt: skip
        block = self._read("sr", (slice(None), *self.plan.tiles.window_hr(tile)))
        if checksum(block) != marker.crc32:
            raise StoreError(f"the SR of tile {tile.index} of {self.plan.scene} is damaged", "another checksum",
                             "run again", code="TILE_DAMAGED")  # fmt: skip
        return block

    def marker(self, index: int) -> Marker | None:
        """The marker of a tile under this configuration, or None."""
        path = self._marker(index)
        if not path.exists():
            return None
        try:
            marker = Marker(**read_json(path))
        except (StoreError, TypeError):
            return None  # a torn marker is no marker: the tile is done again
        return marker if marker.configuration == self.plan.configuration else None

    def pending(self) -> list[int]:
        """Tiles that are not done: without a marker, or with a shard that is not the marked one.

        Zarr renames its files but does not sync them: after a power cut a marker can outlive its shard.
        """
        return [tile.index for tile in self.plan.tiles if not self._is_done(tile)]

    def _is_done(self, tile: Tile) -> bool:
        try:
            self.read_sr(tile)
        except StoreError:
            self._marker(tile.index).unlink(missing_ok=True)
            return False
        return True

    @property
    def sr(self) -> zarr.Array[Any]:
        """The stitched scene (C, *scene * scale)."""
        return self._open("sr")

    @property
    def valid(self) -> zarr.Array[Any]:
        """Validity (C, *scene)."""
        return self._open("valid")

    @property
    def alpha(self) -> zarr.Array[Any] | None:
        """Alpha (*scene), None where the source has none."""
        return self._open("alpha") if self.plan.header.alpha is not None else None

    def _marker(self, index: int) -> Path:
        return self.plan.scratch.done / f"{index}.json"

    def _open(self, name: str) -> zarr.Array[Any]:
        root = self.plan.scratch.sr if name == "sr" else self.plan.scratch.tiles
        try:
            array = zarr.open_array(root / name, mode="r+", config={"write_empty_chunks": True})
        except (OSError, ValueError, BaseZarrError) as error:
            raise StoreError(f"{name} of {self.plan.scene} cannot be opened", str(error), "run again with --force"
                             ) from error  # fmt: skip
        return array

    def _read(self, name: str, selection: Any) -> NDArray[Any]:
        try:
            return np.asarray(self._open(name)[selection])
        except (RuntimeError, ValueError, OSError) as error:  # what the codecs raise on damaged bytes
            raise StoreError(f"{name} of {self.plan.scene} is damaged in the scratch store", str(error),
                             "run again with --force", code="TILE_DAMAGED") from error  # fmt: skip


def checksum(values: NDArray[Any]) -> int:
    """crc32 of the array's bytes in C order."""
    return zlib.crc32(np.ascontiguousarray(values).view(np.uint8).reshape(-1).data)


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write a JSON document, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, (json.dumps(value, indent=1, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object; StoreError when the file is not one."""
    try:
        value = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise StoreError(f"{path.name} cannot be read", str(error), "run again with --force") from error
    if not isinstance(value, dict):
        raise StoreError(f"{path.name} is not a JSON object", type(value).__name__, "run again with --force")
    return value


def _inner(size_hr: int) -> int:
    return gcd(size_hr, CHUNK_HR) if size_hr > CHUNK_HR and gcd(size_hr, CHUNK_HR) >= CHUNK_HR // 4 else size_hr


def _array(
    group: zarr.Group, name: str, shape: Sequence[int], chunk: Sequence[int], dtype: str,
    shard: Sequence[int] | None = None,
) -> None:  # fmt: skip
    group.create_array(
        name,
        shape=tuple(shape),
        chunks=tuple(chunk),
        shards=tuple(shard) if shard else None,
        dtype=dtype,
        # Without its checksum zstd reads most bit flips as data.
        compressors=ZstdCodec(level=1, checksum=True),
        fill_value=0,
        config={"write_empty_chunks": True},
    )
